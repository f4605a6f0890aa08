"""Scratch on a real server: writes go to copies, and nothing is left of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import ASCENDING, DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import OperationFailure

from chunkmigrate import Backfill, scan, sessions
from chunkmigrate.memory import Sensor
from chunkmigrate.raw import key_of
from chunkmigrate.scan import RAW
from chunkmigrate.scratch import PREFIX, drop, new_name, scratch
from chunkmigrate.sizing import MIB
from chunkmigrate.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.database import Database

    from chunkmigrate.raw import Key
    from chunkmigrate.scratch import Scratch


def keys(db: Database[Any], **matching: Any) -> list[Key]:
    return [key_of(one.raw) for one in db.orders.with_options(RAW).find(matching, {"_id": 1})]


def state(db: Database[Any]) -> dict[str, str]:
    """Every collection, and what is in it."""
    hashes: dict[str, str] = db.command("dbHash")["collections"]
    return hashes


def interrupted(db: Database[Any], backfill: Backfill) -> None:
    with scratch(backfill.scan, new_name()) as place:
        swept(db, backfill, place)
        assert left(db)
        raise KeyboardInterrupt


def left(db: Database[Any]) -> list[str]:
    return [name for name in db.list_collection_names() if name.startswith(PREFIX)]


@pytest.fixture
def orders(db: Database[Any]) -> Database[Any]:
    db.orders.insert_many({"_id": number, "n": number, "pad": "x" * 50} for number in range(500))
    return db


def swept(db: Database[Any], backfill: Backfill, place: Scratch, chunks: Sequence[int] = (100,)) -> Any:
    """The first pass of each chunk size over copies of all orders."""
    times = iter([0.0])
    with sessions.opened(db.client, 2) as opened:
        sweep = Sweep(
            backfill=backfill,
            place=place,
            keys=keys(db),
            sensor=Sensor(memory=900 * MIB, grouped=False),
            sessions=opened[1:],
            clock=lambda: next(times, 1e6),
        )
        return {size: some[0] for size, some in sweep.passes(chunks).items() if len(some) == 1}


@pytest.mark.parametrize(
    "transform",
    [
        lambda order: UpdateOne({"_id": order["_id"]}, {"$set": {"n": 0}}),
        lambda order: UpdateOne({"_id": -order["_id"] - 1}, {"$set": {"n": 0}}, upsert=True),
        lambda _: UpdateMany({}, {"$inc": {"n": 1}}) if _["_id"] < 3 else None,
        lambda order: ReplaceOne({"_id": order["_id"]}, {"n": 0}),
        lambda order: InsertOne({"_id": f"copy of {order['_id']}"}),
        lambda order: DeleteOne({"_id": order["_id"]}),
        lambda order: DeleteMany({"n": order["n"]}),
        lambda order: [InsertOne({"a": 1}), DeleteOne({"_id": order["_id"]})],
    ],
    ids=["update", "upsert", "update many", "replace", "insert", "delete", "delete many", "two"],
)
def test_nothing_changes(orders: Database[Any], transform: Any) -> None:
    """Whatever is written, it is written to copies; afterwards all is as it was."""
    before = state(orders)
    with scratch(scan(orders.orders), new_name()) as place:
        [taken] = swept(orders, Backfill(scan(orders.orders), transform), place).values()
        while_open = {name: one for name, one in state(orders).items() if not name.startswith(PREFIX)}
        assert left(orders)

    assert taken.documents == 500
    assert taken.result.counts.written > 0
    assert while_open == before
    assert state(orders) == before


def test_elsewhere(orders: Database[Any]) -> None:
    """What goes into other collections, by into or by a write's own namespace, goes to scratch ones, too."""
    orders.other.insert_one({"_id": "untouched"})
    before = state(orders)

    def transform(order: Any) -> Any:
        yield InsertOne({"_id": order["_id"]})
        yield InsertOne({"_id": order["_id"]}, namespace=f"{orders.name}.third")
        yield InsertOne({"_id": order["_id"]}, namespace="chunkmigrate_test_elsewhere.fourth")

    backfill = Backfill(scan(orders.orders), transform, into=orders.other)
    with scratch(scan(orders.orders), new_name()) as place:
        swept(orders, backfill, place)
        counts = sorted(orders[name].count_documents({}) for name in left(orders))

    assert counts == [4, 500, 500, 500, 500]
    assert state(orders) == before
    assert "chunkmigrate_test_elsewhere" not in orders.client.list_database_names()


def test_copies(orders: Database[Any]) -> None:
    """Copies are whole documents, those that were asked for, with the indexes of their collection."""
    orders.orders.create_index([("n", ASCENDING), ("pad", -1)], name="both", unique=True, sparse=True)
    orders.orders.create_index("at", expireAfterSeconds=1, partialFilterExpression={"n": {"$gt": 3}})
    orders.orders.create_index([("pad", "text")])
    with scratch(scan(orders.orders), new_name()) as place:
        place.fill(keys(orders, n={"$lt": 7}))
        copies, indexes = [*place.copies.find()], place.copies.index_information()

    own = orders.orders.index_information()
    assert copies == [*orders.orders.find({"_id": {"$lt": 7}})]
    assert indexes.pop("at_1") == {
        one: value for one, value in own.pop("at_1").items() if one != "expireAfterSeconds"
    }
    assert indexes == own


