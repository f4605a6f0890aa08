"""The pipeline: what it hands from one part to the next, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakSet

import bson
import pytest
from bson.codec_options import CodecOptions
from pymongo import UpdateOne

from chunkmigrate.records import Deaths
from chunkmigrate.sizing import LARGE_BYTES, MIB, Sizes
from chunkmigrate.unchanged import print_of
from tests.unit.engine import database_of, pipeline_of
from tests.unit.making import Orders, Stored, backfill_of, key, set_a, undecodable
from tests.unit.rooms import stored

SMALL = Sizes(chunk_bytes=4 * MIB, page_bytes=2 * MIB, chunk_documents=8)


def run(backfill: Any, count: int, sizes: Sizes | None = SMALL, **options: Any) -> Any:
    """What there is after one run."""
    database = database_of(count, sizes)
    for _ in pipeline_of(database, backfill, **options):
        pass
    return database


def test_chunks() -> None:
    """Every document is in one chunk, in order; chunks grow as they commit, and the last is what is left."""
    database = run(backfill_of(set_a, scan=Stored(stored(50))), 50)

    assert [one for chunk in database.chunks for one in chunk] == database.written == [*range(50)]
    assert [*map(len, database.chunks)] == [8, 8, 12, 18, 4]
    assert database.record.reach.position == key(49)


def test_joined() -> None:
    """Where a list fails, the documents at fault are found from what was read, across pages and chunks."""

    def doubled(orders: list[dict[str, Any]]) -> list[UpdateOne]:
        for order in orders:
            order["price"] *= 2
        assert not {order["_id"] for order in orders} & {3, 8, 9}
        return [UpdateOne({"_id": order["_id"]}, {"$set": {"price": order["price"]}}) for order in orders]

    scan = Stored([bson.encode({"_id": number, "price": 5}) for number in range(20)])
    database = run(backfill_of(each_chunk=doubled, scan=scan), 20)

    assert database.written == [number for number in range(20) if number not in (3, 8, 9)]
    assert database.aside == dict.fromkeys((3, 8, 9), "transform")


@pytest.mark.parametrize("options", [{"transform": set_a}, {"each_chunk": lambda orders: map(set_a, orders)}])
def test_prints(options: dict[str, Any]) -> None:
    """With if_unchanged each chunk knows what its documents were, but for those that were set aside."""
    documents = stored(20)
    documents[5] = undecodable({"_id": 5})
    database = run(backfill_of(scan=Stored(documents), if_unchanged=True, **options), 20)

    assert database.prints == [
        None if number == 5 else (key(number), print_of(document))
        for number, document in enumerate(documents)
    ]
    assert database.aside == {5: "undecodable"}


def test_no_prints() -> None:
    """Without it nothing of that is kept."""
    assert run(backfill_of(set_a, scan=Stored(stored(20))), 20).prints == []


def test_one_at_a_time() -> None:
    """While a large document is decoded no other one is there as objects any more."""
    alive: WeakSet[Any] = WeakSet()
    found = []

    class Order(dict[str, Any]):
        __hash__ = object.__hash__  # type: ignore[assignment]

        def __init__(self) -> None:
            super().__init__()
            found.append(len(alive))
            alive.add(self)

    orders = Orders(codec_options=CodecOptions(document_class=Order))
    run(backfill_of(set_a, scan=Stored(stored(4, LARGE_BYTES), orders)), 4)

    assert found == [0, 0, 0, 0]


def test_doomed() -> None:
    """The chunk of a document that killed three runs ends with it, and is committed before the next one is
    worked on.
    """
    database, seen = database_of(20, SMALL), {}
    database.record = replace(database.record, deaths=Deaths(key(5), 3, 1))

    def watch(order: dict[str, Any]) -> None:
        seen[order["_id"]] = database.record.reach.position

    for _ in pipeline_of(database, backfill_of(watch, scan=Stored(stored(20))), careful=100):
        pass

    assert (database.aside, database.chunks[0]) == ({5: "deaths"}, [0, 1, 2, 3, 4, key(5)])
    assert (seen[4], seen[6], len(seen)) == (None, key(5), 19)


def test_careful() -> None:
    """After a death each chunk is committed before a document of the next one is worked on."""
    for careful, expected in ((100, 7), (0, None)):
        database, seen = database_of(20, SMALL), {}

        def watch(order: dict[str, Any], database: Any = database, seen: Any = seen) -> None:
            seen[order["_id"]] = database.record.reach.position

        for _ in pipeline_of(database, backfill_of(watch, scan=Stored(stored(20))), careful=careful):
            pass

        assert seen[8] == (None if expected is None else key(expected))


def test_intents() -> None:
    """What is to be done next is on record before the first chunk, and with each chunk: from where, up to
    the end of the page, where that is known.
    """
    sizes = replace(SMALL, page_bytes=500)
    database = run(backfill_of(set_a, scan=Stored(stored(40))), 40, sizes)
    told = [(intent.after, intent.through) for intent in database.intents]

    assert told[0] == (None, None)
    assert (key(27), key(38)) in told
    assert all(after != through for after, through in told[1:])
    assert told[-1] == (key(39), None)


@pytest.mark.parametrize("after", [1, 5, 9, 30])
def test_stop(after: int) -> None:
    """A stop ends the run with the document at hand; what was worked on is committed, and nothing else."""
    done: list[int] = []

    def work(order: dict[str, Any]) -> UpdateOne:
        done.append(order["_id"])
        return set_a(order)

    database = database_of(50, SMALL)
    backfill = backfill_of(work, scan=Stored(stored(50)))
    pipeline = pipeline_of(database, backfill, stopped=lambda: len(done) >= after)
    results = [*pipeline]

    assert pipeline.stopped_by == "stop"
    assert database.written == done == [*range(after)]
    assert database.record.reach.position == key(after - 1)
    assert sum(result.read for result in results) == after


def test_left_early() -> None:
    """Not asking for the next result is how to stop it, too."""
    database = database_of(50, SMALL)
    results = iter(pipeline_of(database, backfill_of(set_a, scan=Stored(stored(50)))))
    first = next(results)
    results.close()

    assert first.counts.read == 8
    assert database.written == [*range(8)]


def test_first_sizes() -> None:
    """The sizes are on record before the first document is worked on."""
    database, seen = database_of(50), []
    backfill = backfill_of(lambda _: seen.append(database.record.sizes), scan=Stored(stored(50)))
    pipeline = pipeline_of(database, backfill)
    began = pipeline.sizes

    assert [*pipeline]
    assert seen == [began] * 50


def test_learned_sizes() -> None:
    """The sizes that were learned are stored with each chunk, and the next run begins with them."""
    backfill = backfill_of(set_a, scan=Stored(stored(50)))
    database = run(backfill, 50)

    assert database.record.sizes.chunk_documents > 18
    assert pipeline_of(database, backfill).sizes == database.record.sizes
