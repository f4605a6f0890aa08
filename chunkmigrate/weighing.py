"""Weighing: a sample read once, as bytes alone, for the sizes of its documents, and cut into small pieces.

No code of the author's is called here, so that a slow transform takes nothing from the sizes. What takes long
for each document goes through the pieces ``in_turn``, and so sees some of every place it was given.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.frontier import Segment
from chunkmigrate.pages import PageReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

# 2,000 documents of 5 KB are read in a tenth of a second: this is for large ones, and for a server far away.
WEIGH_SECONDS = 3.0
# Whatever one stretch has in it, some time is left for the others.
LONGEST = 1 / 4

# What is transformed together is so many documents here: fewer than a chunk, enough to spread a lookup.
TOGETHER = 100

# What is held at once: of small documents all of the sample, which is there in a quarter of a second.
HELD_SECONDS = 1.0
HELD_BYTES = 8 * sizing.MIB


@dataclass(frozen=True, slots=True)
class Piece:
    """A few documents that lie behind one another, and how many they were when they were weighed."""

    stretch: Segment
    documents: int


@dataclass(slots=True)
class Weighing:
    """What was read. ``weights`` are the bytes of documents, ``pieces`` all of them in the order they lie in.

    ``pages`` are how many documents each page had, and the seconds it took.
    """

    clock: Callable[[], float] = time.perf_counter
    seconds: float = WEIGH_SECONDS
    weights: list[int] = field(default_factory=list)
    pages: list[tuple[int, float]] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def weigh(self, scan: Scan, stretches: Sequence[Segment]) -> None:
        """Read the stretches, each to its end as long as there is time."""
        end = self.clock() + self.seconds
        most = self.seconds * max(LONGEST, 1 / max(1, len(stretches)))
        for stretch in stretches:
            self._cut(stretch, self._pages(scan, stretch, min(end, self.clock() + most)))

    def _pages(self, scan: Scan, stretch: Segment, until: float) -> Iterator[Page]:
        reader, after = PageReader(scan, stretch.upto), stretch.after
        while (started := self.clock()) < until:
            page = reader.read(after, sizing.MAX_PAGE_BYTES, measured=not self.pages)
            if not page:
                return
            self.pages.append((len(page), self.clock() - started))
            after = page.through
            yield page
            del page

    def _cut(self, stretch: Segment, pages: Iterator[Page]) -> None:
        """Weigh the documents of pages. A piece ends where it has enough of them, or of bytes."""
        after, through, weights, size = stretch.after, stretch.after, list[int](), 0
        for page in pages:
            for index in range(len(page)):
                weights.append(len(page.document(index)))
                size += weights[-1]
                if len(weights) == TOGETHER or size >= sizing.MAX_PAGE_BYTES:
                    after = self._piece(after, page.key(index), weights)
                    weights, size = [], 0
            through = page.through
            del page
        if weights and through:
            self._piece(after, through, weights)

    def _piece(self, after: Key | None, through: Key, weights: Sequence[int]) -> Key:
        self.weights += weights
        self.pieces.append(Piece(Segment(after, through), len(weights)))
        return through


def held(
    scan: Scan,
    pieces: Sequence[Piece],
    clock: Callable[[], float] = time.perf_counter,
    *,
    seconds: float = HELD_SECONDS,
) -> list[list[bytes]]:
    """Return documents of all pieces, for what would make reading them slow, such as a profiler of lines."""
    ahead: list[list[bytes]] = []
    for place, until in in_turn([piece.documents for piece in pieces], seconds, clock):
        documents, size, stretch = list[bytes](), 0, pieces[place].stretch
        pages = PageReader(scan, stretch.upto).pages(stretch.after, sizing.MIN_PAGE_BYTES, measured=True)
        for document in chain.from_iterable(pages):
            documents.append(bytes(document))
            size += len(document)
            if size >= HELD_BYTES / len(pieces) or clock() >= until:
                break
        ahead.append(documents)
    return ahead


def in_turn(
    documents: Sequence[int], seconds: float, clock: Callable[[], float]
) -> Iterator[tuple[int, float]]:
    """Yield places, each with the time until which to go on: its documents' part of the seconds.

    What one leaves of its part is for those behind it. One whose part is over when it comes is left out.
    """
    began, passed, total = clock(), 0, sum(documents)
    for place, count in enumerate(documents):
        passed += count
        until = began + seconds * passed / max(1, total)
        if clock() < until:
            yield place, until
