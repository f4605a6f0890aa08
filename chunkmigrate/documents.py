"""Documents: those of one segment, decoded one at a time, out of pages that are read ahead.

Before a document is decoded it is settled whether it may be: one that killed three runs, one that memory does
not hold even alone, and one that is no BSON come out as `Aside`. After a run that died, each document is put
on record before it is worked on. What a page is, and how many documents it has, is ``pages``' business.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from chunkmigrate import sizing
from chunkmigrate.asides import Aside, deadly, unfit
from chunkmigrate.errors import UndecodableError
from chunkmigrate.pages import Page, PageReader
from chunkmigrate.windows import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.frontier import Segment
    from chunkmigrate.memory import Reading
    from chunkmigrate.raw import Key
    from chunkmigrate.retry import Retry
    from chunkmigrate.scan import Scan
    from chunkmigrate.sizing import Sizes

# A page is read ahead when it is like the last one at most a sixteenth of the headroom: three of them, two
# being one reply twice, are then not missed.
READ_AHEAD_SHARE = 16
# A mark costs the server 0.6 ms, and thousands of documents may have been at work when a run died. So the
# first death tells which sixteen, the next one which.
MARKED_TOGETHER = 16
NOT_YET: Future[Page] = Future()


class Room(Protocol):
    """The memory there is: whoever runs the loop has it."""

    sizes: Sizes
    headroom: int

    def reading(self) -> Reading:
        """Memory now."""

    def make_room(self, size: int, *, at_once: bool = False) -> Reading:
        """Give back what can be given back if ``size`` more bytes would pass the guard; memory then.

        It may have been done a moment ago, and is then not done again unless ``at_once``.
        """

    def expanded(self, ratio: float) -> None:
        """Learn that a large document took ``ratio`` times its size as objects."""

    def stopped(self) -> bool:
        """Whether the run was asked to stop; may be asked from any thread."""

    def interrupted(self) -> bool:
        """Whether the run is to end here."""

    def stop(self) -> None:
        """End the run here: it was asked to while a page was read."""


class Documents:
    """The documents of one segment. ``careful`` is how many of them are put on record one by one.

    ``together`` is how many may be transformed with the one handed out last, so that its mark says what is at
    work; None: any.
    """

    def __init__(
        self,
        scan: Scan,
        segment: Segment,
        checkpoint: Checkpoint,
        room: Room,
        retry: Retry,
        *,
        careful: int = 0,
    ) -> None:
        self._after = segment.after
        self._closing = Event()
        # Where nothing matches a page may take hours: nobody may have to wait for its end.
        stopped = lambda: self._closing.is_set() or retry.stopped() or room.stopped()  # noqa: E731
        self._reader = PageReader(scan, segment.upto, replace(retry, stopped=stopped))
        self._checkpoint, self._room, self.careful = checkpoint, room, careful
        self._deaths = checkpoint.deaths
        self._alone = self._covered = 0
        self._met = False
        self.marked = False
        self.together: int | None = None
        self._options = scan.collection.codec_options
        self.through = segment.after

    def pages(self) -> Iterator[Page | Aside]:
        """Yield pages, the next one read while the last one is worked on, where there is room for both.

        A document that cannot be read at all comes in the place of its page. Closing it ends what is being
        read.
        """
        self._closing.clear()
        with ThreadPoolExecutor(1, "reader") as thread:
            try:
                yield from self._pages(thread)
            finally:
                self._closing.set()
                self._unmark()

    def back(self, after: Key | None) -> None:
        """Let `pages` begin anew behind ``after``: what was read since has become old."""
        self.through = self._after = after
        self._reader.forget()

    def of(self, page: Page | Aside) -> Iterator[tuple[int, Any, int]]:
        """Yield each document of a page, or the `Aside` it has become: place, document, weight in bytes.

        Whoever gets one must let go of it before the next, which may need all the room there is.
        """
        if isinstance(page, Aside):
            yield 0, page, 0
            return
        start, weights = 0, list(page.weights)
        while start < len(page):
            documents = (
                self._one_by_one(page, start, weights)
                if self._is_special(page)
                else page.decoded(self._options, start)
            )
            try:
                for document in documents:
                    start += 1
                    yield start - 1, document, weights[start - 1]
                    del document
            except UndecodableError as error:
                yield start, Aside(page.key(start), error), weights[start]
                start += 1

    def cut(self) -> None:
        """Take the mark away: what was handed out so far is in a chunk that is complete."""
        self._unmark()

    def committed(self) -> None:
        """Note that all chunks up to the last `cut` are: a document that killed runs, and is in one, is past.

        Whoever is not careful any more has passed it in any case.
        """
        if self._deaths and not self._alone and (self._met or not self.careful):
            self._deaths = None
            self._checkpoint.absolve()

    def _pages(self, thread: ThreadPoolExecutor) -> Iterator[Page | Aside]:
        reading = self._begin(self._after, thread)
        while page := self._read(reading):
            self.through = through = page.key if isinstance(page, Aside) else page.through
            # Assigned before the page is handed out: a finished Future keeps its page alive.
            reading = self._begin(through, thread) if self._may_read_ahead(page) else NOT_YET
            yield page
            del page
            # What kills the run while it reads is none of the documents it has.
            self._unmark()
            if self._room.interrupted():
                return
            if reading is NOT_YET:
                reading = self._begin(through, thread)

    def _may_read_ahead(self, page: Page | Aside) -> bool:
        small = isinstance(page, Page) and page.size <= self._room.headroom // READ_AHEAD_SHARE
        return small and not self.careful

    def _read(self, reading: Future[Page] | Aside) -> Page | Aside | None:
        """Return what was read; None where reading was interrupted: everything up to there was handed out."""
        if isinstance(reading, Aside):
            return reading
        try:
            return reading.result()
        except Interrupted as interrupted:
            self._room.stop()
            self.through = interrupted.through or self.through
            return None

    def _begin(self, after: Key | None, thread: ThreadPoolExecutor) -> Future[Page] | Aside:
        """Begin to read a page. That this was interrupted is told in its turn, as all that goes wrong."""
        try:
            return self._begun(after, thread)
        except Interrupted as interrupted:
            failed: Future[Page] = Future()
            failed.set_exception(interrupted)
            return failed

    def _begun(self, after: Key | None, thread: ThreadPoolExecutor) -> Future[Page] | Aside:
        measured = sizing.measured_pages(self._room.headroom)
        page_bytes = self._room.sizes.page_bytes
        expected = self._reader.expected(after, page_bytes, measured=measured)
        self._room.make_room(sizing.REPLY_COPIES * expected)
        if expected >= sizing.LARGE_BYTES and expected > page_bytes:  # one document, of a size that is known
            more = sizing.needed_unread(expected, self._room.sizes.expansion)
            if too_much := self._too_much(more):
                return unfit(self._reader.pass_over(after), expected, more, too_much)
        return thread.submit(self._reader.read, after, page_bytes, measured=measured)

    def _is_special(self, page: Page) -> bool:
        large = page.size >= sizing.LARGE_BYTES and page.largest >= sizing.LARGE_BYTES
        return self.careful > 0 or large

    def _one_by_one(self, page: Page, start: int, weights: list[int]) -> Iterator[Any]:
        for index in range(start, len(page)):
            if self.careful > 0 or weights[index] >= sizing.LARGE_BYTES:
                yield from self._settled(page, index, weights[index])
            else:
                yield page.alone(index, self._options)

    def _settled(self, page: Page, index: int, weight: int) -> Iterator[Any]:
        """Yield one document, or its `Aside`; whatever may go wrong is on record before it is decoded."""
        key = page.key(index)
        if self._deaths and self._deaths.document == key:
            self._met = True
            if self._deaths.doomed:
                yield deadly(key, self._deaths.used, self._room.reading().budget)
                return
            self._alone = self._deaths.among
        more = sizing.needed(weight, self._room.sizes.expansion)
        reading = self._room.make_room(more)
        if weight >= sizing.LARGE_BYTES and (too_much := self._too_much(more)):
            yield unfit(key, weight, more, too_much)
            return
        careful = self.careful > 0
        if careful:
            self._mark(key, reading.used)
            if self._deaths and index + 1 < len(page) and page.key(index + 1) == self._deaths.document:
                # What is transformed together must be what the mark says, and the next one has its own.
                self.together = 1
        document = page.alone(index, self._options)
        yield document
        if careful and not self.careful:
            self._unmark()
            self.together = None
        if weight >= sizing.TELLING_BYTES:
            self._room.expanded((self._room.reading().used - reading.used) / weight)

    def _mark(self, key: Key, used: int) -> None:
        self.careful -= 1
        self.together = 1 if self._alone else MARKED_TOGETHER
        self.marked = True
        if self._alone:
            self._alone, self._covered = self._alone - 1, 0
            self._checkpoint.mark(key, used)
            return
        if not self._covered:
            self._covered = MARKED_TOGETHER
            self._checkpoint.mark(key, used, MARKED_TOGETHER)
        self._covered -= 1

    def _unmark(self) -> None:
        """Put on record that no document is at work, before anything waits: who dies waiting blames none."""
        self._covered = 0
        if self.marked:
            self.marked = False
            self._checkpoint.mark(None)

    def _too_much(self, size: int) -> Reading | None:
        """Return what memory is where ``size`` more bytes cannot be had, whatever is given back."""
        reading = self._room.reading()
        if sizing.fits(reading.used + size, reading.budget):
            return None
        reading = self._room.make_room(size, at_once=True)
        return None if sizing.fits(reading.used + size, reading.budget) else reading
