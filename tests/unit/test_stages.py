"""Stages: what each takes alone, on a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
import pytest

from chunkmigrate.frontier import Segment
from chunkmigrate.stages import EXPANDED, STAGE_SECONDS, TOGETHER, Stages, size_of, summary
from chunkmigrate.weighing import WEIGH_SECONDS
from tests.unit.making import Stored, backfill_of, key, set_a, undecodable
from tests.unit.rooms import stored

if TYPE_CHECKING:
    from chunkmigrate.backfill import Backfill


@dataclass
class Clock:
    """A clock that stands still unless somebody takes time."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Slow(Stored):
    """A collection whose every reply takes a while."""

    clock: Any = None
    seconds: float = 0.0

    def page(self, *bounds: Any, **options: Any) -> Any:
        self.clock.takes(self.seconds)
        return super().page(*bounds, **options)


ALL = [Segment(None, key(599))]
THIRDS = [Segment(None, key(199)), Segment(key(199), key(399)), Segment(key(399), key(599))]


def measured(backfill: Backfill, clock: Clock | None = None, *stretches: Segment) -> Stages:
    stages = Stages(clock or Clock())
    stages.measure(backfill, stretches or [Segment(None, backfill.scan.upper_bound() or key(0))])
    return stages


def test_transform() -> None:
    """The time a transform takes is told for each document, and is no other stage's."""
    clock = Clock()

    def slow(order: Any) -> Any:
        clock.takes(0.002)
        return set_a(order)

    stages = measured(backfill_of(slow, scan=Stored(stored(50))), clock)

    assert stages.documents == 50
    assert stages.seconds() == pytest.approx({"read": 0, "decode": 0, "transform": 0.002, "encode": 0})


def test_together() -> None:
    """What is transformed together is given lists, and costs each document its share."""
    clock, groups = Clock(), list[int]()

    def slow(orders: Any) -> Any:
        groups.append(len(orders))
        clock.takes(0.1)
        return map(set_a, orders)

    stages = measured(backfill_of(None, each_chunk=slow, scan=Stored(stored(250))), clock)

    assert sum(groups) == 250
    assert max(groups) == TOGETHER
    assert stages.seconds()["transform"] == pytest.approx(0.1 * len(groups) / 250)
    assert len(stages.statements) == 250


def test_read() -> None:
    """Reading is judged by pages as long as those of a run, and not by one that the server was late with."""
    clock = Clock()
    scan = Slow(stored(3_100), clock=clock, seconds=0.1)
    stages = Stages(clock)
    backfill = backfill_of(set_a, scan=scan)
    stages.measure(backfill, [Segment(None, key(3_015))])
    scan.seconds = 3.0
    stages.measure(backfill, [Segment(key(3_015), key(3_099))])

    assert [documents for documents, _ in stages.weighing.pages][:2] == [16, 1_000]
    assert stages.seconds()["read"] == pytest.approx(0.1 / 1_000)


def test_time_is_over() -> None:
    """A transform that is slow is given as many documents as there is time for, and no page to its end."""
    clock = Clock()

    def slow(order: Any) -> Any:
        clock.takes(STAGE_SECONDS / 4)
        return set_a(order)

    stages = measured(backfill_of(slow, scan=Stored(stored(1_000))), clock)

    assert stages.documents == 4
    assert len(stages.statements) == 4


