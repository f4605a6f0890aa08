"""Disorder: why a folder of migrations, or what is on record of it, cannot be used as it is.

Errors as those in ``errors``: a class is one failure, its data are on attributes, and its sentence says what
to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate.errors import InvalidModuleError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SameNameError(InvalidModuleError):
    """Two migrations have one name. ``one`` and ``other`` are their paths."""

    def __init__(self, name: str, one: str, other: str) -> None:
        self.name, self.one, self.other = name, one, other
        super().__init__(
            f"{one} and {other} have one name, {name}, upper and lower case being the same: which of them is "
            "applied could not be told. Rename one that is not applied anywhere."
        )


class CycleError(InvalidModuleError):
    """Migrations depend on each other in a circle. Each of ``members`` depends on the next one."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self.members = members
        circle = " -> ".join((*members, members[0]))
        super().__init__(
            f"These depend on each other in a circle: {circle}. Take one name out of depends_on."
        )


class MissingDependencyError(InvalidModuleError):
    """A migration depends on one that is not there. ``close`` is a name that could be meant, or None."""

    def __init__(self, path: str, dependency: str, close: str | None) -> None:
        self.path, self.dependency, self.close = path, dependency, close
        meant = f" Is {close} meant?" if close else ""
        super().__init__(f"{path} depends on {dependency}, which is not in its folder.{meant}")


class NotReadyError(UsageError):
    """What a migration depends on is not applied. ``unready`` has the status of each, by name."""

    def __init__(self, migration: str, unready: Mapping[str, str]) -> None:
        self.migration, self.unready = migration, dict(unready)
        names = ", ".join(f"{name} ({status})" for name, status in unready.items())
        super().__init__(
            f"{migration} depends on what is not applied: {names}. Nothing was begun. Run "
            f"`chunkmigrate run {migration}`, without --only, to apply those first."
        )


class HalfRolledBackError(UsageError):
    """A rollback of this migration has begun and is not complete."""

    def __init__(self, migration: str) -> None:
        self.migration = migration
        super().__init__(
            f"{migration} is half rolled back: some documents are as before it, others are not. Nothing was "
            f"begun. Finish that first with `chunkmigrate rollback {migration}`; then it can be applied "
            "again, from the beginning."
        )


class RenamedError(UsageError):
    """The file of a migration that was begun has another name now. ``before`` is the name on record."""

    def __init__(self, migration: str, before: str) -> None:
        self.migration, self.before = migration, before
        super().__init__(
            f"{migration} means the same as {before}, which is on record and has no file any more: it was "
            f"renamed, and would be done again. Nothing was begun. Give the file its old name, or, where "
            f"{before} is applied, record the new one with `chunkmigrate mark {migration} --applied`."
        )


class DeletedError(UsageError):
    """The file of a migration on record was deleted. ``behind`` is a file that was applied behind it."""

    def __init__(self, migration: str, status: str, behind: str) -> None:
        self.migration, self.status, self.behind = migration, status, behind
        super().__init__(
            f"{migration} is on record as {status}, and its file is gone, though that of {behind}, which was "
            "run behind it, is here: it was deleted. Nothing was begun. Restore the file, or take it off the "
            f"record with `chunkmigrate mark {migration} --pending`."
        )


class NoWayBackError(UsageError):
    """A migration cannot be rolled back: it has no downgrade, and nothing was kept to undo it."""


class ForeignHistoryError(UsageError):
    """The history of another migration tool cannot be taken over. Nothing was changed."""


class ForeignRecordError(ForeignHistoryError):
    """A record in another tool's history is none of that tool's.

    ``record`` is its ``_id``, as Python writes it; ``field`` the one that is wrong.
    """

    def __init__(self, record: str, field: str, what: str) -> None:
        self.record, self.field = record, field
        super().__init__(
            f"The record with _id {record} cannot be imported: its {field} {what}. Correct it, or name the "
            "right collection with --collection. Nothing was imported."
        )


class NotMarkableError(UsageError):
    """A migration cannot be marked as it stands. Nothing was changed."""
