"""Every failure chunkmigrate names.

A class is one failure; its docstring is the sentence shown when no better one is given, and the data
behind the sentence sits on attributes. The driver's exception, where there is one, is ``__cause__``.
Exit codes are not decided here: they belong to ``cli.py``.
"""

from __future__ import annotations

from typing import Any


class ChunkmigrateError(Exception):
    """chunkmigrate failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class UsageError(ChunkmigrateError):
    """It cannot be used as asked."""


class InvalidSettingError(UsageError):
    """A setting has a value that cannot be used."""


class InvalidModuleError(UsageError):
    """A file in the migrations folder is not a migration."""


class UnknownMigrationError(UsageError):
    """No migration has this name."""


class BudgetTooSmallError(UsageError):
    """The memory budget is smaller than the process itself needs."""


class AccessDeniedError(UsageError):
    """The server refused the credentials, or they do not allow this."""


class ResumeError(UsageError):
    """The checkpoint on record belongs to another scan."""


class UnreachableError(ChunkmigrateError):
    """No MongoDB server answered."""


class EmbeddedServerError(ChunkmigrateError):
    """The embedded MongoDB server could not be used."""


class ServerError(ChunkmigrateError):
    """The server failed; what is committed is safe, and running again continues from there."""


class SupersededError(ChunkmigrateError):
    """Another run of this migration has taken over; this one stopped without writing."""


class DocumentError(ChunkmigrateError):
    """One document stopped the migration.

    ``document_id`` is its ``_id``; nothing of its chunk was written.
    """

    def __init__(self, document_id: Any, message: str) -> None:
        self.document_id = document_id
        super().__init__(message)


class TransformError(DocumentError):
    """The transform raised, or returned something that is not a write."""


class UndecodableError(DocumentError):
    """A stored document is not valid BSON."""


class WriteRefusedError(DocumentError):
    """The server refused a write. ``code`` is the server's error number."""

    def __init__(self, document_id: Any, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(document_id, message)


class TooLargeError(DocumentError):
    """A write is larger than the 16 MiB a MongoDB document may have."""
