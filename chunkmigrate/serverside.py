"""Server-side: one attempt at a step whose documents the server updates alone, window by window.

A generator of `ChunkResult`, as the pipeline is: each window, a range of ``_id``s whose end is found by
counting in the index, is a chunk, and commits with its position. There is one at a time: the server does the
work, and two would only ask it for more at once. How wide windows are is ``widths``' law, what one update
does ``ranged``'s business; no document is read here, and memory decides nothing.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pymongo

from chunkmigrate import retry as retry_
from chunkmigrate import sizing, widths
from chunkmigrate.chunks import Chunk
from chunkmigrate.committing import Committer, TooWideError, Window
from chunkmigrate.pipeline import ChunkResult
from chunkmigrate.ranged import refusal
from chunkmigrate.records import Intent
from chunkmigrate.sending import FAILURES
from chunkmigrate.windows import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.client_session import ClientSession

    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.frontier import Segment
    from chunkmigrate.memory import Sensor
    from chunkmigrate.quarantine import Quarantine
    from chunkmigrate.ranged import Ranged
    from chunkmigrate.raw import Key
    from chunkmigrate.retry import Retry
    from chunkmigrate.scan import Scan
    from chunkmigrate.throttle import Throttle
    from chunkmigrate.turn import Turn
    from chunkmigrate.widths import Width


class ServerSide:
    """Runs one attempt. Iterate it once; ``stopped_by`` then is "stop" where it ended early."""

    def __init__(
        self,
        ranged: Ranged,
        checkpoint: Checkpoint,
        quarantine: Quarantine,
        sensor: Sensor,
        *,
        session: ClientSession | None,
        stopped: Callable[[], bool],
        retry: Retry,
        throttle: Throttle,
        turn: Turn,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scan, self._ranged = ranged.scan, ranged
        self._checkpoint, self._quarantine, self._sensor = checkpoint, quarantine, sensor
        self._committer = Committer(
            checkpoint=checkpoint, ranged=self._ranged, session=session, retry=retry, clock=clock
        )
        self._stopped, self._retry, self._throttle, self._turn = stopped, retry, throttle, turn
        self.stopped_by = ""
        known = checkpoint.sizes.chunk_documents if checkpoint.sizes else None
        self._width = widths.start(known, ranged.scan.average_size(), most)

    def __iter__(self) -> Iterator[ChunkResult]:
        """Yield each window as the server acknowledges it.

        Raises `UsageError` where the server cannot make the update of any document.
        """
        if self._checkpoint.done:
            return
        self._retry(self._ranged.check)
        self._checkpoint.sizes = _sizes(self._width)
        self._checkpoint.intend(self._intent(self._checkpoint.position, None))
        for segment in self._checkpoint.segments():
            yield from self._windows(segment)
            if self.stopped_by:
                return

    def _windows(self, segment: Segment) -> Iterator[ChunkResult]:
        after = segment.after
        while after != segment.upto:
            self._turn.wait(lambda: None)
            if self._stopped():
                self.stopped_by = "stop"
                return
            if (window := self._window(after, segment.upto)) and self._is_committed(window):
                self._turn.used()
                after = window.chunk.through
                yield self._result(window)

    def _window(self, after: Key | None, upto: Key) -> Window | None:
        """Return the next window; None where its end is too far away to be found in time."""
        quick = replace(self._retry, passing=self._is_passing)
        try:
            through = quick(lambda: end_of(self._scan, after, upto, self._width))
        except FAILURES as error:
            if self._width.alone or not retry_.is_slow(error):
                raise
            self._width = widths.halved(self._width)
            return None
        return Window(Chunk(self._checkpoint.next_number, after, through), alone=self._width.alone)

    def _is_passing(self, error: BaseException) -> bool:
        return self._retry.passing(error) and (self._width.alone or not retry_.is_slow(error))

    def _is_committed(self, window: Window) -> bool:
        """Commit a window, its one document set aside where it must be; False where it is too wide."""
        self._checkpoint.sizes = _sizes(self._width)
        self._checkpoint.intent = self._intent(window.through, None)
        try:
            self._committer.commit(window)
        except TooWideError as error:
            if not window.alone:
                self._width = widths.refused(self._width) if error.fault else widths.lost(self._width)
                return False
            self._set_aside(window.chunk, refusal(window.through, error.cause))
            window.refused = True
            self._committer.commit(window)
            self._width = widths.refused(self._width)
        else:
            self._width = widths.committed(self._width, window.server_seconds, window.chunk.read)
        self._throttle.committed(window.chunk.read, window.seconds)
        return True

    def _set_aside(self, chunk: Chunk, error: DocumentError) -> None:
        if chunk.through is not None:
            self._quarantine.take(chunk, 0, chunk.through, error)
        chunk.read, chunk.written, chunk.writes = 1, 0, 0

    def _intent(self, after: Key | None, through: Key | None) -> Intent:
        reading = self._sensor.read()
        return Intent(after=after, through=through, used=reading.used, budget=reading.budget)

    def _result(self, window: Window) -> ChunkResult:
        reading, chunk = self._sensor.read(), window.chunk
        return ChunkResult(
            number=chunk.number,
            counts=chunk.counts,
            size=chunk.size,
            seconds=window.seconds,
            reading=reading,
            zone=sizing.zone_of(reading),
            sizes=_sizes(self._width),
        )


def end_of(scan: Scan, after: Key | None, upto: Key, width: Width) -> Key:
    """Return where a window behind ``after`` ends: ``upto`` at the latest.

    Where every key of the index that is used matches, that is steps in this index. Else it is steps in the
    one on ``_id``, for which no document is looked at; and within them, if more could match than a window may
    have, the last document that may.
    """
    end, dense = upto, False
    with pymongo.timeout(READ_SECONDS):
        if scan.filter and scan.hint is None:
            end = scan.ahead(after, upto, width.keys) or upto
            dense = width.keys <= width.documents
        within = [] if dense else scan.keys(after, end, 1, skip=width.documents - 1)
    return within[0] if within else end


def _sizes(width: Width) -> sizing.Sizes:
    """Return the width as it is stored and shown. No bytes are held here: those stay at their most."""
    return sizing.Sizes(
        chunk_bytes=sizing.MAX_CHUNK_BYTES,
        page_bytes=sizing.MAX_PAGE_BYTES,
        chunk_documents=width.documents,
    )
