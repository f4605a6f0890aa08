"""Committing: one window of a server-side update, in one transaction with its position.

It is tried again while its failure is a passing one. Where only fewer documents could pass, or the others
without one of them, it goes back to whoever made it. What a refusal means is ``ranged``'s to know.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import retry as retry_
from chunkmigrate import server
from chunkmigrate.checkpoint import AlreadyCommittedError
from chunkmigrate.executor import MAX_SLOW
from chunkmigrate.ranged import is_a_documents, round_trip
from chunkmigrate.sending import FAILURES, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.chunks import Chunk
    from chunkmigrate.ranged import Ranged
    from chunkmigrate.raw import Key
    from chunkmigrate.retry import Retry

# All writes go through the first writer: the windows of one attempt are one behind the other.
SLOT = 0

# Two transactions that change one document cannot both commit. To lose once is chance; then a window is
# halved, for half of it costs no more than to try again.
MAX_CONFLICTS = 1

# A hundred times what a window is to take: whoever asks to stop waits for its end. One document gets more.
WINDOW_SECONDS = 10.0


class TooWideError(Exception):
    """A window cannot pass as it is, because of ``cause``. ``fault``: one of its documents was refused."""

    def __init__(self, cause: Exception, *, fault: bool) -> None:
        self.cause, self.fault = cause, fault
        super().__init__(fault)


@dataclass(slots=True)
class Window:
    """One window on its way; ``alone``: only the document at its end.

    ``seconds`` is what its last try took, ``server_seconds`` its update without the network. ``refused``: so
    its one document is set aside.
    """

    chunk: Chunk
    alone: bool
    seconds: float = 0.0
    server_seconds: float = 0.0
    tries: int = 0
    conflicts: int = 0
    slow: int = 0
    refused: bool = False
    unknown: bool = False  # whether an earlier try may be committed

    @property
    def through(self) -> Key:
        """Where it ends."""
        if self.chunk.through is None:
            raise ValueError(self.chunk.number)
        return self.chunk.through

    def judge(self, error: Exception) -> None:
        """Raise `TooWideError` where fewer documents, or the others without one of them, could pass."""
        self.conflicts += retry_.is_conflict(error)
        self.slow += retry_.is_slow(error)
        self.unknown = self.unknown or retry_.is_unknown(error)
        if self.refused:
            return
        if retry_.is_too_much(error) or is_a_documents(error):
            raise TooWideError(error, fault=is_a_documents(error)) from error
        impatient = self.conflicts > MAX_CONFLICTS or self.slow > MAX_SLOW
        if impatient and not (self.unknown or self.alone):
            raise TooWideError(error, fault=False) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Committer:
    """Commits the windows of one attempt, in ``session`` where the server has transactions."""

    checkpoint: Checkpoint
    ranged: Ranged
    session: ClientSession | None
    retry: Retry
    clock: Callable[[], float] = time.monotonic

    def commit(self, window: Window) -> None:
        """Commit a window: what the server updates of it, or what is set aside.

        Raises `TooWideError` where it cannot pass as it is, and what a chunk's commit raises.
        """
        with suppress(AlreadyCommittedError):
            self.retry(lambda: self._try(window))
        self.checkpoint.acknowledge(SLOT, window.chunk)

    def _try(self, window: Window) -> None:
        began, seconds = self.clock(), server.ATTEMPT_SECONDS if window.alone else WINDOW_SECONDS
        window.tries += 1
        try:
            if self.session is None:
                with pymongo.timeout(seconds):
                    self._write(window, None)
            else:
                write = lambda session: self._write(window, session)  # noqa: E731
                server.attempt(self.session, write, seconds=seconds)
        except FAILURES as error:
            window.judge(error)
            raise
        finally:
            window.seconds = self.clock() - began

    def _write(self, window: Window, session: ClientSession | None) -> None:
        # A try whose answer was lost may have got through; the first need not ask, but where nothing else
        # refuses what another run has taken over.
        if window.tries > 1 or session is None:
            self.checkpoint.verify(SLOT, window.chunk, session)
            window.unknown = False
        if window.chunk.aside:
            send(self._client, window.chunk, window.chunk.aside, session)
        else:
            self._update(window, session)
        self.checkpoint.commit(SLOT, window.chunk, session)

    def _update(self, window: Window, session: ClientSession | None) -> None:
        began, chunk = self.clock(), window.chunk
        if window.alone:
            done = self.ranged.apply_to(window.through, session)
        else:
            done = self.ranged.apply(chunk.after, window.through, session)
        window.server_seconds = max(0.0, self.clock() - began - round_trip(self._client))
        chunk.read, chunk.written, chunk.writes = done.matched, done.modified, done.modified

    @property
    def _client(self) -> MongoClient[Any]:
        return self.ranged.scan.collection.database.client
