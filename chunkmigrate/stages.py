"""Stages: how long a document takes to be read, decoded, transformed and encoded, and how large it is.

One document after another, on one thread, with a clock in between: what each stage takes alone. How they
overlap, and what that needs of memory, is ``rehearsal``'s to find out. How large documents are comes from all
of a sample, which ``weighing`` reads first; what takes its time is done with as many as there is time for.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from chunkmigrate import sizing
from chunkmigrate.backfill import writes_of
from chunkmigrate.errors import UndecodableError
from chunkmigrate.pages import PageReader
from chunkmigrate.weighing import TOGETHER, WEIGH_SECONDS, Weighing, in_turn
from chunkmigrate.writes import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.frontier import Segment
    from chunkmigrate.pages import Page
    from chunkmigrate.weighing import Piece

# Enough for a mean that holds, where documents are large or the transform is slow.
STAGE_SECONDS = 4.0

# What was read is used, also where the server is so far away that its time is over by then.
AT_LEAST = 0.01

# Of so many documents the size as objects is added up, which takes as long as decoding them ten times.
EXPANDED = 100


@dataclass(slots=True)
class Stages:
    """What was measured, of so many ``documents``; ``statements`` are the bytes of writes encoded.

    ``failures`` count by class; ``share`` is how much of the usual seconds it has.
    """

    clock: Callable[[], float] = time.perf_counter
    share: float = 1.0
    documents: int = 0
    decode: float = 0.0
    transform: float = 0.0
    encode: float = 0.0
    statements: list[int] = field(default_factory=list)
    expansions: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    weighing: Weighing = field(init=False)

    def __post_init__(self) -> None:
        self.weighing = Weighing(self.clock, self.share * WEIGH_SECONDS)

    def measure(self, backfill: Backfill, stretches: Sequence[Segment]) -> None:
        """Weigh the stretches, and take documents of all of them through the stages while there is time."""
        known = len(self.pieces)
        self.weighing.weigh(backfill.scan, stretches)
        pieces, seconds = self.pieces[known:], self.share * STAGE_SECONDS
        for place, until in in_turn([piece.documents for piece in pieces], seconds, self.clock):
            # Of each its part: the first hundred documents would all lie in one place.
            expanded = EXPANDED * (place + 1) / len(pieces)
            self._taken(backfill, self._documents(backfill, pieces[place].stretch, until, expanded))

    @property
    def pieces(self) -> list[Piece]:
        """All that was weighed, in small pieces."""
        return self.weighing.pieces

    def seconds(self) -> dict[str, float]:
        """Return the seconds a document takes in each stage."""
        stages = {"decode": self.decode, "transform": self.transform, "encode": self.encode}
        each = {name: seconds / max(1, self.documents) for name, seconds in stages.items()}
        return {"read": self._read()} | each

    def sizes(self, largest: int = 0) -> dict[str, int]:
        """Return mean, median, 95th percentile and maximum of the bytes of a document as it is read.

        ``largest`` are those of one that is known to be there, and need not be in the sample.
        """
        found = summary(self.weighing.weights)
        return found | {"max": max(found["max"], largest)}

    def expansion(self) -> float:
        """Return how many bytes a document takes as objects for each byte of BSON, at the median."""
        return median(self.expansions) if self.expansions else 0.0

    def _read(self) -> float:
        """Return the seconds a document takes to be read, at the median of pages like those of a run.

        A short page, of a short stretch, says nothing of them; nor does one that a busy server was late with.
        """
        pages = self.weighing.pages
        longest = max((documents for documents, _ in pages), default=0)
        paces = [seconds / documents for documents, seconds in pages if 2 * documents >= longest]
        return median(paces) if paces else 0.0

    def _taken(self, backfill: Backfill, documents: Iterator[Any]) -> None:
        if backfill.transform:
            for document in documents:
                self._transformed(backfill, partial(backfill.transform, document))
                del document
            return
        together: Any = backfill.each_chunk
        while group := list(islice(documents, TOGETHER)):
            self._transformed(backfill, partial(together, group))

    def _documents(
        self, backfill: Backfill, stretch: Segment, until: float, expanded: float
    ) -> Iterator[Any]:
        """Yield the documents of a stretch that are BSON, until its time is over: a transform may be slow."""
        reader, after = PageReader(backfill.scan, stretch.upto), stretch.after
        while self.clock() < until and (page := reader.read(after, sizing.MAX_PAGE_BYTES, measured=False)):
            after = page.through
            for size, document in self._decoded(backfill, page, max(until, self.clock() + AT_LEAST)):
                if len(self.expansions) < expanded:
                    self.expansions.append(size_of(document) / size)
                yield document
                del document
            del page

    def _decoded(self, backfill: Backfill, page: Page, until: float) -> Iterator[tuple[int, Any]]:
        options = backfill.scan.collection.codec_options
        documents = page.decoded(options)
        for index in range(len(page)):
            if self.clock() >= until:
                return
            self.documents += 1
            started = self.clock()
            try:
                document = next(documents)
            except UndecodableError as error:
                self._failed(error)
                documents = page.decoded(options, index + 1)
                continue
            self.decode += self.clock() - started
            yield len(page.document(index)), document
            del document

    def _transformed(self, backfill: Backfill, transform: Callable[[], Any]) -> None:
        started = self.clock()
        try:
            writes = [*writes_of(transform())]
        except (Exception, SystemExit) as error:
            self._failed(error)
            return
        finally:
            self.transform += self.clock() - started
        self._encoded(backfill, writes)

    def _encoded(self, backfill: Backfill, writes: list[Any]) -> None:
        options, started = backfill.target.codec_options, self.clock()
        try:
            self.statements += [len(encode(write, options)[1]) for write in writes]
        except Exception as error:
            self._failed(error)
        self.encode += self.clock() - started

    def _failed(self, error: BaseException) -> None:
        name = type(error).__name__
        self.failures[name] = self.failures.get(name, 0) + 1


def summary(sizes: Sequence[int]) -> dict[str, int]:
    """Return mean, median, 95th percentile and maximum; all 0 of nothing."""
    if len(sizes) < 2:
        return dict.fromkeys(("mean", "median", "p95", "max"), sizes[0] if sizes else 0)
    return {
        "mean": sum(sizes) // len(sizes),
        "median": int(median(sizes)),
        "p95": int(quantiles(sizes, n=20, method="inclusive")[-1]),
        "max": max(sizes),
    }


def size_of(value: Any) -> int:
    """Return the bytes of a value and of what lies in it, once for each place it stands in."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(size_of(key) + size_of(held) for key, held in value.items())
    if isinstance(value, list | tuple):
        return size + sum(map(size_of, value))
    return size