def test_anew(orders: Database[Any]) -> None:
    """Each filling begins anew."""
    with scratch(scan(orders.orders), new_name()) as place:
        place.fill(keys(orders))
        place.copies.delete_many({})
        place.fill(keys(orders))

        assert place.copies.count_documents({}) == 500


def test_error(orders: Database[Any]) -> None:
    """Also after an error nothing is left."""
    before = state(orders)
    transform = lambda order: InsertOne({"_id": order["_id"]}, namespace=f"{orders.name}.x")  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        interrupted(orders, Backfill(scan(orders.orders), transform))

    assert state(orders) == before


def test_drop(orders: Database[Any]) -> None:
    """What a killed process left is dropped by its name, and nothing else."""
    before, name, other = state(orders), new_name(), new_name()
    for one in (f"{name}_0", f"{name}_1", name, f"{other}_0"):
        orders[one].insert_one({})
    drop(orders, name)

    assert left(orders) == [f"{other}_0"]
    drop(orders, other)
    assert state(orders) == before


def test_refused(orders: Database[Any]) -> None:
    """A write the copies refuse is a failure of its document, as the real ones would refuse it."""
    orders.orders.create_index("n", unique=True)
    doubled = lambda order: UpdateOne({"_id": order["_id"]}, {"$set": {"n": max(order["n"], 5)}})  # noqa: E731
    with scratch(scan(orders.orders), new_name()) as place:
        [taken] = swept(orders, Backfill(scan(orders.orders), doubled), place).values()

    assert taken.result.counts.quarantined == 5
    assert taken.result.counts.read == 500
    assert left(orders) == []


def test_too_much(orders: Database[Any]) -> None:
    """A chunk size that the server does not take is left out; the others are measured."""
    orders.orders.create_index("n", unique=True)
    same = lambda order: UpdateOne({"_id": order["_id"]}, {"$set": {"n": order["n"] // 2 * 2}})  # noqa: E731
    with scratch(scan(orders.orders), new_name()) as place:
        passes = swept(orders, Backfill(scan(orders.orders), same), place, (500, 10))

    assert set(passes) == {10}
    assert left(orders) == []


def test_unchanged(orders: Database[Any]) -> None:
    """if_unchanged compares the copies with themselves."""
    backfill = Backfill(
        scan(orders.orders, fields=["n"]),
        lambda order: UpdateOne({"_id": order["_id"]}, {"$set": {"n": 0}}),
        if_unchanged=True,
    )
    with scratch(scan(orders.orders), new_name()) as place:
        [taken] = swept(orders, backfill, place).values()

    assert taken.result.counts.written == 500
    assert taken.result.counts.changed == 0


def test_standalone(standalone_uri: str) -> None:
    """On a server without transactions it works as well, and leaves nothing either."""
    from pymongo import MongoClient

    with MongoClient[Any](standalone_uri) as client:
        database = client["chunkmigrate_test_scratch"]
        database.orders.insert_many({"_id": number, "n": number} for number in range(500))
        before = state(database)
        backfill = Backfill(
            scan(database.orders), lambda order: UpdateOne({"_id": order["_id"]}, {"$inc": {"n": 1}})
        )
        with scratch(scan(database.orders), new_name()) as place:
            passes = swept(database, backfill, place, (100, 1_000))
        assert {size: one.documents for size, one in passes.items()} == {100: 500, 1_000: 500}
        assert state(database) == before
        client.drop_database("chunkmigrate_test_scratch")


def test_in_turn(orders: Database[Any]) -> None:
    """Sizes are tried in turn, until the time is over; each at least once."""
    backfill = Backfill(
        scan(orders.orders), lambda order: UpdateOne({"_id": order["_id"]}, {"$inc": {"n": 1}})
    )
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    with scratch(scan(orders.orders), new_name()) as place, sessions.opened(orders.client, 1) as opened:
        sweep = Sweep(
            backfill=backfill,
            place=place,
            keys=keys(orders, n={"$lt": 20}),
            sensor=Sensor(memory=900 * MIB, grouped=False),
            sessions=opened[1:],
            clock=clock,
        )
        passes = sweep.passes((1_000, 100))
        now[0] = -100.0
        late = replace(sweep, clock=iter([0.0, *[1e6] * 1_000]).__next__).passes((1_000, 100))

    assert len(passes[1_000]) == len(passes[100]) > 1
    assert [len(some) for some in late.values()] == [1, 1]
    assert all(one.documents <= 20 for some in passes.values() for one in some)


def test_view(orders: Database[Any]) -> None:
    """A view has no copies with indexes of its own: the server says what it cannot do, as an error."""
    orders.command("create", "viewed", viewOn="orders", pipeline=[])
    with pytest.raises(OperationFailure), scratch(scan(orders.viewed), new_name()) as place:
        place.fill(keys(orders))
    assert left(orders) == []
