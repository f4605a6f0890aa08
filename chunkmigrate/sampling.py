"""Sampling: stretches of a scan that stand for all of it, and what the server says of its sizes.

A stretch is a few documents that lie behind one another, because a page and a chunk hold what lies together.
Most begin at random places, two of them are long, and some surround the largest documents, which a random
sample would miss. It reads and chooses; what is done with the documents is others' business.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pymongo
from bson import MinKey
from pymongo.errors import PyMongoError

from chunkmigrate.frontier import Segment
from chunkmigrate.raw import key_of
from chunkmigrate.retry import is_slow
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

SAMPLE = 2_000

# Two fifths of the sample are two long stretches, in which pages and chunks reach their full size; the rest
# are short ones, spread widely. A long and a short one may overlap, which says nothing wrong.
LONG_SHARE, LONG_COUNT = 2 / 5, 2
SHORT = 25

# Beside them: the stretches around the largest documents. What is large often lies together.
LARGEST = 3
BEFORE, BEHIND = 8, 24

# What differs less from the mean of all documents is as good as equal to it.
ALIKE = 0.1

# 1.2 GB of documents are measured in a second. What takes longer than this is judged by the sample alone.
CENSUS_SECONDS = 5.0
# To find a stretch the server may have to pass over much that does not match: so long for one and for all.
STRETCH_SECONDS, STRETCHES_SECONDS = 2.0, 6.0


Weighed: TypeAlias = "tuple[Key, int]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """How many documents match, how many bytes are read of them together, and which are the largest."""

    documents: int
    size: int
    keys: tuple[Key, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Stretches of a scan. ``long`` and ``short`` ones are taken at random, ``large`` are not.

    ``whole``: the long one is all there is. ``census`` is None where the server needed too long for it.
    """

    long: tuple[Segment, ...]
    short: tuple[Segment, ...]
    large: tuple[Segment, ...]
    whole: bool
    census: Census | None

    @property
    def all(self) -> tuple[Segment, ...]:
        """All stretches."""
        return self.long + self.short + self.large


