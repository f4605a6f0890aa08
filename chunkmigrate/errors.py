"""Every failure chunkmigrate names.

A class is one failure; its docstring is the sentence shown when no better one is given, and the data
behind the sentence sits on attributes; ``discreet`` is the same sentence without any value out of a document
but its ``_id``, for others to read. The driver's exception, where there is one, is ``__cause__``.
Exit codes are not decided here: they belong to ``cli.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


class ChunkmigrateError(Exception):
    """chunkmigrate failed."""

    def __init__(self, message: str | None = None, *, discreet: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)
        self.discreet = discreet or str(self)


class UsageError(ChunkmigrateError):
    """It cannot be used as asked."""


class InvalidSettingError(UsageError):
    """A setting has a value that cannot be used."""


class InvalidModuleError(UsageError):
    """A file in the migrations folder is not a migration."""


class UnknownMigrationError(UsageError):
    """No migration has this name."""


class UnknownRunError(UsageError):
    """No run is on record that could be meant."""


class VerificationError(ChunkmigrateError):
    """A migration did what it does, and its verification failed. What it has written is committed."""


class VerificationWritesError(UsageError):
    """A verification may only read. ``command`` is what it was about to send."""

    def __init__(self, migration: str, command: str) -> None:
        self.migration, self.command = migration, command
        super().__init__(
            f"verify(db) of {migration} is to look, and was about to change something ({command}). The "
            "command was not sent. What changes data belongs into upgrade(db)."
        )


class BudgetTooSmallError(UsageError):
    """The memory budget is smaller than the process itself needs."""


class AccessDeniedError(UsageError):
    """The server refused the credentials, or they do not allow this."""


class WouldWriteError(UsageError):
    """A migration that acts by itself can only be run."""

    def __init__(self, migration: str, command: str) -> None:
        self.migration, self.command = migration, command
        super().__init__(
            f"The code of {migration} acts by itself ({command}), beside what it returns: only a run can "
            "tell what comes of it. The command was not sent."
        )


class ProfileError(UsageError):
    """There is no profile of this migration that can be used."""


class UnmeasuredError(ChunkmigrateError):
    """A migration could not be measured. Nothing was changed."""


class ResumeError(UsageError):
    """The checkpoint on record belongs to another scan."""


class UnusableIndexError(UsageError):
    """The index a scan names cannot be read in its place. ``index`` is its name, in ``namespace``."""

    def __init__(self, message: str, namespace: str, index: str) -> None:
        self.namespace, self.index = namespace, index
        super().__init__(message)


class UnreachableError(ChunkmigrateError):
    """No MongoDB server answered."""


class EmbeddedServerError(ChunkmigrateError):
    """The embedded MongoDB server could not be used."""


class ServerError(ChunkmigrateError):
    """The server failed; what is committed is safe, and running again continues from there."""


class SupersededError(ChunkmigrateError):
    """Another run of this migration has taken over; this one stopped without writing."""


class LeaseHeldError(ChunkmigrateError):
    """Another run of this migration holds its lease.

    ``pod`` (empty outside a cluster), ``host`` and ``pid`` say which; times are the server's.
    """

    def __init__(
        self,
        message: str,
        *,
        migration: str,
        pod: str,
        host: str,
        pid: int,
        since: datetime,
        renewed: datetime,
    ) -> None:
        self.migration, self.pod, self.host, self.pid = migration, pod, host, pid
        self.since, self.renewed = since, renewed
        super().__init__(message)


class StoppedError(ChunkmigrateError):
    """It was asked to stop before it had begun."""


class CancelledError(UsageError):
    """The migration was cancelled. ``by`` says by whom."""

    def __init__(self, migration: str, by: str) -> None:
        self.migration, self.by = migration, by
        super().__init__(
            f"{migration} was cancelled by {by or 'an operator'}; what is committed is safe. Allow it again "
            f"with `chunkmigrate resume {migration}`."
        )


class DocumentError(ChunkmigrateError):
    """One document stopped the migration.

    ``document_id`` is its ``_id``; nothing of its chunk was written. ``reason`` is the word for it in
    quarantine. ``then`` is the end of its sentence that holds only where it stops the run.
    """

    reason = "failed"

    def __init__(
        self, document_id: Any, message: str, *, discreet: str | None = None, then: str = ""
    ) -> None:
        self.document_id, self.then = document_id, then
        super().__init__(message, discreet=discreet)

    def aside(self, *, show_values: bool) -> str:
        """Return what is said of a document that stops nothing, as in quarantine or in a dry run."""
        return (str(self) if show_values else self.discreet).removesuffix(self.then).rstrip()


class TransformError(DocumentError):
    """The transform raised, or returned something that is not a write."""

    reason = "transform"


class UndecodableError(DocumentError):
    """A stored document is not valid BSON."""

    reason = "undecodable"

    @classmethod
    def of(cls, document_id: Any, shown: str, error: Exception) -> UndecodableError:
        """Return what is raised for a document whose ``_id`` is ``shown`` so, because of a driver's error."""
        what, safe = f"The document with _id {shown} cannot be decoded", "Nothing of its chunk was written."
        message, discreet = (f"{what}: {why}. {safe}" for why in (error, type(error).__name__))
        return cls(document_id, message, discreet=discreet, then=safe)


