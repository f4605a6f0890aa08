"""The read-only client on a real server: nothing that writes leaves the process, whatever reads does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from pymongo import DeleteOne, InsertOne, MongoClient, ReadPreference, UpdateOne
from pymongo.write_concern import WriteConcern

from chunkmigrate.readonly import ReadOnly, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

UNACKNOWLEDGED = WriteConcern(0)


@pytest.fixture
def guarded(db: Database[Any], mongodb_uri: str) -> Iterator[Database[Any]]:
    """The test's database, with two orders and an index, through a client that only reads."""
    db.orders.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
    db.orders.create_index("n")
    with MongoClient[Any](mongodb_uri, event_listeners=[ReadOnly()]) as client:
        yield client[db.name]


def in_transaction(db: Database[Any]) -> None:
    with db.client.start_session() as session, session.start_transaction():
        assert db.orders.find_one({}, session=session)
        db.orders.update_one({"_id": 1}, {"$set": {"n": 7}}, session=session)


WRITES: dict[str, Callable[[Database[Any]], Any]] = {
    "insert": lambda db: db.orders.insert_one({"_id": 3}),
    "insert_many": lambda db: db.orders.insert_many([{"_id": 3}]),
    "unacknowledged": lambda db: db.orders.with_options(write_concern=UNACKNOWLEDGED).insert_one({"_id": 3}),
    "update": lambda db: db.orders.update_many({}, {"$set": {"n": 7}}),
    "upsert": lambda db: db.orders.update_one({"_id": 3}, {"$set": {"n": 7}}, upsert=True),
    "replace": lambda db: db.orders.replace_one({"_id": 1}, {}),
    "delete": lambda db: db.orders.delete_many({}),
    "find_and_update": lambda db: db.orders.find_one_and_update({}, {"$set": {"n": 7}}),
    "find_and_delete": lambda db: db.orders.find_one_and_delete({}),
    "bulk": lambda db: db.orders.bulk_write(
        [InsertOne({}), DeleteOne({}), UpdateOne({}, {"$set": {"n": 7}})]
    ),
    "unordered bulk": lambda db: db.orders.bulk_write([DeleteOne({})], ordered=False),
    "unacknowledged bulk": lambda db: db.orders.with_options(write_concern=UNACKNOWLEDGED).bulk_write(
        [InsertOne({}), DeleteOne({})]
    ),
    "create_index": lambda db: db.orders.create_index("other"),
    "drop_index": lambda db: db.orders.drop_index("n_1"),
    "drop": lambda db: db.orders.drop(),
    "drop_database": lambda db: db.client.drop_database(db.name),
    "rename": lambda db: db.orders.rename("renamed"),
    "create": lambda db: db.create_collection("other"),
    "coll_mod": lambda db: db.command("collMod", "orders", validator={"n": 1}),
    "out": lambda db: db.orders.aggregate([{"$match": {}}, {"$out": "other"}]),
    "merge": lambda db: db.orders.aggregate([{"$merge": {"into": "other"}}]),
    "transaction": in_transaction,
    "raw": lambda db: db.command({"insert": "orders", "documents": [{"_id": 3}]}),
    "map_reduce": lambda db: db.command(
        {"mapReduce": "orders", "map": "function() {}", "reduce": "function() {}", "out": "other"}
    ),
}

READS: dict[str, Callable[[Database[Any]], Any]] = {
    "find": lambda db: [*db.orders.find({}, batch_size=1)],
    "find_one": lambda db: db.orders.find_one(),
    "raw": lambda db: [*db.orders.find_raw_batches()],
    "count": lambda db: db.orders.count_documents({}),
    "estimate": lambda db: db.orders.estimated_document_count(),
    "distinct": lambda db: db.orders.distinct("n"),
    "aggregate": lambda db: [*db.orders.aggregate([{"$group": {"_id": "$n"}}], batchSize=0)],
    "indexes": lambda db: [*db.orders.list_indexes()],
    "collections": lambda db: db.list_collection_names(),
    "databases": lambda db: db.client.list_database_names(),
    "stats": lambda db: db.command("collStats", "orders"),
    "hash": lambda db: db.command("dbHash"),
    "explain": lambda db: db.orders.find().explain(),
    "server": lambda db: db.client.server_info(),
    "secondary": lambda db: db.with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED
    ).orders.find_one(),
}


def state(db: Database[Any]) -> Any:
    found = db.command("dbHash")
    return found["collections"], sorted(db.list_collection_names()), [*db.orders.list_indexes()]


@pytest.mark.parametrize("write", WRITES)
def test_writes(db: Database[Any], guarded: Database[Any], write: str) -> None:
    """What writes, however it is put, is refused before it is sent; nothing is changed by it."""
    before = state(db)
    with pytest.raises(Refused):
        WRITES[write](guarded)

    assert state(db) == before


@pytest.mark.parametrize("read", READS)
def test_reads(guarded: Database[Any], read: str) -> None:
    """What reads is let through, also after something was refused."""
    with pytest.raises(Refused):
        guarded.orders.insert_one({})

    assert READS[read](guarded)


def test_reading_in_transaction(guarded: Database[Any]) -> None:
    """A transaction that reads may begin and end."""
    with guarded.client.start_session() as session, session.start_transaction():
        assert guarded.orders.count_documents({}, session=session) == 2


def test_with_timeout(guarded: Database[Any]) -> None:
    """A limit in time changes nothing of it."""
    with pymongo.timeout(5), pytest.raises(Refused):
        guarded.orders.insert_one({})
