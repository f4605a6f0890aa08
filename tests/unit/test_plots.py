"""The plots: where things lie, what is drawn and what is said of it."""

from __future__ import annotations

import doctest
import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from chunkmigrate import axes, plain, stretches
from chunkmigrate.axes import BOX, TICKS, TIMES, Scale, byte_ticks, number_ticks, time_ticks
from chunkmigrate.plots import Plot, plots
from chunkmigrate.sizing import MIB
from chunkmigrate.stretches import RATES, rates
from chunkmigrate.timeline import Timeline
from tests.unit.telling import BUDGET, sample, steady, timeline_of


@pytest.mark.parametrize("module", [axes, stretches, plain])
def test_examples(module: Any) -> None:
    """The examples in the docstrings are true."""
    found = doctest.testmod(module)

    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("most", [0.0, 1, 5, 999, 1_000, 4_321, 10**6, 10**12])
@pytest.mark.parametrize(("ticks", "many"), [(byte_ticks, TICKS), (number_ticks, TICKS)])
def test_ticks(ticks: Any, many: int, most: float) -> None:
    """Ticks begin at 0, are evenly apart, few, and none is above the largest value."""
    found = ticks(most)

    assert found[0] == 0
    assert len(found) <= many
    assert found[-1] <= max(most, 1) * (1 + 1e-9)
    assert len({round(b - a, 6) for a, b in pairwise(found)}) <= 1


@pytest.mark.parametrize("seconds", [0.002, 0.3, 1, 59, 61, 3_599, 3_600, 86_400, 10 * 86_400, 400 * 86_400])
def test_time_ticks(seconds: float) -> None:
    """Of any time there are a few ticks."""
    found = time_ticks(seconds)

    assert 1 <= len(found) <= TIMES
    assert found[-1] <= seconds * (1 + 1e-9)


@pytest.mark.parametrize("size", [1, 3 * MIB, 64 * MIB, 70 * MIB, 3 * 1024 * MIB])
def test_byte_ticks_are_round(size: int) -> None:
    """Bytes are marked at powers of two apart."""
    step = byte_ticks(size)[-1] / max(1, len(byte_ticks(size)) - 1)

    assert step == 0 or math.log2(step).is_integer()


@pytest.mark.parametrize(("second", "value"), [(-5, -5), (0, 0), (50, 50), (100, 100), (1e9, 1e9)])
def test_inside(second: float, value: float) -> None:
    """Whatever is drawn lies inside its plot."""
    scale = Scale(100.0, 100.0)

    assert 0 <= scale.across(second) <= 100
    assert 0 <= scale.up(value) <= 100


def test_rates_add_up() -> None:
    """Rates are over stretches that cover the run, and add up to all documents that were read."""
    samples = [sample(number * 0.37, read=int(1_000 * number**1.2)) for number in range(1, 200)]
    found = rates(samples)

    assert found[0][0] == 0.0
    assert found[-1][1] == pytest.approx(samples[-1].second)
    assert len(found) <= RATES + 1
    assert sum((end - begin) * rate for begin, end, rate in found) == pytest.approx(samples[-1].read)


def test_none() -> None:
    """Where there are not two moments to tell apart, nothing is drawn."""
    assert plots(Timeline()) == ()
    assert plots(timeline_of([sample(0.0)])) == ()


def drawn(timeline: Timeline) -> dict[str, Plot]:
    return {plot.key: plot for plot in plots(timeline)}


def test_all() -> None:
    """Memory, speed, and documents and bytes of chunks are drawn, each with a point for every sample."""
    found = drawn(steady(60))

    assert list(found) == ["memory", "rate", "documents", "bytes"]
    for plot in found.values():
        assert len(plot.points) == 61
        assert len(plot.across) >= 3
        assert len(plot.up) >= 3
        for line in plot.lines:
            numbers = [float(number) for number in re.findall(r"[-0-9.]+", f"{line.path} {line.area}")]
            assert len(numbers) >= 4
            assert all(0 <= number <= BOX for number in numbers)


