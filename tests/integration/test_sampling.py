"""Sampling on a real server: small collections whole, of large ones a part, the largest documents always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import Decimal128, Int64, ObjectId

from chunkmigrate import scan
from chunkmigrate.pages import PageReader
from chunkmigrate.raw import key_of
from chunkmigrate.sampling import STRETCHES_SECONDS, Sample, sample
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from pymongo.database import Database

    from chunkmigrate.frontier import Segment
    from chunkmigrate.scan import Scan


def ids(of: Scan, stretches: tuple[Segment, ...]) -> list[Any]:
    """What is read of stretches, one after the other."""
    found = list[Any]()
    for stretch in stretches:
        reader, after = PageReader(of, stretch.upto), stretch.after
        while page := reader.read(after, 1 << 20, measured=False):
            found += [one["_id"] for one in page.decoded(of.collection.codec_options)]
            after = page.through
    return found


def fill(db: Database[Any], count: int, **more: Any) -> None:
    db.orders.insert_many({"_id": number, "even": number % 2 == 0, **more} for number in range(count))


def test_small(db: Database[Any]) -> None:
    """Of a collection no larger than the sample, all is taken, once and in order."""
    fill(db, 100)
    chosen = sample(scan(db.orders), 100)

    assert chosen.whole
    assert ids(scan(db.orders), chosen.all) == [*range(100)]
    assert chosen.census
    assert chosen.census.documents == 100


def test_small_match(db: Database[Any]) -> None:
    """What counts is how many match, not how many there are."""
    fill(db, 5_000)
    few = scan(db.orders, {"_id": {"$lt": 50}})
    chosen = sample(few, 100)

    assert chosen.whole
    assert ids(few, chosen.all) == [*range(50)]


@pytest.mark.parametrize("size", [10, 200, 2_000])
def test_large(db: Database[Any], size: int) -> None:
    """Of a larger one about as many as were asked for are taken, from several places."""
    fill(db, 20_000)
    even = scan(db.orders, {"even": True}, fields=[])
    chosen = sample(even, size)
    found = ids(even, chosen.long + chosen.short)

    assert not chosen.whole
    assert size / 2 <= len(found) <= size + 75
    assert all(one % 2 == 0 for one in found)
    assert chosen.census
    assert chosen.census.documents == 10_000
    # How evenly is the server's to say: its $sample once left out the last quarter of these.
    assert len({stretch.upto for stretch in chosen.long + chosen.short}) > size // 100


def test_largest(db: Database[Any]) -> None:
    """The largest documents are in it, with what lies around them, wherever they are."""
    fill(db, 5_000)
    large = [17, 2_500, 4_998]
    for number in large:
        db.orders.update_one({"_id": number}, {"$set": {"pad": bytes(100_000 + number)}})
    chosen = sample(scan(db.orders), 100)
    found = ids(scan(db.orders), chosen.large)

    assert set(large) <= set(found)
    assert {2_499, 2_501} <= set(found)
    assert chosen.census
    assert [key_of_number(key) for key in chosen.census.keys] == [4_998, 2_500, 17]


def key_of_number(key: Any) -> int:
    return int(key.shown())


def test_first_is_largest(db: Database[Any]) -> None:
    """The largest one may be the first, or the last, of all."""
    fill(db, 500)
    for number in (0, 499):
        db.orders.update_one({"_id": number}, {"$set": {"pad": bytes(100_000)}})

    assert {0, 499} <= set(ids(scan(db.orders), sample(scan(db.orders), 20).large))


def test_projected(db: Database[Any]) -> None:
    """Documents are large by what is read of them, not by what they have."""
    fill(db, 1_000, pad=bytes(2_000))
    db.orders.update_one({"_id": 7}, {"$set": {"note": "x" * 500}})
    noted = scan(db.orders, fields=["note"])
    chosen = sample(noted, 50)

    assert chosen.census
    assert 7 in ids(noted, chosen.large)
    assert chosen.census.size < 100_000


def test_mixed_types(db: Database[Any]) -> None:
    """Whatever the types of the _ids, stretches lie in the order of the index and lose nothing."""
    mixed = [
        *range(200),
        *map(Int64, range(1_000, 1_100)),
        *(number + 0.5 for number in range(100)),
        *(f"order {number:03}" for number in range(200)),
        *({"a": number} for number in range(100)),
        *(ObjectId() for _ in range(100)),
        *(bytes((number,)) for number in range(100)),
        Decimal128("1e40"),
        True,
        None,
    ]
    db.orders.insert_many({"_id": one} for one in mixed)
    whole, part = sample(scan(db.orders), 5_000), sample(scan(db.orders), 300)
    everything = [one["_id"] for one in db.orders.find(sort=[("_id", 1)])]

    assert ids(scan(db.orders), whole.all) == everything
    for stretch in part.all:
        found = ids(scan(db.orders), (stretch,))
        start = everything.index(found[0])
        assert found == everything[start : start + len(found)]
    assert len(ids(scan(db.orders), part.all)) > 100


@pytest.mark.parametrize("count", [0, 3_000])
def test_nothing_matches(db: Database[Any], count: int) -> None:
    """Where nothing matches, or there is nothing at all, there is nothing to be taken, and no error."""
    if count:
        fill(db, count)
    chosen = sample(scan(db.orders, {"missing": True}), 100)

    assert ids(scan(db.orders, {"missing": True}), chosen.all) == []
    assert chosen.census
    assert (chosen.census.documents, chosen.census.size, chosen.census.keys) == (0, 0, ())


def test_uncountable(db: Database[Any]) -> None:
    """A filter that can be found with, but not counted with, gets its sample without a census."""
    fill(db, 3_000)
    odd = scan(db.orders, {"$where": "this._id % 2 == 1"})
    chosen = sample(odd, 100)

    assert chosen.census is None
    assert chosen.large == ()
    found = ids(odd, chosen.all)
    assert found
    assert all(one % 2 for one in found)


def test_time_is_over(db: Database[Any]) -> None:
    """Looking for stretches ends once its time is over, with those that were found."""
    fill(db, 5_000)
    times = iter([0.0, 1.0, STRETCHES_SECONDS + 1])
    last = [STRETCHES_SECONDS + 1]
    chosen = sample(scan(db.orders), 1_000, clock=lambda: next(times, last[0]))

    assert len(chosen.long) == 1
    assert (chosen.short, chosen.large) == ((), ())


def test_symbol_ids(db: Database[Any]) -> None:
    """A position is the stored bytes of an _id, and taken for nothing else."""
    fill(db, 300)
    chosen: Sample = sample(scan(db.orders), 50)
    stored = {key_of(one.raw) for one in db.orders.with_options(RAW).find({}, {"_id": 1})}

    assert {stretch.upto for stretch in chosen.all} <= stored


def test_writes_nothing(db: Database[Any]) -> None:
    """To choose a sample changes nothing."""
    fill(db, 3_000)
    before = db.command("dbHash")["md5"]
    sample(scan(db.orders, {"even": True}), 100)

    assert db.command("dbHash")["md5"] == before
