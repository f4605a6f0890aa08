"""The executor: one to four writers, each committing one chunk at a time.

A chunk and its checkpoint are one transaction where the server has transactions; on a standalone server
the chunk comes first, so that a death between the two repeats a chunk rather than losing it. What to
write and when a chunk is full is decided before a chunk gets here.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Self

from pymongo.errors import DocumentTooLarge, PyMongoError

from chunkmigrate import server
from chunkmigrate.errors import TooLargeError, WriteRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.chunks import Chunk

# A writer stuck on one chunk must not let the others run ahead without end: each range ahead of it
# is kept in a checkpoint.
MAX_AHEAD = 16

_TOO_LARGE = (10334, 17419, 17420)  # BSONObjectTooLarge, and what an update that grows a document says


@dataclass(frozen=True, slots=True)
class Committed:
    """A chunk the server has acknowledged, and how long that took in seconds."""

    chunk: Chunk
    seconds: float


class BulkExecutor:
    """Commits chunks on several threads. Use as a context manager; leaving it waits for what is in flight."""

    def __init__(
        self, client: MongoClient[Any], checkpoint: Checkpoint, *, writers: int, atomic: bool
    ) -> None:
        self._client, self._checkpoint, self._atomic = client, checkpoint, atomic
        self._idle = list(range(writers))
        self._running: dict[Future[Committed], tuple[int, Chunk]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the writers."""
        sessions = [self._client.start_session(causal_consistency=False) for _ in self._idle]
        self._sessions = [self._stack.enter_context(session) for session in sessions]
        self._threads = self._stack.enter_context(ThreadPoolExecutor(len(sessions), "writer"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the chunks in flight: what they did must be known before anybody reports."""
        self._stack.close()

    @property
    def in_flight(self) -> int:
        """Bytes of the chunks being written."""
        return sum(chunk.size for _, chunk in self._running.values())

    def submit(self, chunk: Chunk, most_bytes: int) -> list[Committed]:
        """Hand over a chunk, waiting for a writer and for room; return what was committed meanwhile.

        At most ``most_bytes`` are in flight, unless one chunk alone is larger.
        """
        committed = self.finished()
        while not self._may_start(chunk, most_bytes):
            wait(self._running, return_when=FIRST_COMPLETED)
            committed += self.finished()
        slot = heappop(self._idle)
        self._running[self._threads.submit(self._commit, slot, chunk)] = slot, chunk
        return committed

    def finished(self) -> list[Committed]:
        """Return the chunks committed since the last call, and raise the error of one that failed."""
        done = sorted((f for f in self._running if f.done()), key=lambda f: self._running[f][1].number)
        for future in done:
            slot, _ = self._running.pop(future)
            heappush(self._idle, slot)
        return [future.result() for future in done]

    def drain(self) -> list[Committed]:
        """Wait until nothing is in flight; return what was committed."""
        wait(self._running)
        return self.finished()

    def _may_start(self, chunk: Chunk, most_bytes: int) -> bool:
        if not self._running:
            return True
        oldest = min(running.number for _, running in self._running.values())
        fits = self.in_flight + chunk.size <= most_bytes
        return bool(self._idle) and fits and chunk.number - oldest < MAX_AHEAD

    def _commit(self, slot: int, chunk: Chunk) -> Committed:
        started = time.monotonic()
        if self._atomic:
            server.transact(self._sessions[slot], lambda session: self._write(slot, chunk, session))
        else:
            self._write(slot, chunk, None)
        self._checkpoint.acknowledge(slot, chunk)
        chunk.empty()
        return Committed(chunk, time.monotonic() - started)

    def _write(self, slot: int, chunk: Chunk, session: ClientSession | None) -> None:
        for group in chunk.groups:
            try:
                reply = self._client[group.database].command(group.command(), session=session)
            except PyMongoError as error:
                raise _blamed(error, chunk, group.owners) from error
            for refused in reply.get("writeErrors", ()):
                raise _refused(refused, chunk, group.owners)
        self._checkpoint.commit(slot, chunk, session)


def _blamed(error: PyMongoError, chunk: Chunk, owners: list[int]) -> Exception:
    """Name the document where a command of one document failed as a whole; leave the rest to the driver."""
    too_large = isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in _TOO_LARGE
    if not too_large or len(set(owners)) > 1:
        return error
    document_id = chunk.owner(owners[0])
    message = f"The write for document _id {document_id!r} is over 16 MiB; nothing of its chunk was written."
    return TooLargeError(document_id, message)


def _refused(refused: Mapping[str, Any], chunk: Chunk, owners: list[int]) -> WriteRefusedError:
    document_id = chunk.owner(owners[refused["index"]])
    message = (
        f"MongoDB refused the write for document _id {document_id!r}: {server.redacted(_reason(refused))}. "
        "Nothing of its chunk was written; everything before it is committed. Fix the transform or the "
        "document and run again."
    )
    return WriteRefusedError(document_id, message, refused.get("code"))


def _reason(refused: Mapping[str, Any]) -> str:
    reason = str(refused.get("errmsg", "no reason given")).partition(", full error")[0]
    return f"{reason} (code {refused.get('code')})"