def sample(
    scan: Scan, size: int = SAMPLE, *, share: float = 1.0, clock: Callable[[], float] = time.monotonic
) -> Sample:
    """Choose stretches of about ``size`` documents; of a smaller collection, all of it. Reads only.

    ``share`` is how much of the usual seconds it may take.
    """
    upto, census = scan.upper_bound(), _census(scan, share * CENSUS_SECONDS)
    if upto is None:
        return Sample(long=(), short=(), large=(), whole=True, census=census)
    matching = scan.count() if census is None else census.documents
    if matching is not None and matching <= size:
        return Sample(long=(Segment(None, upto),), short=(), large=(), whole=True, census=census)
    long = max(SHORT, int(size * LONG_SHARE / LONG_COUNT))
    few = max(1, (size - LONG_COUNT * long) // SHORT)
    starts = _starts(scan, LONG_COUNT + few, share * CENSUS_SECONDS, evenly=census is not None)
    apart = _apart(starts, LONG_COUNT)
    search = _Search(scan, upto, clock, until=clock() + share * STRETCHES_SECONDS)
    return Sample(
        long=tuple(search.spread(apart, long)),
        short=tuple(search.spread([one for one in starts if one not in apart], SHORT)),
        large=tuple(search.around(census.keys if census else ())),
        whole=False,
        census=census,
    )


def representative(spread: Sequence[Weighed], large: Sequence[Weighed], mean: float) -> list[Key]:
    """Return documents whose mean size is about ``mean``, as that of all documents is.

    A random sample has too many of the few large ones, or too few: some are left out, or brought in.
    """
    chosen, total = sorted(spread, key=lambda one: one[1]), sum(size for _, size in spread)
    while len(chosen) > 1 and total > (1 + ALIKE) * mean * len(chosen):
        total -= chosen.pop()[1]
    for key, size in large:
        if total + size <= mean * (len(chosen) + 1):
            chosen.append((key, size))
            total += size
    return [key for key, _ in chosen]


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for stretches of a scan, in front of ``upto``, as long as there is time."""

    scan: Scan
    upto: Key
    clock: Callable[[], float]
    until: float

    def spread(self, starts: Sequence[Key | None], documents: int) -> Iterator[Segment]:
        """Yield stretches of so many documents behind places; none of them overlap."""
        for start, end in zip(starts, [*starts[1:], *([None] if starts else [])], strict=True):
            if found := self._stretch(start, end or self.upto, documents):
                yield found

    def around(self, keys: Sequence[Key]) -> Iterator[Segment]:
        """Yield a stretch around each of the documents."""
        for key in keys:
            before = self._keys(lambda key=key: self.scan.before(key, BEFORE))  # type: ignore[misc]
            after = before[-1] if len(before) == BEFORE else None
            if found := self._stretch(after, self.upto, BEFORE + BEHIND):
                yield found

    def _stretch(self, after: Key | None, upto: Key, documents: int) -> Segment | None:
        """Return so many documents behind ``after`` and in front of ``upto``; None if none match."""
        keys = self._keys(lambda: self.scan.keys(after, upto, documents))
        if not keys:
            return None
        # What lies in front of the bound leaves it out: the last document of all would never be met.
        return Segment(after, upto if upto == self.upto and len(keys) < documents else keys[-1])

    def _keys(self, find: Callable[[], list[Key]]) -> list[Key]:
        """Return what is found; nothing where that takes too long."""
        if self.clock() >= self.until:
            return []
        try:
            with pymongo.timeout(STRETCH_SECONDS):
                return find()
        except PyMongoError as error:
            if is_slow(error):
                return []
            raise  # what cannot be read so, such as a view, cannot be migrated either


def _starts(scan: Scan, count: int, seconds: float, *, evenly: bool) -> list[Key | None]:
    """Return the ``_id``s of documents at random, in the order of the index. They need not match.

    The server's own choice is quick, and goes by bytes: of 3,000 documents of 70 bytes and 3,000 of 5 KB it
    took one small for seventy large ones. ``evenly``: each is as likely, for which all ``_id``s are gone
    through, half a second for a million. Where it takes too long the server chooses, or it is the beginning.
    """
    chosen: list[Mapping[str, Any]] = [
        {"$project": {"_id": 1}},
        {"$sample": {"size": count}},
        {"$sort": {"_id": 1}},
    ]
    # Without a condition the server would choose first, in its own way.
    every = {"$match": {"_id": {"$gte": MinKey()}}}
    for stages in ([every, *chosen],) * evenly + ([chosen[1], chosen[0], chosen[2]],):
        with suppress(PyMongoError):
            return [*dict.fromkeys(key_of(found.raw) for found in _asked(scan, stages, seconds))] or [None]
    return [None]


def _apart(starts: Sequence[Key | None], count: int) -> list[Key | None]:
    """Return so many of the places, as far apart as they lie: each in the middle of its share."""
    middles = (len(starts) * (2 * place + 1) // (2 * count) for place in range(count))
    return [*dict.fromkeys(starts[middle] for middle in middles)]


def _census(scan: Scan, seconds: float) -> Census | None:
    """Ask the server for the sizes of all documents, as they are read; None where that takes too long."""
    matching: list[Mapping[str, Any]] = [{"$match": scan.filter}] if scan.filter else []
    sized = {"$project": {"size": {"$bsonSize": scan.measured}}}
    sums = {"_id": None, "documents": {"$sum": 1}, "size": {"$sum": "$size"}}
    largest = [{"$sort": {"size": -1}}, {"$limit": LARGEST}, {"$project": {"_id": 1}}]
    try:
        [found] = _asked(
            scan, [*matching, sized, {"$facet": {"sums": [{"$group": sums}], "largest": largest}}], seconds
        )
    except PyMongoError:
        return None
    [total] = found["sums"] or [{"documents": 0, "size": 0}]
    keys = tuple(key_of(document.raw) for document in found["largest"])
    return Census(documents=total["documents"], size=total["size"], keys=keys)


def _asked(scan: Scan, stages: Sequence[Mapping[str, Any]], seconds: float) -> list[Any]:
    with pymongo.timeout(seconds):
        return [*scan.collection.with_options(RAW).aggregate([*stages])]
