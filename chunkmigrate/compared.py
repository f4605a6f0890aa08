"""Compared: the files of a folder beside what is on record of them. Pure.

Reading either is not done here; which of them are run is ``selection``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate import checksum
from chunkmigrate.direction import UNDO, UP, direction_of
from chunkmigrate.ledger import APPLIED, PENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chunkmigrate.migration import Migration

DOWN = UNDO.word


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One migration as it is on record, beside its file; ``migration`` is None where that is missing.

    ``drifted``: it is applied, and its file means something else since. ``late``: it is not applied, and one
    that comes behind it is. ``direction`` is "down" while it is half rolled back. ``foreign``: another tool
    has applied it, and it never had a file here.
    """

    name: str
    status: str
    migration: Migration | None
    direction: str = UP.word
    drifted: bool = False
    late: bool = False
    foreign: bool = False

    @property
    def applied(self) -> bool:
        """Whether it is applied."""
        return self.status == APPLIED

    @property
    def missing(self) -> bool:
        """Whether it is on record and its file is gone; what another tool has applied never had one here."""
        return self.migration is None and not self.foreign


def compare(found: Sequence[Migration], entries: Mapping[str, Mapping[str, Any]]) -> list[Compared]:
    """Return the migrations of a folder in their order, and behind them those that have no file there.

    What is on record as pending and has no file is nothing: it was rolled back, or never done.
    """
    applied = [place for place, one in enumerate(found) if _status(entries, one.name) == APPLIED]
    last = max(applied, default=-1)
    here = [_compared(one, entries, late=place < last) for place, one in enumerate(found)]
    return [*here, *_missing({one.name for one in found}, entries)]


def renamed(found: Sequence[Migration], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return, of what is on record and missing, which file means the same: old names, and the new ones."""
    means = {one.checksum: one.name for one in reversed(found)}
    gone = _missing({one.name for one in found}, entries)
    recorded = {one.name: entries[one.name].get("checksum") for one in gone}
    return {
        name: means[what] for name, what in recorded.items() if checksum.comparable(what) and what in means
    }


def _missing(here: set[str], entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Compared]:
    for name in sorted(entries.keys() - here):
        if (status := _status(entries, name)) != PENDING:
            entry = entries[name]
            yield Compared(
                name=name,
                status=status,
                migration=None,
                direction=direction_of(entry).word,
                foreign=entry.get("checksum", "") is None,
            )


def _compared(migration: Migration, entries: Mapping[str, Mapping[str, Any]], *, late: bool) -> Compared:
    entry, status = entries.get(migration.name, {}), _status(entries, migration.name)
    return Compared(
        name=migration.name,
        status=status,
        migration=migration,
        direction=direction_of(entry).word,
        drifted=status == APPLIED and checksum.differs(entry.get("checksum"), migration.checksum),
        late=late and status != APPLIED,
    )


def _status(entries: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return str(entries[name]["status"]) if name in entries else PENDING
