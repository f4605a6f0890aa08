"""The pipeline: the one loop. Pages in, chunks out, each acknowledged chunk a result.

It is a generator of `ChunkResult`: the display, the log lines, the runner and the tests consume it, and
not asking for the next result is how one stops it. It connects reading, building, executor, sizing and
throttle, and holds what they have in common: where reading stands and how large things may be. It knows no
terminal, no signals and no history.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chunkmigrate import sizing
from chunkmigrate.asides import Aside, last_of, place_of
from chunkmigrate.building import Builder
from chunkmigrate.chunks import Chunk
from chunkmigrate.documents import Documents
from chunkmigrate.errors import DeadlyError
from chunkmigrate.records import Intent
from chunkmigrate.relief import CRAWL_DOCUMENTS, Relief
from chunkmigrate.sizing import Zone
from chunkmigrate.turn import Turn
from chunkmigrate.unchanged import print_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.executor import BulkExecutor, Committed
    from chunkmigrate.frontier import Segment
    from chunkmigrate.memory import Reading, Sensor
    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key
    from chunkmigrate.records import Counts
    from chunkmigrate.retry import Retry
    from chunkmigrate.sizing import Most, Sizes
    from chunkmigrate.throttle import Reason, Throttle
    from chunkmigrate.transforming import Transformer


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkResult:
    """One acknowledged chunk. ``size`` and ``sizes`` are bytes, ``seconds`` is the time to commit it."""

    number: int
    counts: Counts
    size: int
    seconds: float
    reading: Reading
    zone: Zone
    sizes: Sizes

    @property
    def read(self) -> int:
        """Documents of the chunk."""
        return self.counts.read


class Pipeline:
    """Runs one attempt at a step. Iterate it once; ``stopped_by`` then says why it ended early, if it did.

    That is "stop" or "memory". Nothing is in flight any more then.
    """

    def __init__(
        self,
        backfill: Backfill,
        checkpoint: Checkpoint,
        executor: BulkExecutor,
        transformer: Transformer,
        sensor: Sensor,
        *,
        writers: int,
        stopped: Callable[[], bool],
        retry: Retry,
        throttle: Throttle | None = None,
        paused: Callable[[Reason], None] = lambda _: None,
        waited: Callable[[Reason, float], None] = lambda _reason, _seconds: None,
        careful: int = 0,
        most: Most | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backfill, self._checkpoint, self._executor = backfill, checkpoint, executor
        self._transformer, self._retry, self._careful = transformer, retry, careful
        self._sensor, self._writers, self.stopped = sensor, writers, stopped
        self._throttle, self._most = throttle, most or sizing.Most()
        self._turn = Turn(throttle, stopped=stopped, paused=paused, waited=waited, sleep=sleep, clock=clock)
        self.stopped_by = ""
        self._finished: list[Committed] = []
        self._relief = Relief(sensor, clock)
        self._tight = False
        self.headroom = sizing.headroom(sensor.rss_start, sensor.budget.size)
        self._top = sizing.lowered(sizing.ceiling(self.headroom, writers), self._most)
        begin = checkpoint.sizes or sizing.start(self.headroom, writers)
        self.sizes = sizing.within(begin, self._top)

    def __iter__(self) -> Iterator[ChunkResult]:
        """Yield each chunk as the server acknowledges it."""
        self._checkpoint.sizes = self.sizes
        if not self._checkpoint.done:
            self._checkpoint.intend(self._intent(self._checkpoint.position, None))
        for segment in self._checkpoint.segments():
            for chunk in self._chunks(segment):
                # After a death nothing is in flight beside the document that is on record as at work.
                self._submit(chunk, alone=segment.gap or self._careful > 0)
                del chunk
                yield from self._results()
                if self.stopped_by:
                    break
            self._drain()
            yield from self._results()
            if self.stopped_by:
                break
        if self.stopped_by == "memory":
            self._checkpoint.sizes = sizing.afresh(self.sizes, self.headroom, self._writers)

    def room(self) -> int:
        """How many bytes of memory are left to the guard; 0 or less once it is reached."""
        reading = self._sensor.read()
        return sizing.guard_of(reading.budget) - reading.used

    def reading(self) -> Reading:
        """Memory now."""
        return self._sensor.read()

    def make_room(self, size: int, *, at_once: bool = False) -> Reading:
        """Let writers finish, and give freed memory back, where ``size`` bytes would pass the guard."""
        if size > self.room():
            self._drain()
            self._relief.trim(at_once=at_once)
        return self._sensor.read()

    def expanded(self, ratio: float) -> None:
        """Learn that a large document took ``ratio`` times its size as objects."""
        if ratio > self.sizes.expansion:
            self._set_sizes(replace(self.sizes, expansion=ratio))

    def interrupted(self) -> bool:
        """Whether the run is to end here."""
        if self.stopped():
            self.stop()
        return bool(self.stopped_by)

    def stop(self) -> None:
        """End the run here: it was asked to."""
        self.stopped_by = self.stopped_by or "stop"

    def _chunks(self, segment: Segment) -> Iterator[Chunk]:
        scan, chunk = self._backfill.scan, Chunk(self._checkpoint.next_number, segment.after)
        stored_size, group_bytes = scan.average_size(), sizing.group_bytes(self.headroom)
        documents = Documents(scan, segment, self._checkpoint, self, self._retry, careful=self._careful)
        while True:
            builder = Builder(
                self._transformer, chunk, self, group_bytes=group_bytes, stored_size=stored_size
            )
            if (yield from self._built(builder, documents)):
                break
            if self.interrupted():
                return
            chunk = builder.chunk
            documents.back(chunk.after)
            self._turn.renewed()
        # Also without a document: a filter that matches next to nothing has passed what does not match.
        if documents.through is not None and (builder.pending or documents.through != builder.chunk.after):
            yield self._cut(builder, documents.through, documents)

    def _built(self, builder: Builder, documents: Documents) -> Generator[Chunk, None, bool]:
        """Yield each chunk that is full; return whether all documents were taken.

        Otherwise the run is to stop, or waited for so long that what was read is old. No document was taken
        since the last chunk then.
        """
        for page in documents.pages():
            if not (builder.pending or self._is_let()):
                return False
            for index, document, weight in documents.of(page):
                if self._take(builder, documents, page, index, document, weight=weight):
                    self.stopped_by = "stop" if builder.cut_by == "stop" else ""
                    self._tight = builder.cut_by == "memory"
                    self._relief.cut(by_memory=self._tight or self.sizes.chunk_documents <= CRAWL_DOCUMENTS)
                    yield self._cut(builder, place_of(page, index, document), documents)
                    documents.committed()
                    del document
                    if index < last_of(page) and not self._is_let():
                        return False
                else:
                    del document
            # A group is transformed while its mark holds, and no mark may hold while a page is read.
            if documents.marked and self._transformer.joined and builder.pending:
                yield self._cut(builder, place_of(page, last_of(page), None), documents)
                documents.committed()
            # None of a page may be held while the next one is read.
            del page
        return True

    def _is_let(self) -> bool:
        """Wait until the next chunk may go; whether to go on with what was read before."""
        fresh = self._turn.wait(self._gather)
        return fresh and not self.interrupted()

    def _take(
        self,
        builder: Builder,
        documents: Documents,
        page: Page | Aside,
        index: int,
        document: Any,
        *,
        weight: int,
    ) -> bool:
        """Give one document to the builder; return whether the chunk is full."""
        sizes = self.sizes
        if self._transformer.joined and documents.together:
            sizes = replace(sizes, chunk_documents=min(documents.together, sizes.chunk_documents))
        if isinstance(document, Aside) or isinstance(page, Aside):
            full = builder.set_aside(document.key, document.error, sizes)
            # Committed at once: if the next one kills the run, too, this one is not forgotten.
            return full or isinstance(document.error, DeadlyError)
        guarded, joined = self._backfill.if_unchanged, self._transformer.joined
        print_ = (page.key(index), print_of(page.document(index))) if guarded else None
        stored = bytes(page.document(index)) if joined else b""
        again = partial(page.alone, index, self._backfill.scan.collection.codec_options)
        return builder.add(document, weight, sizes, print_, stored, again=again)

    def _cut(self, builder: Builder, through: Key, documents: Documents) -> Chunk:
        chunk = builder.cut(through)
        documents.cut()
        self._turn.used()
        self._careful = documents.careful
        self._checkpoint.intent = self._intent(through, documents.through)
        return chunk

    def _intent(self, after: Key | None, through: Key | None) -> Intent:
        reading = self._sensor.read()
        known = None if through == after else through  # the end of a page that is not read yet
        return Intent(after=after, through=known, used=reading.used, budget=reading.budget)

    def _submit(self, chunk: Chunk, *, alone: bool) -> None:
        self._collect(self._executor.submit(chunk, self._writers * self._top.chunk_bytes))
        if alone or self._tight:  # at the guard nothing may be in flight while the next chunk is built
            self._drain()

    def _gather(self) -> None:
        self._collect(self._executor.finished())

    def _drain(self) -> None:
        self._collect(self._executor.drain())

    def _collect(self, finished: list[Committed]) -> None:
        self._finished += finished
        if self._throttle:
            for committed in finished:
                self._throttle.committed(committed.chunk.read, committed.seconds)

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
            if self._relief.is_over(zone, self.sizes, self.headroom):
                self.stopped_by = "memory"
        else:
            self._relief.eased()
        if self._relief.crawls(self.headroom):
            self.stopped_by = "memory"
        self._tight = False
        self.headroom = sizing.headroom(self._sensor.rss_start, reading.budget)
        self._top = sizing.lowered(sizing.ceiling(self.headroom, self._writers), self._most)
        self._set_sizes(sizing.following(self.sizes, zone, self._top))
        return reading, zone

    def _set_sizes(self, sizes: Sizes) -> None:
        self.sizes = self._checkpoint.sizes = sizes

    def _result(self, committed: Committed, reading: Reading, zone: Zone) -> ChunkResult:
        chunk = committed.chunk
        return ChunkResult(
            number=chunk.number,
            counts=chunk.counts,
            size=chunk.size,
            seconds=committed.seconds,
            reading=reading,
            zone=zone,
            sizes=self.sizes,
        )
