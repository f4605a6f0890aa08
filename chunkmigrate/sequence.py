"""Sequence: what a command was asked to run, and those migrations one after the other.

By which rules they are chosen is ``selection``'s business, how one is run ``runs``', and what an end means to
the others the command line's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import folder, selection
from chunkmigrate.checksum import differs
from chunkmigrate.compared import compare
from chunkmigrate.errors import InvalidSettingError, StoppedError
from chunkmigrate.ledger import Ledger
from chunkmigrate.migration import discover, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from chunkmigrate.migration import Migration
    from chunkmigrate.outcome import Outcome
    from chunkmigrate.runs import Runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked for: of the migrations ``found``, all up to ``target``, or ``only`` that; else all."""

    found: Sequence[Migration]
    target: Migration | None = None
    only: bool = False
    leftovers: str = ""


def wanted(folder_: Path, name: str | None, *, only: bool = False, every: bool = False) -> Wanted:
    """Return what a command line asks for; raises `UsageError` where it cannot be meant."""
    if every and (name is not None or only):
        message = "--all is every pending migration: leave out the name and --only, or leave out --all."
        raise InvalidSettingError(message)
    if only and name is None:
        message = "--only is about one migration: name it."
        raise InvalidSettingError(message)
    found = discover(folder_)
    target = None if name is None else find(found, name)
    return Wanted(found=found, target=target, only=only, leftovers=folder.leftovers(folder_))


def chosen(asked: Wanted, ledger: Ledger) -> tuple[list[Migration], list[str]]:
    """Return what is to be run, in order, and warnings; raises what `selection.select` does. Reads only.

    One that is run alone says nothing of the others: a Job may have no file but its own.
    """
    found, entries = asked.found, ledger.entries()
    gone = [row.name for row in compare(found, entries) if row.missing]
    followed = ledger.behind(gone, [one.name for one in found])
    migrations = selection.select(found, entries, target=asked.target, only=asked.only, followed=followed)
    said = [] if asked.only else selection.warnings(found, entries)
    return migrations, [*filter(None, [asked.leftovers]), *said]


class Going:
    """Migrations that are run one after the other. Iterate it once; ``left`` are those not begun.

    ``about`` hears the name of each before it begins, ``warn`` what is to be said before all. Raises what
    `chosen` does, and `StoppedError` where it was asked to stop between two.
    """

    def __init__(
        self, asked: Wanted, runs: Runs, *, about: Callable[[str], None], warn: Callable[[str], None]
    ) -> None:
        self._target, self._runs, self._about = asked.target, runs, about
        self._ledger = Ledger(runs.database)
        self.left, warnings = chosen(asked, self._ledger)
        for warning in warnings:
            warn(warning)

    def __iter__(self) -> Iterator[Outcome | str]:
        """Yield how each run ended; a sentence where the named one is applied already."""
        while self.left:
            migration = self.left.pop(0)
            self._about(migration.name)
            # Asked anew each time: another run may have been faster. That is news of the named one alone.
            if self._ledger.is_applied(migration):
                if migration is self._target:
                    yield self._applied(migration)
            elif self._runs.stop.asked:
                raise StoppedError(f"Stopped as asked before {migration.name} began; run again to go on.")
            else:
                yield self._runs.run(migration)

    def _applied(self, migration: Migration) -> str:
        changed = differs(self._ledger.entries()[migration.name].get("checksum"), migration.checksum)
        note = ", but its file has changed since; a change belongs into a new migration" if changed else ""
        return f"{migration.name} is applied already{note}."
