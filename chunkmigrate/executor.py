"""The executor: one to four writers, each committing one chunk at a time.

A chunk and its checkpoint are one transaction where the server has transactions; on a standalone server the
chunk comes first, so that a death between the two repeats it rather than losing it. A chunk goes down the
ladder: again while its failure passes, without the documents the server refuses, as a whole once more where
somebody edited what it read, and back to whoever made it where only a smaller one could pass.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Self

import pymongo

from chunkmigrate import retry as retry_
from chunkmigrate import server
from chunkmigrate.checkpoint import AlreadyCommittedError
from chunkmigrate.discretion import bare_reason
from chunkmigrate.errors import ChunkTooMuchError
from chunkmigrate.sending import FAILURES, RefusedError, refusal, send_all, too_much
from chunkmigrate.unchanged import changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.chunks import Chunk
    from chunkmigrate.retry import Retry
    from chunkmigrate.scan import Scan
    from chunkmigrate.sending import Sender
    from chunkmigrate.transforming import Transformer

# A writer stuck on one chunk must not let the others run ahead without end: each range ahead of it
# is kept in a checkpoint.
MAX_AHEAD = 16

# Two transactions that change one document cannot both commit. Losing five times in a row says that this one
# has too many documents to ever be quick enough.
MAX_CONFLICTS = 5
# While a chunk waits to try again what it read is edited further: with `if_unchanged` it is halved sooner.
MAX_GUARDED_CONFLICTS = 2
# A try that took all the time it had may have met a server that was busy, once.
MAX_SLOW = 1
# The server ends a transaction with the first document it refuses. 600 of 1,000 took 600 tries: 22 s where a
# validator refused them, 88 s where a unique index did. Smaller chunks lose less with each: 2 and 4 s.
MAX_REFUSED = 32

# Where documents are edited faster than their chunk is written, a smaller one is written faster: on a machine
# that stalled for seconds, eight documents in a hundred had been edited in each of four tries and were given
# up. A few edited documents are no such sign, and are made anew where they are.
EDITED_SHARE, EDITED_LEAST = 1 / 8, 32


@dataclass(frozen=True, slots=True)
class Committed:
    """A chunk the server has acknowledged, and how long its last try took in seconds."""

    chunk: Chunk
    seconds: float


@dataclass(frozen=True, slots=True)
class Changed:
    """A chunk that was not written: what it read was edited. ``fresh``: as `unchanged.changed` has it."""

    fresh: dict[int, bytes | None]


class _ChangedError(Exception):
    """Undoes the transaction of a chunk that has to be made anew."""

    def __init__(self, fresh: dict[int, bytes | None]) -> None:
        self.fresh = fresh
        super().__init__(len(fresh))


class BulkExecutor:
    """Commits chunks on several threads. Use as a context manager; leaving it waits for what is in flight.

    There is one writer for each of ``sessions``; where a server has no transactions they are None.
    ``guarded`` is the scan to compare with, where a document may be written only if it is what was read.
    """

    def __init__(
        self,
        client: MongoClient[Any],
        checkpoint: Checkpoint,
        transformer: Transformer,
        *,
        sessions: Sequence[ClientSession | None],
        guarded: Scan | None = None,
        retry: Retry | None = None,
        sender: Sender | None = None,
    ) -> None:
        self._checkpoint, self._sessions, self._transformer = checkpoint, sessions, transformer
        self._guarded, self._send = guarded, sender or partial(send_all, client)
        self._closing = threading.Event()
        given = retry or retry_.Retry()
        self._retry = replace(given, stopped=lambda: self._closing.is_set() or given.stopped())
        self._idle = list(range(len(sessions)))
        self._running: dict[Future[Committed | Changed], tuple[int, Chunk]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the writers."""
        self._threads = self._stack.enter_context(ThreadPoolExecutor(len(self._sessions), "writer"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the chunks in flight: what they did must be known before anybody reports.

        They are not tried again: whoever leaves early has seen a failure, or does not want to wait.
        """
        self._closing.set()
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
        self._start(heappop(self._idle), chunk)
        return committed

    def finished(self) -> list[Committed]:
        """Return the chunks committed since the last call, and raise the error of one that failed.

        A chunk that was not written because documents were edited is made anew here, in the caller's thread:
        the author's code runs in no other.
        """
        committed = []
        while future := self._next_done():
            slot, chunk = self._running.pop(future)
            result = future.result()
            if isinstance(result, Changed):
                _check_pace(chunk, len(result.fresh))
                self._transformer.mend(chunk, result.fresh)
                self._start(slot, chunk)
            else:
                heappush(self._idle, slot)
                committed.append(result)
        return committed

    def _next_done(self) -> Future[Committed | Changed] | None:
        """Return the first chunk in order that is done with.

        One that failed has to wait for those before it: who is told that all before it is committed must be
        able to rely on that, and of two failures the first counts.
        """
        running = sorted(self._running, key=lambda future: self._running[future][1].number)
        done = next((future for future in running if future.done()), None)
        if done is None or done is running[0] or done.exception() is None:
            return done
        wait(running[: running.index(done)], return_when=FIRST_COMPLETED)
        return self._next_done()

    def drain(self) -> list[Committed]:
        """Wait until nothing is in flight; return what was committed."""
        committed = []
        while self._running:
            wait(self._running, return_when=FIRST_COMPLETED)
            committed += self.finished()
        return committed

    def _start(self, slot: int, chunk: Chunk) -> None:
        self._running[self._threads.submit(self._commit, slot, chunk)] = slot, chunk

    def _may_start(self, chunk: Chunk, most_bytes: int) -> bool:
        if not self._running:
            return True
        oldest = min(running.number for _, running in self._running.values())
        fits = self.in_flight + chunk.size <= most_bytes and chunk.number - oldest < MAX_AHEAD
        return bool(self._idle) and fits

    def _commit(self, slot: int, chunk: Chunk) -> Committed | Changed:
        conflicts = MAX_GUARDED_CONFLICTS if self._guarded else MAX_CONFLICTS
        ladder = _Ladder(chunk, conflicts)
        try:
            while not self._is_committed(slot, ladder):
                pass
        except _ChangedError as error:
            return Changed(error.fresh)
        self._checkpoint.acknowledge(slot, chunk)
        chunk.empty()
        return Committed(chunk, ladder.seconds)

    def _is_committed(self, slot: int, ladder: _Ladder) -> bool:
        """Try until the chunk is committed, or until it has lost a document and must be tried without it."""
        try:
            self._retry(lambda: ladder.timed(lambda: self._try(slot, ladder)))
        except AlreadyCommittedError:
            return True
        except RefusedError as error:
            self._transformer.refuse(ladder.chunk, error.number, error.error)
            ladder.refused += 1
            if ladder.refused > MAX_REFUSED and self._sessions[slot]:
                raise ladder.mostly_refused() from error
            return False
        return True

    def _try(self, slot: int, ladder: _Ladder) -> None:
        session = self._sessions[slot]
        if session is None:
            with pymongo.timeout(server.ATTEMPT_SECONDS):
                self._write(slot, ladder, None)
        else:
            write = lambda session: self._write(slot, ladder, session)  # noqa: E731
            server.attempt(session, write, seconds=server.ATTEMPT_SECONDS)

    def _write(self, slot: int, ladder: _Ladder, session: ClientSession | None) -> None:
        chunk = ladder.chunk
        # A try whose answer was lost may have got through, and then an insert would be refused as its own
        # duplicate. The first try need not ask: the checkpoint's own update refuses what was taken over.
        if ladder.tries > 1 or session is None:
            self._checkpoint.verify(slot, chunk, session)
            ladder.unknown = False
        if self._guarded and session and (fresh := changed(self._guarded, chunk, session)):
            raise _ChangedError(fresh)
        self._send(chunk, session, again=ladder.tries > 1)
        self._checkpoint.commit(slot, chunk, session)


@dataclass(slots=True)
class _Ladder:
    """One chunk on its way: how long its last try took, and how often it lost against another transaction.

    It may lose ``max_conflicts`` times before it is to be made smaller.
    """

    chunk: Chunk
    max_conflicts: int = MAX_CONFLICTS
    seconds: float = 0.0
    tries: int = 0
    conflicts: int = 0
    slow: int = 0
    refused: int = 0
    unknown: bool = False  # whether an earlier try may be committed

    def timed(self, work: Any) -> None:
        """Do ``work``; raise `ChunkTooMuchError` where only fewer documents can pass."""
        started = time.monotonic()
        self.tries += 1
        try:
            work()
        except FAILURES as error:
            self.conflicts += retry_.is_conflict(error)
            self.slow += retry_.is_slow(error)
            self.unknown = self.unknown or retry_.is_unknown(error)
            impatient = not self.unknown and (self.conflicts > self.max_conflicts or self.slow > MAX_SLOW)
            if retry_.is_too_much(error) or (impatient and self.chunk.read > 1):
                raise self._too_much(error) from error
            raise
        finally:
            self.seconds = time.monotonic() - started

    def mostly_refused(self) -> ChunkTooMuchError:
        """Return what a chunk raises of which too many documents are refused, one try after the other."""
        message = f"MongoDB refused more than {MAX_REFUSED} of {self.chunk.read:,} documents."
        return ChunkTooMuchError(self.chunk.read, message)

    def _too_much(self, error: Exception) -> Exception:
        """Return what a chunk too much for the server raises; of one document nothing smaller can be made."""
        reason = server.reason(error)
        discreet = bare_reason(error, reason)
        if self.chunk.read > 1:
            what = f"MongoDB could not commit {self.chunk.read:,} documents together"
            return too_much(self.chunk, what, reason, discreet)
        return refusal(self.chunk, 0, reason, discreet, getattr(error, "code", None))


def _check_pace(chunk: Chunk, edited: int) -> None:
    """Raise `ChunkTooMuchError` where so many documents of a chunk were edited that it is too slow for them.

    Where documents are transformed together all of them come back, however many were edited.
    """
    if not chunk.joined and edited >= EDITED_LEAST and edited >= EDITED_SHARE * chunk.read:
        message = f"{edited:,} of {chunk.read:,} documents were edited between being read and being written."
        raise ChunkTooMuchError(chunk.read, message)
