"""Stages: how long a document takes to be read, decoded, transformed and encoded, and how large it is.

One document after another, on one thread, with a clock in between: what each stage takes alone. How they
overlap, and what that needs of memory, is ``rehearsal``'s to find out.
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
from chunkmigrate.writes import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.frontier import Segment
    from chunkmigrate.pages import Page

# Enough for a mean that holds, where documents are large or the transform is slow.
STAGE_SECONDS = 4.0

# Of so many documents the size as objects is added up, which takes as long as decoding them ten times.
EXPANDED = 100
# What is transformed together is so many documents here: fewer than a chunk, enough to spread a lookup.
TOGETHER = 100


@dataclass(slots=True)
class Stages:
    """What was measured. ``weights`` are the bytes of documents as read, ``statements`` of writes encoded.

    ``pages`` are how many documents each page had, and the seconds it took; ``failures`` count by class.
    """

    clock: Callable[[], float] = time.perf_counter
    decode: float = 0.0
    transform: float = 0.0
    encode: float = 0.0
    weights: list[int] = field(default_factory=list)
    statements: list[int] = field(default_factory=list)
    expansions: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    pages: list[tuple[int, float]] = field(default_factory=list)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def measure(self, backfill: Backfill, stretches: Sequence[Segment]) -> None:
        """Take the documents of the stretches through the stages, as long as there is time."""
        for stretch in stretches:
            for page in self._pages(backfill, stretch):
                self._page(backfill, page)
                del page

    @property
    def documents(self) -> int:
        """How many documents were measured."""
        return len(self.weights)

    def seconds(self) -> dict[str, float]:
        """Return the seconds a document takes in each stage."""
        stages = {"decode": self.decode, "transform": self.transform, "encode": self.encode}
        each = {name: seconds / max(1, self.documents) for name, seconds in stages.items()}
        return {"read": self._read()} | each

    def sizes(self) -> dict[str, int]:
        """Return mean, median, 95th percentile and maximum of the bytes of a document as it is read."""
        return summary(self.weights)

    def expansion(self) -> float:
        """Return how many bytes a document takes as objects for each byte of BSON, at the median."""
        return median(self.expansions) if self.expansions else 0.0

    def _read(self) -> float:
        """Return the seconds a document takes to be read, at the median of pages like those of a run.

        A short page, of a short stretch, says nothing of them; nor does one that a busy server was late with.
        """
        longest = max((documents for documents, _ in self.pages), default=0)
        paces = [seconds / documents for documents, seconds in self.pages if 2 * documents >= longest]
        return median(paces) if paces else 0.0

    def _pages(self, backfill: Backfill, stretch: Segment) -> Iterator[Page]:
        reader, after = PageReader(backfill.scan, stretch.upto), stretch.after
        while self._has_time():
            started = self.clock()
            page = reader.read(after, sizing.MAX_PAGE_BYTES, measured=not self.weights)
            if not page:
                return
            self.pages.append((len(page), self.clock() - started))
            after = page.through
            yield page

    def _has_time(self) -> bool:
        return self.clock() - self._began < STAGE_SECONDS

    def _page(self, backfill: Backfill, page: Page) -> None:
        documents = self._decoded(backfill, page)
        if backfill.transform:
            for document in documents:
                self._transformed(backfill, partial(backfill.transform, document))
                del document
            return
        together: Any = backfill.each_chunk
        while group := list(islice(documents, TOGETHER)):
            self._transformed(backfill, partial(together, group))

    def _decoded(self, backfill: Backfill, page: Page) -> Iterator[Any]:
        """Yield the documents of a page that are BSON, as long as there is time: a transform may be slow."""
        options = backfill.scan.collection.codec_options
        documents = page.decoded(options)
        for index in range(len(page)):
            if not self._has_time():
                return
            self.weights.append(len(page.document(index)))
            started = self.clock()
            try:
                document = next(documents)
            except UndecodableError as error:
                self._failed(error)
                documents = page.decoded(options, index + 1)
                continue
            self.decode += self.clock() - started
            if len(self.expansions) < EXPANDED:
                self.expansions.append(size_of(document) / len(page.document(index)))
            yield document
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
