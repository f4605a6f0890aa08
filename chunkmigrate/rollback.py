"""Rollback: which migrations are rolled back, in which order, and by which way each goes back.

A migration's ``downgrade`` is its author's word on what is to happen, also with what was written since; where
it has none, what its undo has kept is restored. A rollback that has begun goes on by the way it began. Reads
only: the run itself is ``runner``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import checkpoint, restoring, server, undo
from chunkmigrate.direction import DOWNGRADE, UNDO, direction_of
from chunkmigrate.disorder import HalfRolledBackError, NoWayBackError
from chunkmigrate.errors import InvalidSettingError, UsageError
from chunkmigrate.ledger import APPLIED, PAUSED, PENDING, RUNNING, Ledger
from chunkmigrate.migration import Migration, find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.database import Database

    from chunkmigrate.direction import Direction

Entries = dict[str, "Mapping[str, Any]"]

_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Plan:
    """The migrations to roll back, in order; ``nothing`` is the sentence where there are none."""

    migrations: Sequence[Migration]
    nothing: str = ""


def plan(
    found: Sequence[Migration], entries: Entries, name: str | None = None, steps: int | None = None
) -> Plan:
    """Return what is to be rolled back: ``name``, the last ``steps``, or the last one.

    Raises `UsageError` where both are given, where there is no such migration, and where something
    applied depends on one of them.
    """
    if steps is not None and (steps < 1 or name is not None):
        message = "--steps is how many migrations to roll back, 1 or more, and goes without a name."
        raise InvalidSettingError(message)
    known = _known(found, entries)
    # What has one time, as all of a baseline has, goes back in the opposite order.
    begun = [one for one in reversed(known) if _is_begun(entries.get(one.name))]
    begun.sort(key=lambda one: _when(entries[one.name]), reverse=True)
    if name is None and not begun:
        return Plan([], "Nothing is applied; there is nothing to roll back.")
    chosen = begun[: steps or 1] if name is None else [find(known, name)]
    if name is not None and chosen[0] not in begun:
        return Plan([], f"{chosen[0].name} is not applied; there is nothing to roll back.")
    _check_dependents(chosen, begun)
    return Plan(chosen)


def way_back(
    migration: Migration, database: Database[Any], entry: Mapping[str, Any]
) -> tuple[Direction, Migration]:
    """Return by which way a migration goes back, and what a run is given to do so.

    Raises `NoWayBackError` where it has none.
    """
    way = direction_of(entry).way
    down = replace(migration, function="downgrade")
    back = replace(migration, upgrade=partial(restoring.backfill_of, migration=migration.name))
    if way != UNDO.way and _has_downgrade(migration):
        return DOWNGRADE, down
    if way == DOWNGRADE.way:
        return DOWNGRADE, down  # which says what is missing
    if way != UNDO.way:
        _check_undo(migration, database, entry)
    return UNDO, back


def _has_downgrade(migration: Migration) -> bool:
    return migration.path.is_file() and hasattr(migration.module(), "downgrade")


def _check_undo(migration: Migration, database: Database[Any], entry: Mapping[str, Any]) -> None:
    kept, origin = undo.marked(database, migration.name), entry.get("origin")
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        begun = database[checkpoint.COLLECTION].distinct("step", {"migration": migration.name})
    if entry["status"] == APPLIED and origin:
        missing = f"no run has applied it ({origin}), so what that changed was not kept"
    elif without := sorted(step + 1 for step in begun if step not in kept):
        some = f"step {without[0]}" if kept else "it"
        missing = f"{some} has kept nothing (Backfill(..., undo=True)), or that was dropped"
    elif kept or (begun and entry["status"] != APPLIED):
        return
    else:
        missing = "it acted by itself, or what it kept was dropped"
    there = "has no downgrade(db)" if migration.path.is_file() else "has no file here with a downgrade(db)"
    message = (
        f"{migration.name} cannot be rolled back: it {there}, and {missing}. Nothing was changed. Write a "
        "downgrade(db), or a new migration that does what is needed."
    )
    raise NoWayBackError(message)


def _known(found: Sequence[Migration], entries: Entries) -> list[Migration]:
    """Return the migrations there are, and those that were applied and whose file is not here."""
    there = {migration.name for migration in found}
    missing = (entry for name, entry in entries.items() if name not in there)
    return [*map(_without_file, missing), *found]


def _without_file(entry: Mapping[str, Any]) -> Migration:
    return Migration(
        name=entry["_id"],
        path=Path(f"{entry['_id']}.py"),
        description=entry.get("description", ""),
        checksum=entry.get("checksum") or "",
    )


def _is_begun(entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and entry.get("status", PENDING) != PENDING


def _when(entry: Mapping[str, Any]) -> datetime:
    """Return when a migration was last worked on: in this order they were applied."""
    times = [time for name in ("began", "ended") if isinstance(time := entry.get(name), datetime)]
    return max((time.replace(tzinfo=UTC) for time in times), default=_NEVER)


def _check_dependents(chosen: Sequence[Migration], begun: Sequence[Migration]) -> None:
    left = list(begun)
    for migration in chosen:
        left.remove(migration)
        names = {migration.name, *migration.aliases}
        if on_it := sorted(one.name for one in left if names.intersection(one.dependencies)):
            message = (
                f"{migration.name} cannot be rolled back while what depends on it is applied: "
                f"{', '.join(on_it)}. Nothing was changed; roll that back first."
            )
            raise UsageError(message)


def check_droppable(migration: str, database: Database[Any]) -> None:
    """Raise `UsageError` where what is kept to undo a migration is in use."""
    ledger = Ledger(database)
    if any(run["status"] in (RUNNING, PAUSED) for run in ledger.runs(migration)):
        message = f"{migration} is being run, and keeps what it needs to be undone. Nothing was dropped."
        raise UsageError(message)
    if direction_of(ledger.entry(migration)) == UNDO:
        raise HalfRolledBackError(migration)
