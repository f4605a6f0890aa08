"""The pipeline: the one loop. Pages in, chunks out, each acknowledged chunk a result.

It is a generator of `ChunkResult`: the display, the log lines, the runner and the tests consume it, and
not asking for the next result is how one stops it. It connects scan, building, executor and sizing, and
holds what they have in common: where reading stands and how large things may be. It knows no terminal,
no signals and no history.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.building import Builder
from chunkmigrate.chunks import Chunk
from chunkmigrate.memory import trim
from chunkmigrate.pages import Page, PageReader
from chunkmigrate.sizing import Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.executor import BulkExecutor, Committed
    from chunkmigrate.frontier import Segment
    from chunkmigrate.memory import Reading, Sensor
    from chunkmigrate.raw import Key
    from chunkmigrate.sizing import Sizes

# Trimming 40 MB takes 6 ms; twenty times its own duration must pass between two trims, so that it never
# takes more than a twentieth of a run.
TRIM_SPACING = 20

# A page is read ahead when it is like the last one at most a sixteenth of the headroom: three of them, two
# being one reply twice, are then not missed.
READ_AHEAD_SHARE = 16
NOT_YET: Future[Page] = Future()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkResult:
    """One acknowledged chunk. ``size`` and ``sizes`` are bytes, ``seconds`` is the time to commit it."""

    number: int
    read: int
    written: int
    writes: int
    size: int
    seconds: float
    reading: Reading
    zone: Zone
    sizes: Sizes


class Pipeline:
    """Runs one step. Iterate it once; ``stopped_by`` then says why it ended early, if it did."""

    def __init__(
        self,
        backfill: Backfill,
        checkpoint: Checkpoint,
        executor: BulkExecutor,
        sensor: Sensor,
        *,
        writers: int,
        stopped: Callable[[], bool],
    ) -> None:
        self._backfill, self._checkpoint, self._executor = backfill, checkpoint, executor
        self._options = backfill.scan.collection.codec_options
        self._sensor, self._writers, self.stopped = sensor, writers, stopped
        self.stopped_by = ""
        self._finished: list[Committed] = []
        self._trim_allowed = 0.0
        self._room = sizing.headroom(sensor.rss_start, sensor.budget.size)
        self._top = sizing.ceiling(self._room, writers)
        begin = checkpoint.sizes or sizing.start(self._room, writers)
        self.sizes = sizing.following(begin, Zone.HOLD, self._top)

    def __iter__(self) -> Iterator[ChunkResult]:
        """Yield each chunk as the server acknowledges it."""
        for segment in self._checkpoint.segments():
            for chunk in self._chunks(segment):
                self._submit(chunk, alone=segment.gap)
                del chunk
                yield from self._results()
                if self.stopped_by:
                    break
            self._drain()
            yield from self._results()
            if self.stopped_by:
                break
        self._checkpoint.save(self.sizes, done=not self.stopped_by)

    def over_guard(self) -> bool:
        """Whether memory in use has reached the guard."""
        reading = self._sensor.read()
        return reading.used >= sizing.guard_of(reading.budget)

    def _chunks(self, segment: Segment) -> Iterator[Chunk]:
        builder = Builder(
            self._backfill,
            Chunk(self._checkpoint.next_number, segment.after),
            self,
            group_bytes=sizing.group_bytes(self._room),
            stored_size=self._backfill.scan.average_size(),
        )
        self._through: Key | None = segment.after
        for page in self._pages(segment):
            documents = zip(page.decoded(self._options), page.weights, strict=True)
            for index, (document, weight) in enumerate(documents):
                if builder.add(document, weight, self.sizes):
                    self.stopped_by = "stop" if builder.cut_by == "stop" else ""
                    yield builder.cut(page.key(index))
            # None of a page may be held while the next one is read.
            del page, documents, document
        if builder.pending and self._through is not None:
            yield builder.cut(self._through)

    def _pages(self, segment: Segment) -> Iterator[Page]:
        """Yield pages, the next one read while the last one is worked on, where there is room for both."""
        reader = PageReader(self._backfill.scan, segment.upto)
        with ThreadPoolExecutor(1, "reader") as thread:
            reading = self._read(reader, segment.after, thread)
            while page := reading.result():
                self._through = through = page.through
                ahead = page.size <= self._room // READ_AHEAD_SHARE
                # Assigned before the page is handed out: a finished Future keeps its page alive.
                reading = self._read(reader, through, thread) if ahead else NOT_YET
                yield page
                del page
                if self._interrupted():
                    return
                if reading is NOT_YET:
                    reading = self._read(reader, through, thread)

    def _read(self, reader: PageReader, after: Key | None, thread: ThreadPoolExecutor) -> Future[Page]:
        measured = sizing.measured_pages(self._room)
        page_bytes = self.sizes.page_bytes
        self._make_room(sizing.REPLY_COPIES * reader.expected(after, page_bytes, measured=measured))
        return thread.submit(reader.read, after, page_bytes, measured=measured)

    def _interrupted(self) -> bool:
        if self.stopped():
            self.stopped_by = "stop"
        return bool(self.stopped_by)

    def _make_room(self, size: int) -> None:
        """Let writers finish, and give freed memory back, where ``size`` bytes would pass the guard."""
        reading = self._sensor.read()
        if reading.used + size > sizing.guard_of(reading.budget):
            self._drain()
            self._trim()

    def _submit(self, chunk: Chunk, *, alone: bool) -> None:
        self._finished += self._executor.submit(chunk, self._writers * self._top.chunk_bytes)
        if alone:
            self._drain()

    def _drain(self) -> None:
        self._finished += self._executor.drain()

    def _results(self) -> Iterator[ChunkResult]:
        finished, self._finished = self._finished, []
        if not finished:
            return
        # Once for all of them: sizes that were set a moment ago have not been tried yet.
        reading, zone = self._adapt()
        for committed in finished:
            yield self._result(committed, reading, zone)

    def _adapt(self) -> tuple[Reading, Zone]:
        """Read memory and let the law set the sizes; under pressure, first give back what is free."""
        reading = self._sensor.read()
        zone = sizing.zone_of(reading)
        if zone in (Zone.SHRINK, Zone.STOP):
            self._drain()
            self._trim()
            if (
                sizing.zone_of(self._sensor.read()) is Zone.STOP
                and self.sizes.chunk_bytes == sizing.MIN_CHUNK_BYTES
            ):
                self.stopped_by = "memory"
        self._room = sizing.headroom(self._sensor.rss_start, reading.budget)
        self._top = sizing.ceiling(self._room, self._writers)
        self.sizes = sizing.following(self.sizes, zone, self._top)
        return reading, zone

    def _trim(self) -> None:
        started = time.monotonic()
        if started < self._trim_allowed:
            return
        trim()
        ended = time.monotonic()
        self._trim_allowed = ended + TRIM_SPACING * (ended - started)

    def _result(self, committed: Committed, reading: Reading, zone: Zone) -> ChunkResult:
        chunk = committed.chunk
        return ChunkResult(
            number=chunk.number,
            read=chunk.read,
            written=chunk.written,
            writes=chunk.writes,
            size=chunk.size,
            seconds=committed.seconds,
            reading=reading,
            zone=zone,
            sizes=self.sizes,
        )