@pytest.mark.parametrize("seconds", [0.02, 1.0])
@pytest.mark.parametrize("stretches", [ALL, THIRDS], ids=["one stretch", "three stretches"])
def test_slow(stretches: list[Segment], seconds: float) -> None:
    """However slow a transform is, sizes are of the whole sample, and what was timed lies in all of it."""
    clock, seen = Clock(), list[int]()

    def slow(order: Any) -> Any:
        seen.append(order["_id"])
        clock.takes(seconds)
        return set_a(order)

    documents = stored(400) + stored(600, 5_000)[400:]
    stages = measured(backfill_of(slow, scan=Stored(documents)), clock, *stretches)
    thirds = [sum(number // 200 == third for number in seen) for third in range(3)]

    assert len(stages.weighing.weights) == 600
    assert stages.sizes()["median"] < 100
    assert stages.sizes()["p95"] > 5_000
    assert stages.documents == len(seen) == pytest.approx(STAGE_SECONDS / seconds, abs=3)
    assert thirds == pytest.approx([len(seen) / 3] * 3, abs=2)


def test_share() -> None:
    """Where steps share the time, each has its part of it."""
    clock = Clock()

    def slow(order: Any) -> Any:
        clock.takes(0.1)
        return set_a(order)

    stages = Stages(clock, share=1 / 4)
    stages.measure(backfill_of(slow, scan=Stored(stored(600))), ALL)

    assert stages.documents == pytest.approx(STAGE_SECONDS / 4 / 0.1, abs=1)
    assert stages.weighing.seconds == WEIGH_SECONDS / 4


def test_far_away() -> None:
    """Where reading takes longer than there is time for each place, what was read is measured."""
    clock = Clock()
    scan = Slow(stored(1_000), clock=clock, seconds=STAGE_SECONDS / 8)
    stages = measured(backfill_of(set_a, scan=scan), clock)

    assert len(stages.pieces) == 10
    assert stages.documents > 50


def test_largest() -> None:
    """The largest document that is known of counts, though it is not in the sample."""
    stages = measured(backfill_of(set_a, scan=Stored(stored(10))))

    assert stages.sizes(7_000) == stages.sizes() | {"max": 7_000}
    assert stages.sizes(1) == stages.sizes()


def test_failures() -> None:
    """Documents that fail are counted by the class of what was raised, and nothing of it is kept."""

    def picky(order: Any) -> Any:
        if order["_id"] == 3:
            raise KeyError("secret")
        if order["_id"] == 4:
            raise SystemExit
        return {"no": "write"} if order["_id"] == 5 else set_a(order)

    stages = measured(backfill_of(picky, scan=Stored(stored(10))))

    assert stages.failures == {"KeyError": 1, "SystemExit": 1, "NotAWriteError": 1}
    assert stages.documents == 10
    assert len(stages.statements) == 7


def test_undecodable() -> None:
    """A document that is no BSON is counted, and those behind it are measured all the same."""
    documents = stored(10)
    documents[4] = undecodable({"_id": 4})
    stages = measured(backfill_of(set_a, scan=Stored(documents)))

    assert stages.failures == {"UndecodableError": 1}
    assert stages.documents == 10
    assert len(stages.statements) == 9


def test_sizes() -> None:
    """Sizes are those of the documents as read, and of the writes as they are sent."""
    documents = [bson.encode({"_id": number, "pad": bytes(100 * number)}) for number in range(11)]
    stages = measured(backfill_of(set_a, scan=Stored(documents)))

    assert stages.sizes()["max"] == len(documents[-1])
    assert stages.sizes()["median"] == len(documents[5])
    assert stages.statements == [len(bson.encode({"q": {"_id": 0}, "u": {"$set": {"a": 1}}}))] * 11


def test_expansion() -> None:
    """What a document takes as objects is measured on some, against its own bytes."""
    stages = measured(backfill_of(set_a, scan=Stored(stored(300, 1_000))))

    assert len(stages.expansions) == EXPANDED
    assert 1.0 < stages.expansion() < 2.0


def test_expansion_of_all() -> None:
    """It is measured on some of every place: not on those alone that come first."""
    documents = stored(200) + stored(500, 5_000)[200:]

    assert measured(backfill_of(set_a, scan=Stored(documents))).expansion() < 1.5
    assert measured(backfill_of(set_a, scan=Stored(documents[:200]))).expansion() > 5


def test_nothing() -> None:
    """Of no document everything is nothing, and no division by it."""
    stages = Stages(Clock())

    assert stages.expansion() == 0.0
    assert set(stages.seconds().values()) == {0.0}
    assert set(stages.sizes().values()) == {0}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], (0, 0, 0, 0)),
        ([7], (7, 7, 7, 7)),
        ([1, 3], (2, 2, 2, 3)),
        ([*range(1, 101)], (50, 50, 95, 100)),
        ([10] * 99 + [10_000], (109, 10, 10, 10_000)),
    ],
)
def test_summary(sizes: list[int], expected: tuple[int, int, int, int]) -> None:
    """Mean, median, 95th percentile and maximum, also of one and of none."""
    assert tuple(summary(sizes)[name] for name in ("mean", "median", "p95", "max")) == expected


def test_size_of() -> None:
    """A value counts with all that lies in it, once for each place."""
    text = "x" * 1_000

    assert size_of(text) >= 1_000
    assert size_of([text, text]) >= 2 * size_of(text)
    assert size_of({"a": [{"b": text}]}) > size_of([{"b": text}]) > size_of({"b": text}) > size_of(text)
    assert size_of({"a" * 500: 1}) > size_of({"a": 1}) + 400
    assert size_of((1, None)) < 200
