"""Selection: which migrations a command runs, and when it is refused. Pure.

What is applied in the meantime is asked again before each; that is the command line's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.compared import DOWN, compare, renamed
from chunkmigrate.disorder import DeletedError, HalfRolledBackError, NotReadyError, RenamedError
from chunkmigrate.ledger import PENDING
from chunkmigrate.order import closure, needs
from chunkmigrate.plain import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.compared import Compared
    from chunkmigrate.migration import Migration

    Entries = Mapping[str, Mapping[str, Any]]


def select(
    found: Sequence[Migration],
    entries: Entries,
    *,
    target: Migration | None = None,
    only: bool = False,
    followed: Mapping[str, str] | None = None,
) -> list[Migration]:
    """Return what is to be run, in order: all that is pending, up to and with ``target``, or ``only`` that.

    The target itself is among them even where it is applied. ``found`` are in their order; ``followed`` says
    of migrations without a file which file was applied behind them, from the same folder. Raises
    `HalfRolledBackError`, `RenamedError`, `DeletedError`, and `NotReadyError` where ``only`` leaves out what
    the target depends on.
    """
    rows, names = compare(found, entries), renamed(found, entries)
    chosen = _chosen(rows, target, only=only)
    for row in chosen:
        if row.direction == DOWN:
            raise HalfRolledBackError(row.name)
    _refuse_renamed(chosen if only else rows, names)
    if target is not None and only:
        _refuse_unready(found, rows, target)
    else:
        _refuse_deleted(rows, followed or {}, names)
    return [row.migration for row in chosen if row.migration]


def warnings(found: Sequence[Migration], entries: Entries) -> list[str]:
    """Return what whoever runs migrations should know of those that are applied."""
    rows, names, said = compare(found, entries), renamed(found, entries), []
    if drifted := [row.name for row in rows if row.drifted]:
        said.append(
            f"Applied, and their files mean something else since: {listed(drifted)}. What they say now was "
            "not done. Put a change into a new migration, and restore these."
        )
    if missing := [row.name for row in rows if row.missing and row.name not in names]:
        said.append(
            f"On record, and without a file in this folder: {listed(missing)}. That is right for an older "
            "checkout or another project's; else restore them, or take them off the record with "
            "`chunkmigrate mark NAME --pending`."
        )
    return said


def _chosen(rows: Sequence[Compared], target: Migration | None, *, only: bool) -> list[Compared]:
    here = [row for row in rows if not row.missing]
    if target is None:
        return [row for row in here if not row.applied]
    place = next(place for place, row in enumerate(here) if row.name == target.name)
    before = [] if only else [row for row in here[:place] if not row.applied]
    return [*before, here[place]]


def _refuse_renamed(rows: Sequence[Compared], names: Mapping[str, str]) -> None:
    """Refuse what would be done a second time; not a file whose new name is on record, too."""
    fresh = {row.name for row in rows if row.status == PENDING and not row.missing}
    for before, now in names.items():
        if now in fresh:
            raise RenamedError(now, before)


def _refuse_deleted(rows: Sequence[Compared], followed: Mapping[str, str], names: Mapping[str, str]) -> None:
    for row in rows:
        if row.missing and row.name in followed and row.name not in names:
            raise DeletedError(row.name, row.status, followed[row.name])


def _refuse_unready(found: Sequence[Migration], rows: Sequence[Compared], target: Migration) -> None:
    wanted = closure(target.name, needs(found))
    standing = {row.name: row.status for row in rows if not row.applied}
    unready = {name: status for name, status in standing.items() if name in wanted}
    if unready and target.name in standing:  # what is applied needs nothing any more
        raise NotReadyError(target.name, unready)
