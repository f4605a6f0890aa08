from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import bson

from chunkmigrate import Backfill, UpdateOne, checkpoint, lastruns, partitions, scan
from chunkmigrate.frontier import Reach
from chunkmigrate.raw import key_of
from chunkmigrate.records import Counts, Place, Record
from chunkmigrate.sizing import Sizes

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.integration.conftest import Engine


def backfill(db: Database[Any]) -> Backfill:
    return Backfill(scan(db.c, fields=[]), lambda one: UpdateOne({"_id": one["_id"]}, {"$set": {"n": 1}}))


def cut_off(engine: Engine, db: Database[Any]) -> None:
    """A run that commits a chunk, and is gone."""
    db.c.insert_many({"_id": number} for number in range(100))
    small = Sizes(chunk_documents=10, chunk_bytes=1 << 16, page_bytes=1 << 12)
    results = engine.results(backfill(db), writers=1, sizes=small)
    next(results)
    results.close()


def ran(db: Database[Any], migration: str, **facts: Any) -> None:
    now = datetime.now(UTC)
    run = {"migration": migration, "status": "died", "began": now, "generation": 1} | facts
    db.chunkmigrate_runs.insert_one(run)
    db.chunkmigrate_migrations.update_one({"_id": migration}, {"$set": {"status": "running"}}, upsert=True)


def test_intent_of_a_run(engine: Engine, db: Database[Any]) -> None:
    """What a run that is gone was to do next is known of it, and only of the last one."""
    cut_off(engine, db)
    ran(db, "m", pod="first")
    ran(db, "m", pod="last", began=datetime(2999, 1, 1, tzinfo=UTC))
    first, last = lastruns.known(db, "m")

    assert (first.pod, first.after, first.used) == ("first", None, 0)
    assert last.pod == "last"
    assert last.after
    assert 0 < last.used < last.budget


def test_intent_of_the_run_before(engine: Engine, db: Database[Any]) -> None:
    """A run that has said nothing yet is not told of with what the one before it was to do."""
    cut_off(engine, db)
    engine.claim(backfill(db), writers=1)

    assert checkpoint.intended(db, {"migration": "m"}, 1) is None


def test_stand(engine: Engine, db: Database[Any]) -> None:
    """Where a migration stands is its status, what was read, and the position."""
    assert lastruns.stand(db, "m").shown() == "pending, 0 documents read, before its first document"

    cut_off(engine, db)
    ran(db, "m")
    read = db.c.count_documents({"n": 1})
    assert 0 < read < 100
    assert lastruns.stand(db, "m").shown() == f"running, {read} documents read, behind _id {read - 1}"


def test_stand_of_several(db: Database[Any]) -> None:
    """Where several share a step, where it stands is how many of its partitions are done."""
    first, last = (key_of(bson.encode({"_id": number})) for number in (49, 99))
    begun = Record(namespace=f"{db.name}.c", upto=last, reach=Reach(first), counts=Counts(read=50))
    partitions.divide(db, Place("m", 0), begun, [last], advance=lambda _: 1, session=None)
    ran(db, "m")

    assert lastruns.stand(db, "m").shown() == "running, 50 documents read, 1 of 2 partitions done"


def test_full_name(db: Database[Any]) -> None:
    """A part of a name means a migration where it is of one alone, or is the whole of one."""
    for name in ("20260105_orders", "20260106_orders_again", "users"):
        ran(db, name)

    assert lastruns.full_name(db, "users") == "users"
    assert lastruns.full_name(db, "again") == "20260106_orders_again"
    assert lastruns.full_name(db, "orders") is None
    assert lastruns.full_name(db, "absent") is None


def test_whole_name(db: Database[Any]) -> None:
    """The whole name of a migration that has not run yet is no part of another's that has."""
    ran(db, "20260106_orders_again")

    assert lastruns.full_name(db, "20260106_orders", whole=True) is None
    assert lastruns.full_name(db, "20260106_orders_again", whole=True) == "20260106_orders_again"
