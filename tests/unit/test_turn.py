"""Turn: a chunk waits before its documents are taken, and what is old after the wait is read again."""

from __future__ import annotations

from typing import Any

import bson
import pytest

from chunkmigrate.load import Load
from chunkmigrate.sizing import MIB, Sizes
from chunkmigrate.throttle import Throttle
from chunkmigrate.turn import OLD_SECONDS, PAUSE_SLICE
from tests.unit.engine import database_of, pipeline_of
from tests.unit.making import Stored, backfill_of, set_a


class Time:
    """Time that passes only while somebody sleeps; ``during`` is done then, with what time it is."""

    def __init__(self, during: Any = lambda _now: None) -> None:
        self.now, self.during = 0.0, during

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.during(self.now)

    def clock(self) -> float:
        return self.now


SIZES = Sizes(chunk_bytes=4 * MIB, page_bytes=2 * MIB, chunk_documents=8)


def documents(price: int) -> list[bytes]:
    return [bson.encode({"_id": number, "price": price}) for number in range(60)]


def run(time: Time, scan: Stored, work: Any, **options: Any) -> Any:
    """What there is after a run of four documents a second, and the pipeline."""
    database = database_of(60, SIZES)
    throttle = Throttle(Load, max_rate=4.0, clock=time.clock)
    pipeline = pipeline_of(
        database,
        backfill_of(work, scan=scan),
        throttle=throttle,
        sleep=time.sleep,
        clock=time.clock,
        **options,
    )
    results = [*pipeline]
    return database, pipeline, results


def test_nothing_old() -> None:
    """What a chunk writes was read after its wait, or a few seconds of waiting before it at most."""
    time = Time(lambda now: setattr(scan, "documents", documents(int(now * 1_000))))
    scan, ages = Stored(documents(0)), []

    def work(order: dict[str, Any]) -> Any:
        ages.append(time.now - order["price"] / 1_000)
        return set_a(order)

    database, _, results = run(time, scan, work)

    assert database.written == [*range(60)]
    assert time.now > 2 * OLD_SECONDS
    assert max(ages) <= OLD_SECONDS + 0.01
    assert len(results) < 15


def test_one_question_for_each_chunk() -> None:
    """The throttle lets go as many chunks as there are, whatever is read again."""
    time, asked = Time(), []

    class Counting(Throttle):
        def reason(self) -> Any:
            found = super().reason()
            asked.extend([] if found else [time.now])
            return found

    database = database_of(60, SIZES)
    throttle = Counting(Load, max_rate=4.0, clock=time.clock)
    backfill = backfill_of(set_a, scan=Stored(documents(0)))
    pipeline = pipeline_of(database, backfill, throttle=throttle, sleep=time.sleep, clock=time.clock)

    assert len([*pipeline]) == len(asked) == len(database.chunks)


def test_waits_are_told() -> None:
    """Every second of waiting is told as it passes, by signal; that a wait begins, once for each episode."""
    time, waits, begun = Time(), list[tuple[str, float, float]](), list[str]()
    run(
        time,
        Stored(documents(0)),
        set_a,
        paused=lambda reason: begun.append(reason.signal),
        waited=lambda reason, seconds: waits.append((reason.signal, seconds, time.now)),
    )

    assert begun == ["rate"]
    assert {signal for signal, _, _ in waits} == {"rate"}
    assert sum(seconds for _, seconds, _ in waits) == pytest.approx(time.now)
    assert max(seconds for _, seconds, _ in waits) <= PAUSE_SLICE
    assert [now for _, _, now in waits] == sorted({now for _, _, now in waits})


@pytest.mark.parametrize("seconds", [0.1, 2.0, 4.0])
def test_stop_while_waiting(seconds: float) -> None:
    """A stop during a wait takes no further document; what was done is committed, the rest is left."""
    time = Time()
    database, pipeline, _ = run(time, Stored(documents(0)), set_a, stopped=lambda: time.now > seconds)
    done = len(database.written)

    assert pipeline.stopped_by == "stop"
    assert 0 < done < 60
    assert database.written == [*range(done)]
    assert bson.decode(database.record.reach.position.document().raw)["_id"] == done - 1
