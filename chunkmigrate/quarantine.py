"""Quarantine: documents that could not be migrated, kept with the reason, so that the others can be.

Decides whether a document that failed stops the run or is set aside, writes and reads what is kept of it.
A document gets here in the same transaction that moves the position over it. Finding out which document
failed is the business of whoever worked on it.
"""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import bson
import pymongo
from bson import MaxKey
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.raw_bson import RawBSONDocument

from chunkmigrate import raw, server
from chunkmigrate.errors import ConflictError, DeadlyError, MostlyFailingError, QuarantineFullError
from chunkmigrate.fencing import down
from chunkmigrate.raw import Key
from chunkmigrate.retry import Retry
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bson.codec_options import CodecOptions
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.command_cursor import CommandCursor
    from pymongo.database import Database

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.records import Counts

COLLECTION = "chunkmigrate_quarantine"

# What a person reads of it, in letters; a recursion that went wrong has a traceback of a megabyte, and an
# exception may say a whole document.
MAX_TEXT = 8_000

# GitLab gives a migration up when half of fifty jobs failed; the same is asked here of documents, but only
# of a thousand or of all there are: broken documents lie together, and the first may be among them.
FAILING_LEAST = 50
FAILING_JUDGED = 1_000

# Of a document that was set aside before there were two sentences of each failure.
UNSAID = "What was said of it may quote it: --show-values shows it."

# How many _ids of a reason a summary names.
FEW = 5

# How many _ids of documents that wait are in memory at once. Each becomes a transaction, beside which a
# hundredth of a query is nothing.
WAITING = 100

# Nobody chose these: the documents would stop every run for ever.
_ALWAYS = (ConflictError, DeadlyError)


@dataclass(slots=True, kw_only=True)
class Quarantine:
    """What happens to the documents of one step that fail. ``taken`` counts those set aside, all attempts.

    ``options`` are those the documents were decoded with. ``recount`` asks how many they are by now, where
    other processes set documents of the step aside, too.
    """

    database: str
    migration: str
    step: int
    namespace: str
    run: Any
    enabled: bool
    limit: int
    options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS
    taken: int = 0
    recount: Callable[[], int] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, chunk: Chunk, number: int, document_id: Any, error: DocumentError) -> None:
        """Set a document of ``chunk`` aside because of ``error``; raise the error where that is not wanted.

        ``document_id`` is its ``_id``, or the `Key` of it where it could not be decoded. Raises
        `QuarantineFullError` once there are more than ``limit``.
        """
        if not (self.enabled or isinstance(error, _ALWAYS)):
            raise error
        with self._lock:
            if self.recount:
                self.taken = max(self.taken, self.recount())
            if self.taken >= self.limit:
                raise QuarantineFullError(self.limit, error) from error
            self.taken += 1
        chunk.set_aside(f"{self.database}.{COLLECTION}", self.statement(document_id, error), number)

    def statement(self, document_id: Any, error: DocumentError) -> bytes:
        """Return the update that puts a document into quarantine, or once more."""
        identity = self._identity(document_id)
        facts = {
            "namespace": self.namespace,
            "reason": error.reason,
            "message": _storable(error.aside(show_values=True)[:MAX_TEXT]),
            "discreet": _storable(error.aside(show_values=False)[:MAX_TEXT]),
            "traceback": _storable(_traceback(error)),
            "run": self.run,
            "at": datetime.now(UTC),
        }
        change = {"$set": _document(identity + _elements(facts)), "$inc": {"attempts": 1}}
        return bson.encode({"q": {"_id": _document(identity)}, "u": change, "upsert": True})

    def release(self, document_id: Any) -> bytes:
        """Return the statement of a ``delete`` command that takes a document out of quarantine."""
        return bson.encode({"q": {"_id": _document(self._identity(document_id))}, "limit": 1})

    def _identity(self, document_id: Any) -> bytes:
        """Return what tells one document from another, its ``_id`` byte for byte as it is stored."""
        key = document_id if isinstance(document_id, Key) else self._key(document_id)
        return _elements({"migration": self.migration, "step": self.step}) + key.element("document")

    def _key(self, document_id: Any) -> Key:
        return raw.key_of(bson.encode({"_id": document_id}, codec_options=self.options))


def judge(counts: Counts, *, ended: bool) -> None:
    """Raise `MostlyFailingError` where more documents failed than not, of a number that tells something."""
    tells = counts.quarantined >= FAILING_LEAST and (ended or counts.read >= FAILING_JUDGED)
    if tells and 2 * counts.quarantined > counts.read:
        raise MostlyFailingError(counts.quarantined, counts.read)


