"""What the benchmarks must keep to, and what is said where they do not."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Thread

import pytest

from benchmarks.bars import costly, missed
from benchmarks.foretold import Foretold
from benchmarks.kernel import Confined
from benchmarks.telemetry import Telemetry
from benchmarks.telling import Told, Watch
from chunkmigrate.units import MI


def run(exit_code: int = 0, **told: float) -> Confined:
    return Confined(
        shape="tiny",
        limit=60 * MI,
        exit_code=exit_code,
        killed=exit_code != 0,
        group_peak=None,
        told=told if exit_code == 0 else {},
    )


GOOD = Foretold(
    shape="tiny",
    documents=1_000,
    profile_seconds=9.0,
    request=60 * MI,
    peak=40 * MI,
    seconds=10.0,
    runs=[run(peak=40 * MI, seconds=10.0)] * 3,
    smallest=50 * MI,
)


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        replace(GOOD, peak=45 * MI, seconds=13.4),
        replace(GOOD, peak=35 * MI, seconds=6.6),
        replace(GOOD, seconds=0.18, runs=[run(peak=40 * MI, seconds=0.1)] * 3),
        replace(GOOD, request=65 * MI),
        replace(GOOD, smallest=None, request=100 * MI),
    ],
)
def test_kept(row: Foretold) -> None:
    """What is inside every bar gets no sentence, and nothing is asked of a least that nobody looked for."""
    assert missed([row]) == []


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            replace(GOOD, peak=50 * MI),
            "tiny: the peak foretold, 50.0 MiB, is +25% off the 40.0 measured; at most 15% is allowed.",
        ),
        (
            replace(GOOD, peak=30 * MI),
            "tiny: the peak foretold, 30.0 MiB, is -25% off the 40.0 measured; at most 15% is allowed.",
        ),
        (
            replace(GOOD, seconds=14.0),
            "tiny: the duration foretold, 14 s, is +40% off the 10 measured; at most 35% is allowed.",
        ),
        (
            replace(GOOD, seconds=6.0),
            "tiny: the duration foretold, 6 s, is -40% off the 10 measured; at most 35% is allowed.",
        ),
        (
            replace(GOOD, runs=[*GOOD.runs, run(137)]),
            "tiny: 60 MiB was asked for, and enough in 3 of 4 runs; it has to be in all.",
        ),
        (
            replace(GOOD, runs=[run(137)] * 2),
            "tiny: 60 MiB was asked for, and enough in 0 of 2 runs; it has to be in all.",
        ),
        (
            replace(GOOD, request=66 * MI),
            "tiny: 66 MiB is 1.32 times the least that works; at most 1.3 times is allowed.",
        ),
    ],
)
def test_missed(row: Foretold, sentence: str) -> None:
    """A bar that was missed is told with what was foretold, what came, and what is allowed."""
    assert missed([GOOD, row]) == [sentence]


def test_missed_together() -> None:
    """Each bar of each shape has a sentence of its own."""
    off = replace(GOOD, peak=80 * MI, seconds=40.0, request=200 * MI, runs=[*GOOD.runs, run(137)])

    assert len(missed([off, GOOD, replace(off, shape="jump")])) == 8


def telemetry_of(*cpu: float, seconds: float = 2.0) -> Telemetry:
    """Runs in which telemetry took so long, beside others that took half the time."""
    took = [Told(documents=1_000, seconds=seconds, cpu=one, own=3 * one) for one in cpu]
    without = [Told(documents=1_000, seconds=seconds / 2, cpu=0.0, own=0.0) for _ in cpu]
    return Telemetry(shape="tiny", documents=1_000, told=took, untold=without)


def test_telemetry() -> None:
    """Telemetry may take a hundredth of a run, at the median, and more of a very short one; how long the runs
    took is left to chance.
    """
    dear = telemetry_of(0.01, 0.03, 0.04)

    assert dear.ratios == [2.0, 2.0, 2.0]
    assert dear.own_share == pytest.approx(0.045)
    assert costly([telemetry_of(0.01, 0.02, 0.04), telemetry_of(0.01, seconds=0.2)]) == []
    assert costly([telemetry_of(0.01), dear]) == [
        "tiny: telemetry takes 1.50% of a run; at most 1% is allowed."
    ]


def work(seconds: float = 0.02) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_watch() -> None:
    """What lies inside something that is timed is counted once; what waits takes time, and no processor."""
    watch = Watch()
    inner = watch.timed(work)
    outer = watch.timed(lambda: (work(), inner(), time.sleep(0.05)))
    outer()
    work()

    assert 0.04 <= watch.cpu < 0.055
    assert watch.own >= watch.cpu + 0.045


def test_watch_in_threads() -> None:
    """What several threads do at once is added up, each with its own processor time."""
    watch = Watch()
    threads = [Thread(target=watch.timed(work)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 0.06 <= watch.cpu < 0.08
