"""The plots: memory, speed and chunks of a run over time, as geometry.

Pure: samples in, shapes and words out. Where a value lies is known to ``axes``, what it looks like is the
page's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import sizing, stretches
from chunkmigrate.axes import Scale, Tick
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkmigrate.stretches import Band, Flag, Point
    from chunkmigrate.timeline import Sample, Timeline

# A limit far above the budget would press everything else to the ground: it is told of in words.
FAR = 1.6
# Where a process is all there is to count, a second line would lie on the first.
APART = 0.99


@dataclass(frozen=True, slots=True)
class Line:
    """A line; ``kind`` says how it is drawn, ``label`` what it is. ``area``: what is below it is filled."""

    kind: str
    label: str
    path: str
    area: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """One plot. ``summary`` says in a sentence what there is to see; ``guides`` are levels worth knowing."""

    key: str
    title: str
    summary: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    lines: tuple[Line, ...]
    guides: tuple[Tick, ...]
    bands: tuple[Band, ...]
    flags: tuple[Flag, ...]
    points: tuple[Point, ...]


def plots(timeline: Timeline) -> tuple[Plot, ...]:
    """Return the plots of a run; none where there are not two moments to tell apart."""
    if len(timeline.samples) < 2 or not timeline.samples[-1].second:
        return ()
    return (_memory(timeline), _rate(timeline), _documents(timeline), _sizes(timeline))


def _memory(timeline: Timeline) -> Plot:
    samples = timeline.samples
    budget, limit = max(one.budget for one in samples), max(one.limit or 0 for one in samples)
    most = max(max(one.used, one.rss) for one in samples)
    scale = _scale(timeline, max(budget, most, limit if limit <= FAR * budget else 0))
    first, last = format_bytes(samples[0].used), format_bytes(samples[-1].used)
    return _plot(
        "memory",
        "Memory",
        f"Memory in use, over {format_duration(scale.seconds)}: from {first} to {last}, {format_bytes(most)} "
        f"at most, of a budget of {format_bytes(budget)}.",
        timeline,
        scale,
        up=scale.sizes(),
        lines=_memory_lines(samples, scale, budget, limit),
        guides=_guides(samples, scale),
        tell=lambda one: (one.used, f"{format_bytes(one.used)} of {format_bytes(one.budget)}, {one.zone}"),
    )


def _memory_lines(samples: Sequence[Sample], scale: Scale, budget: int, limit: int) -> list[Line]:
    used = _values(samples, lambda one: one.used)
    lines = [Line("used", "in use", scale.path(used), scale.area(used))]
    if any(one.rss < APART * one.used for one in samples):
        rss = _values(samples, lambda one: one.rss)
        lines.append(Line("rss", "this process alone (RSS)", scale.path(rss)))
    allowed = scale.stairs(_values(samples, lambda one: one.budget))
    lines.append(Line("budget", f"budget, {format_bytes(budget)}", allowed))
    if limit > FAR * budget:
        lines.append(Line("limit", f"cgroup limit, {format_bytes(limit)}: far above", ""))
    elif limit:
        enforced = scale.stairs(_values(samples, lambda one: one.limit or 0))
        lines.append(Line("limit", f"cgroup limit, {format_bytes(limit)}", enforced))
    return lines


def _guides(samples: Sequence[Sample], scale: Scale) -> list[Tick]:
    """Return from where on chunks hold, shrink and stop; nothing where the budget changed."""
    budgets = {one.budget for one in samples}
    if len(budgets) > 1:
        return []
    shares = ((sizing.GROW_BELOW, "hold"), (sizing.GUARD, "shrink"), (sizing.STOP, "stop"))
    return [Tick(scale.up(share * max(budgets)), f"{share:.0%} {zone}") for share, zone in shares]


def _rate(timeline: Timeline) -> Plot:
    samples, found = timeline.samples, stretches.rates(timeline.samples)
    mean, most = samples[-1].read / samples[-1].second, max(rate for _, _, rate in found)
    scale = _scale(timeline, most)
    levels = [(second, rate) for left, right, rate in found for second in (left, right)]

    def tell(one: Sample) -> tuple[float, str]:
        rate = next((rate for _, right, rate in found if one.second <= right), found[-1][2])
        return rate, f"{rate:,.0f} documents/s, {one.read:,} read"

    return _plot(
        "rate",
        "Documents per second",
        f"Documents per second: {mean:,.0f} on average, {most:,.0f} at most.",
        timeline,
        scale,
        up=scale.numbers(),
        lines=[
            Line("rate", "documents per second", scale.path(levels), scale.area(levels)),
            Line("mean", f"mean, {mean:,.0f}", scale.path([(0.0, mean), (scale.seconds, mean)])),
        ],
        tell=tell,
    )


def _documents(timeline: Timeline) -> Plot:
    chunks = _chunks(timeline)
    first, last, most = chunks[0].documents, chunks[-1].documents, max(one.documents for one in chunks)
    scale = _scale(timeline, most)
    values = _values(chunks, lambda one: one.documents)
    return _plot(
        "documents",
        "Documents in a chunk",
        f"Documents in a chunk: from {first:,} to {last:,}, {most:,} at most.",
        timeline,
        scale,
        up=scale.numbers(),
        lines=[Line("documents", "documents", scale.path(values), scale.area(values))],
        tell=lambda one: (one.documents, f"{one.documents:,} documents"),
    )


def _sizes(timeline: Timeline) -> Plot:
    chunks = _chunks(timeline)
    first, last = format_bytes(chunks[0].size), format_bytes(chunks[-1].size)
    scale = _scale(timeline, max(one.size for one in chunks))
    values = _values(chunks, lambda one: one.size)
    return _plot(
        "bytes",
        "Bytes in a chunk",
        f"Bytes of the writes in a chunk: from {first} to {last}, {format_bytes(int(scale.most))} at most.",
        timeline,
        scale,
        up=scale.sizes(),
        lines=[Line("bytes", "writes, as they are sent", scale.path(values), scale.area(values))],
        tell=lambda one: (one.size, format_bytes(one.size)),
    )


def _plot(
    key: str,
    title: str,
    summary: str,
    timeline: Timeline,
    scale: Scale,
    *,
    up: tuple[Tick, ...],
    lines: Sequence[Line],
    tell: Callable[[Sample], tuple[float, str]],
    guides: Sequence[Tick] = (),
) -> Plot:
    samples = timeline.samples
    return Plot(
        key=key,
        title=title,
        summary=summary,
        across=scale.times(),
        up=up,
        lines=tuple(lines),
        guides=tuple(guides),
        bands=(*stretches.zones(samples, scale), *stretches.pauses(samples, scale)),
        flags=tuple(stretches.flags(timeline.marks, scale)),
        points=tuple(stretches.points(samples, scale, tell)),
    )


def _scale(timeline: Timeline, most: float) -> Scale:
    return Scale(timeline.samples[-1].second, most)


def _chunks(timeline: Timeline) -> Sequence[Sample]:
    """Return the samples that have a chunk: the one at the very beginning has none."""
    return [one for one in timeline.samples if one.documents] or timeline.samples


def _values(samples: Sequence[Sample], of: Callable[[Sample], float]) -> list[tuple[float, float]]:
    return [(one.second, of(one)) for one in samples]
