"""What proves that nothing is written would notice if something were."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from chunkmigrate import Backfill, UpdateOne, scan
from chunkmigrate.differences import reading_of
from chunkmigrate.indexes import index_use
from tests.read_only import Writes, latest, written_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from tests.integration.conftest import Engine

WRITING: list[Callable[[Database[Any]], Any]] = [
    lambda db: db.c.insert_one({}),
    lambda db: db.c.insert_many([{}, {}]),
    lambda db: db.c.update_one({}, {"$set": {"a": 1}}),
    lambda db: db.c.update_many({"no": "such"}, {"$set": {"a": 1}}),
    lambda db: db.c.replace_one({}, {"a": 1}),
    lambda db: db.c.delete_one({}),
    lambda db: db.c.delete_many({"no": "such"}),
    lambda db: db.c.bulk_write([UpdateOne({}, {"$set": {"a": 1}})]),
    lambda db: db.c.find_one_and_update({}, {"$set": {"a": 1}}),
    lambda db: db.c.find_one_and_delete({"no": "such"}),
    lambda db: db.create_collection("new"),
    lambda db: db.c.drop(),
    lambda db: db.c.rename("d"),
    lambda db: db.c.create_index("a"),
    lambda db: db.c.drop_indexes(),
    lambda db: db.command("collMod", "c", validator={}),
    lambda db: [*db.c.aggregate([{"$match": {}}, {"$out": "d"}])],
    lambda db: [*db.c.aggregate([{"$merge": "d"}])],
    lambda db: db.command("mapReduce", "c", map="function() {}", reduce="function() {}", out="d"),
    lambda db: db.command("dropUser", "nobody"),
    lambda db: db.client.drop_database(db.name),
    lambda db: db.client.admin.command("bulkWrite", 1, ops=[], nsInfo=[]),
    lambda db: db.client.admin.command("setParameter", 1, quiet=False),
    lambda db: db.command("aCommandOfTheFuture"),
]


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def watched(mongodb_uri: str, db: Database[Any], writes: Writes) -> Iterator[Database[Any]]:
    """A database that is watched, with documents in it."""
    db.c.insert_many({"_id": n, "s": n % 2} for n in range(100))
    db.c.create_index([("s", 1), ("_id", 1)])
    with MongoClient[Any](mongodb_uri, event_listeners=[writes]) as client:
        yield client[db.name]


@pytest.mark.parametrize("write", WRITING)
def test_sent(watched: Database[Any], writes: Writes, write: Callable[[Database[Any]], Any]) -> None:
    """Each command that may write is noticed, even if the server refuses it or it finds nothing."""
    watched.c.find_one()
    writes.assert_none()
    with suppress(PyMongoError):
        write(watched)
    with pytest.raises(AssertionError):
        writes.assert_none()


def test_transaction(watched: Database[Any], writes: Writes) -> None:
    """A transaction that only reads is no write, one that writes is, even if it is undone."""
    with watched.client.start_session() as session, session.start_transaction():
        watched.c.find_one(session=session)
    writes.assert_none()
    with watched.client.start_session() as session, session.start_transaction():
        watched.c.delete_one({}, session=session)
        session.abort_transaction()

    assert writes.sent == [f"delete of {watched.name}.c"]


def test_reading(watched: Database[Any], writes: Writes) -> None:
    """What reads a scan, and asks how it is read, writes nothing."""
    for hint in (None, "s_1__id_1"):
        described = scan(watched.c, {"s": 1}, fields=["s"], hint=hint)
        assert len([*described]) == described.count() == 50
        index_use(described)
        reading_of(described)

    writes.assert_none()


def test_nothing_sent(writes: Writes) -> None:
    """A listener that has heard nothing proves nothing."""
    with pytest.raises(AssertionError, match="has sent nothing"):
        writes.assert_none()


def test_oplog(watched: Database[Any], engine: Engine, client: MongoClient[Any]) -> None:
    """The record of a replica set has what any client wrote, in transactions, too, and no reads."""
    before = latest(client)
    assert len([*scan(watched.c)]) == 100
    read = written_since(client, before, watched.name)
    engine.run(Backfill(scan(engine.db.c, fields=[]), lambda one: UpdateOne(one, {"$set": {"a": 1}})))
    written = written_since(client, before, watched.name)
    client[f"{watched.name}_other"].c.insert_one({})
    client.drop_database(f"{watched.name}_other")

    assert read == []
    assert any(entry.endswith(f"{watched.name}.c") for entry in written)
    assert any("chunkmigrate_checkpoints" in entry for entry in written)
    assert written_since(client, before, watched.name) == written