def test_points_cover_the_plot() -> None:
    """Wherever a reader points there is a sample to tell of."""
    points = drawn(steady(60))["memory"].points
    edges = [(point.left, point.left + point.width) for point in points]

    assert edges[0][0] == 0
    assert edges[-1][1] == pytest.approx(100)
    assert all(end == pytest.approx(begin, abs=0.01) for (_, end), (begin, _) in pairwise(edges))


def test_memory_told() -> None:
    """What there is to see of memory is said in a sentence, and of each sample what it is."""
    plot = drawn(timeline_of([sample(0.0, 100 * MIB), sample(5.0, 400 * MIB), sample(9.0, 200 * MIB)]))[
        "memory"
    ]

    assert plot.summary == (
        "Memory in use, over 9.0 s: from 100 MiB to 200 MiB, 400 MiB at most, of a budget of 512 MiB."
    )
    assert plot.points[1].text == "5.0 s: 400 MiB of 512 MiB, hold"
    assert [guide.label for guide in plot.guides] == ["70% hold", "85% shrink", "95% stop"]


@pytest.mark.parametrize(
    ("limit", "labels", "is_drawn"),
    [
        (None, ["in use", "budget, 512 MiB"], False),
        (700 * MIB, ["in use", "budget, 512 MiB", "cgroup limit, 700 MiB"], True),
        (8_192 * MIB, ["in use", "budget, 512 MiB", "cgroup limit, 8 GiB: far above"], False),
    ],
)
def test_limit(limit: int | None, labels: list[str], is_drawn: bool) -> None:  # noqa: FBT001 - a table's expectation
    """A limit is drawn, unless it is so far above that nothing else could be seen; then it is told."""
    plot = drawn(timeline_of([replace(one, limit=limit) for one in steady(9).samples]))["memory"]
    paths = {line.kind: line.path for line in plot.lines}

    assert [line.label for line in plot.lines] == labels
    assert bool(paths.get("limit")) is is_drawn


def test_process_alone() -> None:
    """Where more counts against the budget than the process itself, both are drawn."""
    apart = timeline_of([replace(one, rss=one.used // 2) for one in steady(9).samples])

    assert [line.kind for line in drawn(apart)["memory"].lines] == ["used", "rss", "budget"]


def test_resized() -> None:
    """A budget that changes is drawn in steps, and there is no level that would hold for all of it."""
    samples = [sample(float(second), budget=BUDGET * (1 + (second > 5))) for second in range(10)]
    plot = drawn(timeline_of(samples))["memory"]

    assert plot.guides == ()
    assert next(line.path for line in plot.lines if line.kind == "budget").count("L") == 3


def test_zones() -> None:
    """Where chunks did not grow there is a band in every plot, over that stretch."""
    used = [100, 100, 400, 400, 450, 500, 100]
    found = drawn(timeline_of([sample(float(second), size * MIB) for second, size in enumerate(used)]))

    for plot in found.values():
        assert [(band.kind, band.left, round(band.left + band.width)) for band in plot.bands] == [
            ("zone-hold", 16.667, 50),
            ("zone-shrink", 50.0, 67),
            ("zone-stop", 66.667, 83),
        ]


def test_pauses() -> None:
    """Where a run mostly waited there is a band; where it waited a little there is none."""
    paused = [0.0, 0.1, 0.2, 1.2, 2.2, 2.3, 2.4]
    samples = [sample(float(second), paused=waited) for second, waited in enumerate(paused)]
    bands = drawn(timeline_of(samples))["rate"].bands

    assert [(band.kind, band.left, band.width) for band in bands] == [("paused", 33.333, 33.334)]


def test_flags() -> None:
    """What an operator was told has a flag where it was, but for zones, which are bands."""
    kept = steady(10)
    kept.mark(5.0, "throttled", "replication lag 14 s > 10 s")
    kept.mark(6.0, "zone", "grow to hold")
    flags = drawn(kept)["memory"].flags

    assert [(flag.kind, flag.left) for flag in flags] == [("throttled", 50.0)]
    assert flags[0].text == "5.0 s: throttled: replication lag 14 s > 10 s"
