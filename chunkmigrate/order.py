"""Order: in which migrations are applied: by name where they are free, and behind what they depend on. Pure.

Which of them are pending is nobody's business here, and which are run is ``selection``'s.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from chunkmigrate.disorder import CycleError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chunkmigrate.migration import Migration


def ordered(found: Sequence[Migration]) -> list[Migration]:
    """Return the migrations in the order they are applied.

    Of all that have everything before them that they depend on, the first by name is next. Raises
    `CycleError`, and `MissingDependencyError` where one depends on what is not there.
    """
    by_name = {one.name: one for one in found}
    before = needs(found)
    missing = {name: len(names) for name, names in before.items()}
    behind: dict[str, list[str]] = {name: [] for name in by_name}
    for name, names in before.items():
        for earlier in names:
            behind[earlier].append(name)
    free = [name for name, count in missing.items() if not count]
    heapify(free)
    placed = []
    while free:
        placed.append(by_name[heappop(free)])
        for name in behind[placed[-1].name]:
            missing[name] -= 1
            if not missing[name]:
                heappush(free, name)
    if len(placed) < len(found):
        raise CycleError(_cycle(before, {name for name, count in missing.items() if count}))
    return placed


def needs(found: Sequence[Migration]) -> dict[str, set[str]]:
    """Return what each migration depends on at first hand, both by the names of their files."""
    called = {name: one.name for one in found for name in (one.name, *one.aliases)}
    return {one.name: {_known(one, name, called) for name in one.dependencies} for one in found}


def closure(name: str, before: Mapping[str, set[str]]) -> set[str]:
    """Return all that ``name`` depends on, however far away."""
    reached, waiting = set[str](), [name]
    while waiting:
        fresh = before[waiting.pop()] - reached
        reached |= fresh
        waiting += fresh
    return reached


def _known(migration: Migration, dependency: str, called: Mapping[str, str]) -> str:
    if dependency in called:
        return called[dependency]
    from difflib import get_close_matches  # late: it is slow to import, and hardly ever needed

    close = get_close_matches(dependency, called, n=1)
    raise MissingDependencyError(str(migration.path), dependency, close[0] if close else None)


def _cycle(before: Mapping[str, set[str]], stuck: set[str]) -> tuple[str, ...]:
    """Return the members of one circle, each followed by what it depends on; the first by name leads.

    What is stuck is a circle or waits for one, so following what each waits for leads into one.
    """
    path = [*_followed(before, stuck)]
    circle = path[path.index(path[-1]) : -1]
    first = circle.index(min(circle))
    return (*circle[first:], *circle[:first])


def _followed(before: Mapping[str, set[str]], stuck: set[str]) -> Iterator[str]:
    """Yield what stands in the way of what, until something comes again."""
    seen, name = set[str](), min(stuck)
    while name not in seen:
        yield name
        seen.add(name)
        name = min(before[name] & stuck)
    yield name