class WriteRefusedError(DocumentError):
    """The server refused a write. ``code`` is the server's error number."""

    reason = "refused"

    def __init__(
        self,
        document_id: Any,
        message: str,
        code: int | None = None,
        *,
        discreet: str | None = None,
        then: str = "",
    ) -> None:
        self.code = code
        super().__init__(document_id, message, discreet=discreet, then=then)


class TooLargeError(DocumentError):
    """A write is larger than the 16 MiB a MongoDB document may have."""

    reason = "too large"


class ConflictError(DocumentError):
    """A document was edited by somebody else each time it was about to be written."""

    reason = "conflict"


class DeadlyError(DocumentError):
    """Three runs in a row were killed while this document was at work."""

    reason = "deaths"


class DoesNotFitError(DocumentError):
    """A document does not fit into the memory budget, not even alone.

    ``needs`` is the budget it takes, in bytes.
    """

    reason = "memory"

    def __init__(self, document_id: Any, message: str, needs: int) -> None:
        self.needs = needs
        super().__init__(document_id, message)


class QuarantineFullError(ChunkmigrateError):
    """More documents failed than may be set aside.

    ``limit`` is how many may be; ``last`` the failure of the last one.
    """

    def __init__(self, limit: int, last: DocumentError) -> None:
        self.limit, self.last = limit, last
        super().__init__(self._sentence(str(last)), discreet=self._sentence(last.discreet))

    def _sentence(self, last: str) -> str:
        return (
            f"{self.limit:,} documents are in quarantine, which is the limit, and there is one more: {last} "
            "Look at them with `chunkmigrate quarantine list`, correct the migration, and run again."
        )


class MostlyFailingError(ChunkmigrateError):
    """Most documents fail. ``failed`` of ``read`` documents were set aside in this run."""

    def __init__(self, failed: int, read: int) -> None:
        self.failed, self.read = failed, read
        super().__init__(
            f"{failed:,} of the {read:,} documents of this run failed and are in quarantine: it is the "
            "migration that does not fit them. The others are committed. Correct it, then run "
            "`chunkmigrate quarantine retry` for those, and `chunkmigrate run` for the rest."
        )


class ChunkTooMuchError(ChunkmigrateError):
    """The server cannot commit a chunk of this size. ``documents`` is how many it has."""

    def __init__(self, documents: int, message: str, *, discreet: str | None = None) -> None:
        self.documents = documents
        super().__init__(message, discreet=discreet)


class UndeliveredError(ChunkmigrateError):
    """What somebody asked to be told could not be delivered."""


class ThrottleError(ChunkmigrateError):
    """The author's throttle raised."""


class NoClusterError(UsageError):
    """No Kubernetes cluster can be reached as this machine is set up."""


class UnknownJobError(UsageError):
    """No Job has this name."""


class ClusterRefusedError(UsageError):
    """The Kubernetes API refused a request.

    ``status`` is the HTTP status, ``reason`` the API's word for it: two failures of one status differ in it.
    """

    def __init__(self, message: str, status: int, reason: str = "") -> None:
        self.status, self.reason = status, reason
        super().__init__(message)


class ClusterError(ChunkmigrateError):
    """The Kubernetes API failed, or did not answer; to ask again may help.

    ``wait`` is how many seconds it asks to be left alone, 0 where it does not say.
    """

    def __init__(self, message: str | None = None, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(message)
