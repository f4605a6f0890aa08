"""The stretches: what of a run is the same in every plot of it, and how fast it went from time to time.

Pure: samples and marks in, stretches of time and moments out. What is drawn over them is ``plots``' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from chunkmigrate.sizing import Zone
from chunkmigrate.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkmigrate.axes import Scale
    from chunkmigrate.timeline import Mark, Sample

# A rate is taken over so many parts of a run, and over a quarter of a second at least: chunks of several
# writers come in together, and from one to the next a rate jumps by a factor of ten.
RATES = 90
LEAST_RATE_SECONDS = 0.25
# A stretch is shown as a pause where most of it was one.
PAUSED = 0.5

# What the time of a sample is when there are others at the same moment, in percent.
_LEAST = 0.001


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time that is marked; place and width in percent."""

    kind: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Flag:
    """A moment at which something happened; its place in percent."""

    kind: str
    left: float
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """What is told of a sample where a reader points at it: its stretch; where in it, and how high, it is."""

    left: float
    width: float
    at: float
    height: float
    text: str


def rates(samples: Sequence[Sample]) -> list[tuple[float, float, float]]:
    """Return documents per second as stretches: begin, end, rate.

    >>> from types import SimpleNamespace as At
    >>> rates([At(second=0.0, read=0), At(second=1.0, read=1_000), At(second=1.25, read=1_000)])
    [(0.0, 0.25, 1000.0), (0.25, 0.5, 1000.0), (0.5, 0.75, 1000.0), (0.75, 1.0, 1000.0), (1.0, 1.25, 0.0)]
    """
    end = samples[-1].second
    width = max(LEAST_RATE_SECONDS, end / RATES)
    count = max(1, round(end / width))
    edges = [end * number / count for number in range(count + 1)]
    reads = _interpolated([(0.0, 0.0), *((one.second, float(one.read)) for one in samples)], edges)
    found = zip(pairwise(edges), pairwise(reads), strict=True)
    return [(left, right, (after - before) / (right - left)) for (left, right), (before, after) in found]


def zones(samples: Sequence[Sample], scale: Scale) -> Iterator[Band]:
    """Yield a band for each stretch in which chunks did not grow."""
    begins = [0.0, *(one.second for one in samples)]
    for zone, together in groupby(zip(samples, begins, strict=False), key=lambda one: one[0].zone):
        some = [*together]
        if zone != Zone.GROW:
            yield _band(f"zone-{zone}", scale, some[0][1], some[-1][0].second)


def pauses(samples: Sequence[Sample], scale: Scale) -> Iterator[Band]:
    """Yield a band for each stretch most of which was spent waiting."""
    waits = ((a, b, b.paused - a.paused > PAUSED * (b.second - a.second)) for a, b in pairwise(samples))
    for waited, together in groupby(waits, key=lambda one: one[2]):
        some = [*together]
        if waited:
            yield _band("paused", scale, some[0][0].second, some[-1][1].second)


def flags(marks: Sequence[Mark], scale: Scale) -> Iterator[Flag]:
    """Yield a flag for each mark but for changes of the zone, which are bands."""
    for mark in marks:
        if mark.word != "zone":
            told = f"{format_duration(mark.second)}: {mark.word.replace('_', ' ')}: {mark.sentence}"
            yield Flag(mark.word, scale.across(mark.second), told)


def points(
    samples: Sequence[Sample], scale: Scale, tell: Callable[[Sample], tuple[float, str]]
) -> Iterator[Point]:
    """Yield a point for each sample, whose stretch reaches half way to its neighbours.

    ``tell`` says of a sample how high it is, and what it is.
    """
    places = [scale.across(one.second) for one in samples]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(places)), 100.0]
    for one, place, (left, right) in zip(samples, places, pairwise(edges), strict=True):
        value, text = tell(one)
        width = max(right - left, _LEAST)
        yield Point(
            left=round(left, 3),
            width=round(width, 3),
            at=round(100 * (place - left) / width, 1),
            height=scale.up(value),
            text=f"{format_duration(one.second)}: {text}",
        )


def _band(kind: str, scale: Scale, begin: float, end: float) -> Band:
    left = scale.across(begin)
    return Band(kind, left, round(scale.across(end) - left, 3))


def _interpolated(known: Sequence[tuple[float, float]], wanted: Sequence[float]) -> list[float]:
    """Return the values at the ``wanted`` seconds, as if it went evenly between two that are known."""
    found, number = [], 0
    for second in wanted:
        while number + 2 < len(known) and known[number + 1][0] < second:
            number += 1
        (left, before), (right, after) = known[number], known[number + 1]
        share = min(1.0, max(0.0, (second - left) / (right - left))) if right > left else 1.0
        found.append(before + share * (after - before))
    return found
