"""Another's lease seen from outside, and what is said of it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chunkmigrate import leases
from chunkmigrate.errors import CancelledError
from chunkmigrate.holder import Holder, Liveness
from chunkmigrate.lease_reading import LeaseRecord
from chunkmigrate.watch import Watch, announcement, refusal

ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN
ME = Holder(token="me")
POD = Holder(token="other", pod="migrate-x7k2p", node="node-3", host="migrate-x7k2p", pid=1)
NOW = datetime(2026, 1, 5, 9, 45, 11, tzinfo=UTC)
RECORD = LeaseRecord(
    migration="add_one",
    generation=3,
    holder=POD,
    since=datetime(2026, 1, 5, 9, 41, 7, tzinfo=UTC),
    renewed=NOW - timedelta(seconds=4),
    until=NOW + timedelta(seconds=26),
    released=False,
    asked=None,
    former=None,
    now=NOW,
)


def test_shown_together() -> None:
    """Of several the first is named, and other processes are counted, however many leases they have."""
    other = replace(RECORD, holder=replace(POD, token="third"))

    assert leases.shown([RECORD, replace(RECORD, partition=7)]) == RECORD.shown()
    assert leases.shown([RECORD, other, replace(other, partition=7)]) == f"{RECORD.shown()} and 1 more"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watch(clock: Clock, known: Liveness = UNKNOWN) -> Watch:
    return Watch(ME, clock, lambda _other, _me: known)


def renewed(record: LeaseRecord, seconds: float) -> LeaseRecord:
    later = timedelta(seconds=seconds)
    return replace(record, renewed=record.renewed + later, until=record.until + later, now=record.now + later)


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, holder=None),
        replace(RECORD, released=True),
        replace(RECORD, until=NOW),
        replace(RECORD, until=NOW - timedelta(hours=1)),
    ],
)
def test_not_held(record: LeaseRecord) -> None:
    """A lease that nobody has, that was given back or has run out, may be taken at once, whoever lives."""
    assert not record.held
    assert watch(Clock(), ALIVE).see(record) is DEAD


@pytest.mark.parametrize("known", [ALIVE, DEAD])
def test_proved(known: Liveness) -> None:
    """What can be proved of the holder needs no watching."""
    assert RECORD.held
    assert watch(Clock(), known).see(RECORD) is known


def test_moves() -> None:
    """A holder nothing is known of is alive once it renews, or once another has the lease."""
    clock = Clock()
    watching = watch(clock)

    assert watching.see(RECORD) is UNKNOWN
    clock.now += 9
    assert watching.see(RECORD) is UNKNOWN
    assert watching.see(renewed(RECORD, 10)) is ALIVE

    taken = watch(clock)
    taken.see(RECORD)

    assert taken.see(replace(RECORD, holder=replace(POD, token="third"))) is ALIVE


def test_dies_while_watched() -> None:
    """One that renewed and then misses two renewals is unknown again: nobody gives up because of it."""
    clock = Clock()
    watching = watch(clock)
    watching.see(RECORD)
    last = renewed(RECORD, 10)
    watching.see(last)
    clock.now += 19

    assert watching.see(last) is ALIVE

    clock.now += 2

    assert watching.see(last) is UNKNOWN


def test_servers_clock_set_back() -> None:
    """A lease unmoved for longer than it lasts is over by our own clock too, whatever the server's says."""
    clock = Clock()
    watching = watch(clock)
    ahead = replace(RECORD, now=NOW - timedelta(hours=1))
    watching.see(ahead)
    clock.now += 30

    assert watching.see(ahead) is UNKNOWN

    clock.now += 1

    assert watching.see(ahead) is DEAD


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (RECORD, "pod migrate-x7k2p on node-3 (pid 1) since 09:41:07 UTC, last renewed 4 s ago"),
        (
            replace(
                RECORD, holder=Holder(token="t", host="vm", pid=4711), renewed=NOW - timedelta(minutes=90)
            ),
            "host vm (pid 4711) since 09:41:07 UTC, last renewed 1 h 30 min ago",
        ),
        (
            replace(RECORD, since=NOW - timedelta(days=1)),
            "pod migrate-x7k2p on node-3 (pid 1) since 2026-01-04 09:45:11 UTC, last renewed 4 s ago",
        ),
    ],
)
def test_shown(record: LeaseRecord, shown: str) -> None:
    """Who holds a lease is said with since when and the last renewal; with the day if it is not today."""
    assert record.shown() == shown


def test_refusal() -> None:
    """A run that is refused says who runs, and three things that can be done; the facts are attributes."""
    error = refusal(RECORD)

    assert str(error) == (
        "add_one is being run by pod migrate-x7k2p on node-3 (pid 1) since 09:41:07 UTC, last renewed 4 s "
        "ago. Wait for it with --wait 5m, stop it with `chunkmigrate cancel add_one`, or take its lease away "
        "with `chunkmigrate unlock add_one`."
    )
    assert (error.migration, error.pod, error.host, error.pid) == ("add_one", POD.pod, POD.host, 1)
    assert (error.since, error.renewed) == (RECORD.since, RECORD.renewed)


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (0.0, "Watching for at most 30 s whether it still lives."),
        (300.0, "Waiting up to 5 min 00 s for its lease."),
        (math.inf, "Waiting for its lease."),
    ],
)
def test_announcement(wait: float, said: str) -> None:
    """A run that waits says for whom, and how long it will."""
    assert announcement(RECORD, wait) == f"add_one is being run by {RECORD.shown()}. {said}"


def test_cancelled() -> None:
    """A run that was cancelled says by whom, and how to allow it again."""
    assert str(CancelledError("add_one", "ann on vm")) == (
        "add_one was cancelled by ann on vm; what is committed is safe. Allow it again with "
        "`chunkmigrate resume add_one`."
    )
