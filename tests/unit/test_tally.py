"""Tally: a run as numbers, at any moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, PAUSED, RUNNING, STOPPED
from chunkmigrate.outcome import ALREADY
from chunkmigrate.records import Counts
from chunkmigrate.sizing import MIB
from chunkmigrate.tally import BUCKETS, Tally
from tests.unit.hearing import ENDED, WHO, outcome, progress


@pytest.fixture
def tally() -> Tally:
    """The tally of a run that has begun, on a clock that stands still."""
    made = Tally("shop", 40 * MIB, WHO, clock=lambda: 1_000.0)
    made.begin("cents", 128 * MIB, "--memory 128Mi")
    return made


def test_begin(tally: Tally) -> None:
    """A run that has begun is running, in its budget, and has done nothing."""
    assert (tally.migration, tally.database, tally.status) == ("cents", "shop", RUNNING)
    assert (tally.budget, tally.start, tally.rss, tally.peak) == (128 * MIB, 40 * MIB, 40 * MIB, 40 * MIB)
    assert (tally.counts, tally.chunks, tally.retries, sum(tally.commits)) == (Counts(), 0, 0, 0)
    assert (tally.step, tally.steps, tally.left, tally.last, tally.succeeded_at) == (0, 0, None, None, None)
    assert set(tally.pauses.values()) == set(tally.paused_seconds.values()) == {0}


def test_show(tally: Tally) -> None:
    """After each chunk the numbers are those of the run up to it, and the peak is the highest of them."""
    for number in (1, 3, 2):
        last = progress(number)
        tally.show(last)

    assert tally.chunks == 3
    assert (tally.last, tally.counts) == (last, last.counts)
    assert (tally.rss, tally.peak, tally.budget) == (52 * MIB, 53 * MIB, 128 * MIB)
    assert (tally.step, tally.steps) == (1, 2)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.005, 0), (0.0051, 1), (2.0, 8), (2.1, 9), (20.0, 11), (21.0, 12)]
)
def test_commits(tally: Tally, seconds: float, bucket: int) -> None:
    """A commit is counted where it took no longer than the bound, and longer than the one before."""
    tally.show(progress(seconds=seconds))

    assert tally.commits == [int(index == bucket) for index in range(len(BUCKETS) + 1)]
    assert tally.commit_seconds == seconds


def test_left(tally: Tally) -> None:
    """What is left is that of the step at work, known once it is counted, and never below nothing."""
    left = []
    for total, step_read in ((None, 100), (250, 200), (250, 300), (None, 50)):
        tally.show(progress(total=total, step_read=step_read))
        left.append(tally.left)

    assert left == [None, 50, 0, None]


def test_notes(tally: Tally) -> None:
    """Retries are counted whether they are said or not; pauses as they begin, their seconds as they pass."""
    tally.note("retrying", "", seconds=0.1)
    tally.note("retrying", "connection lost; trying again in 0.2 s.", seconds=0.2)
    tally.note("throttled", "replication lag 14 s > 10 s", signal="replication lag")
    tally.note("throttled", "", signal="replication lag", seconds=0.25)
    tally.note("throttled", "", signal="replication lag", seconds=0.5)
    tally.note("throttled", "", signal="rate", seconds=0.01)
    tally.note("warning", "The server is standalone.")
    tally.note("waiting", "It is being run by pod a.")

    assert tally.retries == 2
    assert {signal for signal, number in tally.pauses.items() if number} == {"replication lag"}
    assert tally.pauses["replication lag"] == 1
    assert tally.paused_seconds["replication lag"] == 0.75
    assert tally.paused_seconds["rate"] == 0.01
    assert tally.status == RUNNING


def test_pause(tally: Tally) -> None:
    """A run that an operator pauses is paused until it goes on, and its seconds are the operator's."""
    tally.note("paused", "Paused by ada.", signal="operator")
    tally.note("paused", "", signal="operator", seconds=0.5)

    assert (tally.status, tally.pauses["operator"], tally.paused_seconds["operator"]) == (PAUSED, 1, 0.5)

    tally.note("resumed", "Going on.")

    assert tally.status == RUNNING


@pytest.mark.parametrize("status", [APPLIED, FAILED, STOPPED, CANCELLED])
def test_end(tally: Tally, status: str) -> None:
    """In the end the numbers are the outcome's; only a run that applied its migration has succeeded."""
    tally.show(progress(total=500))
    tally.end(outcome(status))

    assert (tally.status, tally.counts, tally.peak) == (status, ENDED, 90 * MIB)
    assert tally.succeeded_at == (1_000.0 if status == APPLIED else None)
    assert tally.left == (0 if status == APPLIED else 400)
    assert tally.worth_telling


def test_already(tally: Tally) -> None:
    """A run that found its work done has nothing to tell: the one that did it has told."""
    tally.end(outcome(APPLIED, ALREADY))

    assert (tally.status, tally.succeeded_at, tally.worth_telling) == (APPLIED, None, False)


def test_threads(tally: Tally) -> None:
    """Retries that several writers meet at once are all counted."""
    with ThreadPoolExecutor(4) as writers:
        for _ in range(4):
            writers.submit(lambda: [tally.note("retrying", "") for _ in range(2_000)])

    assert tally.retries == 8_000