def listing(
    database: Database[Any], migration: str | None, *, show_values: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield what is in quarantine, oldest first; of one migration and its rollback, or of all. Reads only.

    A ``message`` quotes documents only where it is to ``show_values``; else it is not even read. A limit of a
    hundred thousand documents is somebody's: they are neither held nor sorted here, and the tracebacks, most
    of their size, stay where they are.
    """
    chosen = {} if migration is None else {"$or": [of(migration), of(down(migration))]}
    message = "$message" if show_values else {"$ifNull": ["$discreet", UNSAID]}
    stages: list[Mapping[str, Any]] = [
        {"$match": chosen},
        {"$project": dict.fromkeys(_SHOWN, 1) | {"message": message}},
        {"$sort": {"at": 1, "_id": 1}},
    ]
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = database[COLLECTION].with_options(RAW).aggregate(stages, allowDiskUse=True)
    while (document := _next(found)) is not None:
        yield _row(document)


def _next(found: CommandCursor[RawBSONDocument]) -> RawBSONDocument | None:
    """Return the next document, in a time of its own: how long all of it takes is the reader's to say."""
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        return next(found, None)


def summary(database: Database[Any], migration: str) -> list[dict[str, Any]]:
    """Return how many documents of a migration are in quarantine for each reason, and a few ``_id``s.

    Reads only, and never what a document holds or what was said of it.
    """
    stages: list[Mapping[str, Any]] = [
        {"$match": of(migration)},
        {"$group": {"_id": "$reason", "documents": {"$sum": 1}}},
        {"$sort": {"documents": -1, "_id": 1}},
    ]
    kept = database[COLLECTION].with_options(RAW)
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        groups = [(group["_id"], group["documents"]) for group in kept.aggregate(stages)]
    return [
        {"reason": reason, "documents": documents, "ids": _few(kept, migration, reason)}
        for reason, documents in groups
    ]


def _few(kept: Collection[RawBSONDocument], migration: str, reason: Any) -> list[str]:
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = kept.find(of(migration) | {"reason": reason}, {"document": 1}).limit(FEW)
        return [_key(document).shown() for document in found]


def waiting(
    database: Database[Any],
    migration: str,
    step: int,
    *,
    after: Key | None = None,
    retry: Retry | None = None,
) -> Iterator[Key]:
    """Yield the ``_id`` of each document of a step that is in quarantine, or of those behind ``after``.

    They are asked for a few at a time, so that each may leave quarantine, or fail once more, before the next.
    """
    patiently = retry or Retry()
    while keys := patiently(partial(_page, database, migration, step, after)):
        yield from keys
        after = keys[-1]


def _page(database: Database[Any], migration: str, step: int, after: Key | None) -> list[Key]:
    """Return the ``_id`` of documents in quarantine in the order of its index, where they lie together."""
    first, end = ({"migration": migration, "step": number} for number in (step, step + 1))
    behind = _document(_elements(first) + after.element("document")) if after else first
    between = {"_id": {"$gt": behind, "$lt": end}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = database[COLLECTION].with_options(RAW)
        return [_key(kept) for kept in found.find(between, {"document": 1}).sort("_id", 1).limit(WAITING)]


def count(database: Database[Any], migration: str, step: int | None = None) -> int:
    """Return how many documents of a migration are in quarantine, or of one of its steps."""
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        return database[COLLECTION].count_documents(of(migration, step))


def forget(database: Database[Any], migration: str, session: ClientSession | None) -> None:
    """Forget what was set aside: whoever begins anew looks at every document again."""
    database[COLLECTION].delete_many(of(migration), session=session)


def of(migration: str, step: int | None = None) -> dict[str, Any]:
    """Return what the documents of a migration match, or of one of its steps: the range of their ``_id``s.

    There is an index on nothing else, and others may have a hundred thousand documents here.
    """
    first = {"migration": migration} | ({} if step is None else {"step": step})
    end = {"migration": migration, "step": MaxKey() if step is None else step + 1}
    return {"_id": {"$gt": first, "$lt": end}}


def _storable(text: str) -> str:
    """Return the text without what is no UTF-8: half of a pair, out of an exception's message."""
    return text.encode(errors="replace").decode()


def _elements(document: Mapping[str, Any]) -> bytes:
    return bson.encode(document)[4:-1]


def _document(elements: bytes) -> RawBSONDocument:
    return RawBSONDocument(raw.enclosed(elements))


def _row(document: RawBSONDocument) -> dict[str, Any]:
    # Its _id has the document's, a level deeper: what cannot be decoded is decoded by nobody there.
    plain = bson.decode(bson.encode({name: document[name] for name in _SHOWN}))
    return plain | {"document": _key(document["_id"]).shown()}


_SHOWN = ("migration", "step", "reason", "message", "attempts", "at")


def _key(document: RawBSONDocument) -> Key:
    start, kind, end = raw.element(document.raw, b"document")
    return Key(kind, bytes(document.raw[start:end]))


def _traceback(error: DocumentError) -> str:
    return "".join(traceback.format_exception(error.__cause__ or error))[-MAX_TEXT:]
