"""Windows: the reads of one scan up to one key, each in a bounded time, and again after passing failures.

A filter that matches next to nothing makes the server walk the index until it has found enough: for longer
than a read may take, and than whoever asks to stop will wait. So a read that took too long is asked for
again within windows of the index, each so many documents wide, whatever the filter. What is asked for is
``scan``'s business, how many documents a page has is ``pages``'.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pymongo
from pymongo.errors import PyMongoError

from chunkmigrate.retry import is_slow

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key
    from chunkmigrate.retry import Retry
    from chunkmigrate.scan import Scan

T = TypeVar("T")
S = TypeVar("S", bound="Sized")

# A page takes milliseconds. This is how long a stop may have to wait for one.
READ_SECONDS = 5.0

# One document, the least there is to ask for, may have 16 MiB and a slow way: it gets four times as long.
LONGER = 4

# Narrow enough for a filter that takes 39 ms for each document. To begin so low costs little, for a window
# that took less than a quarter of the time is followed by one twice as wide.
FIRST_WIDTH = 128
QUICK = 1 / 4

# To find the end of a window the server counts keys: one second for a million of them.
MOST_WIDTH = 1_000_000

# A window that was too wide has cost five seconds already, so the next one is much narrower.
NARROWER = 4


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Reading was stopped before its end.

    Whatever there is up to ``through`` has been read before; None is the very beginning.
    """

    def __init__(self, through: Key | None) -> None:
        self.through = through
        super().__init__("reading was stopped")


class _TooSlowError(Exception):
    """A read took too long, and is to be asked for again in a narrower window."""


class Windows:
    """What lies behind a position, read up to ``upto``. A position may move back to one that was read before.

    One read takes at most ``seconds``, that of a single document four times as long. It raises `Interrupted`
    where ``retry`` is stopped before there is an answer, and the driver's error where ``retry`` gives up.
    """

    def __init__(
        self,
        scan: Scan,
        upto: Key,
        retry: Retry,
        *,
        seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scan, self._upto, self._retry = scan, upto, retry
        self._seconds, self._clock = seconds, clock
        self._position: Key | None = None  # as the caller knows it
        self._start: Key | None = None  # the same, or the end of windows behind it in which there is nothing
        self._end: Key | None = upto
        self._width = 0  # in documents; there is no window until a read was too slow
        self._quick = False

    def page(self, after: Key | None, limit: int) -> Page:
        """Return up to ``limit`` documents behind ``after``, an empty page once there are none."""
        return self._found(after, lambda end: self._scan.page(self._start, end, limit), self._scan.last)

    def sizes(self, after: Key | None, limit: int) -> list[int]:
        """Return the bytes of up to ``limit`` documents behind ``after``."""
        return self._found(after, lambda end: self._scan.sizes(self._start, end, limit), self._scan.last_size)

    def keys(self, after: Key | None, limit: int) -> list[Key]:
        """Return the ``_id``s of up to ``limit`` documents behind ``after``, which are not read."""
        return self._found(
            after,
            lambda end: self._scan.keys(self._start, end, limit),
            lambda end: [end for _ in self._scan.last_size(end)],
        )

    def _found(self, after: Key | None, between: Callable[[Key], S], last: Callable[[Key], S]) -> S:
        """Ask for what lies ``between``, then for the ``last``, in one window after the other."""
        if after != self._position:
            self._position = self._start = after
        while True:
            end = self._window()
            began = self._clock()
            try:
                found = self._asked(partial(self._bounded, between, end))
                found = found or self._asked(partial(self._bounded, last, end))
            except _TooSlowError:
                self._narrow()
                continue
            self._quick = self._clock() - began < QUICK * self._seconds
            if found or end == self._upto:
                return found
            self._start = end
            self._stop()

    def _window(self) -> Key:
        """Return where the window ends that is to be read; a new one begins where the last one ended."""
        if self._end is None or (self._width and self._end == self._start):
            if self._quick:
                self._width = min(2 * self._width, MOST_WIDTH)
            self._end = self._asked(self._ahead)
        return self._end

    def _ahead(self) -> Key:
        with pymongo.timeout(self._seconds):
            try:
                return self._scan.ahead(self._start, self._upto, self._width) or self._upto
            except PyMongoError as error:
                if is_slow(error):
                    self._width = max(1, self._width // NARROWER)
                raise

    def _narrow(self) -> None:
        self._stop()
        self._width = max(1, self._width // NARROWER) if self._width else FIRST_WIDTH
        self._end, self._quick = None, False

    def _bounded(self, read: Callable[[Key], T], end: Key) -> T:
        alone = self._width == 1
        with pymongo.timeout(LONGER * self._seconds if alone else self._seconds):
            try:
                return read(end)
            except PyMongoError as error:
                if alone or not is_slow(error):
                    raise
                raise _TooSlowError from error

    def _asked(self, work: Callable[[], T]) -> T:
        try:
            return self._retry(work)
        except PyMongoError as error:
            if self._retry.passing(error) and self._retry.stopped():
                raise Interrupted(self._start) from error
            raise

    def _stop(self) -> None:
        if self._retry.stopped():
            raise Interrupted(self._start)
