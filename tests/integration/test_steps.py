"""Migrations of several steps, and of none: what is finished is not run again, and all of it is on record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import Backfill, UpdateOne, scan
from chunkmigrate.errors import ChunkmigrateError
from chunkmigrate.ledger import MIGRATIONS, RUNS
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.runner import Run
from chunkmigrate.sizing import Most

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

CHUNK = Most(chunk_bytes=1 << 20, page_bytes=1 << 20, chunk_documents=100)


def run(db: Database[Any], upgrade: Callable[[Any], Any]) -> Run:
    one = Migration(name="1_m", path=Path("1_m"), description="", checksum="meaning1:x", upgrade=upgrade)
    return Run(one, db, Sensor(), writers=2, most=CHUNK)


def add(field: str, seen: list[Any], fails: Callable[[Any], bool] = lambda _: False) -> Callable[[Any], Any]:
    def transform(one: Any) -> UpdateOne:
        if fails(one):
            raise ValueError
        seen.append(one["_id"])
        return UpdateOne({"_id": one["_id"]}, {"$inc": {field: 1}})

    return transform


def test_finished_step(db: Database[Any]) -> None:
    """A finished step is not run again, not for new documents either; the one that failed goes on."""
    db.c.insert_many({"_id": number} for number in range(1_000))
    first, second = list[Any](), list[Any]()
    broken = [True]

    def upgrade(db: Any) -> list[Backfill]:
        fails = lambda one: broken[0] and one["_id"] == 700  # noqa: E731
        every = scan(db.c, fields=[])
        return [Backfill(every, add("a", first)), Backfill(every, add("b", second, fails))]

    with pytest.raises(ChunkmigrateError):
        list(run(db, upgrade))
    committed = db.c.count_documents({"b": 1})
    assert 0 < committed <= 700
    db.c.insert_one({"_id": 1_000})
    first.clear()
    second.clear()
    broken[0] = False
    list(run(db, upgrade))

    assert first == []
    assert sorted(second) == list(range(committed, 1_000))
    assert db.c.count_documents({"a": 1, "b": 1}) == 1_000
    assert db.c.find_one(1_000) == {"_id": 1_000}


def test_acting(db: Database[Any]) -> None:
    """What acts and returns nothing is on record as applied, with a run of its own, and not done again."""
    called = []

    def upgrade(db: Any) -> None:
        called.append(db.c.create_index("a"))

    list(run(db, upgrade))
    again = run(db, upgrade)
    list(again)
    entry, (only,) = db[MIGRATIONS].find_one("1_m"), db[RUNS].find()

    assert called == ["a_1"]
    assert entry is not None
    assert (entry["status"], entry["run"]) == ("applied", only["_id"])
    assert (only["status"], only["read"], again.outcome.reason) == ("applied", 0, "already")


def test_acting_fails(db: Database[Any]) -> None:
    """What acts and fails is on record as failed, and the next run begins it anew, as another attempt."""
    answers: list[Any] = [None, ValueError]

    def upgrade(_: Any) -> None:
        if answer := answers.pop():
            raise answer

    with pytest.raises(ChunkmigrateError):
        list(run(db, upgrade))
    list(run(db, upgrade))
    entry = db[MIGRATIONS].find_one("1_m")

    assert entry is not None
    assert (entry["status"], entry["attempts"]) == ("applied", 2)
    assert [one["status"] for one in db[RUNS].find().sort("began", 1)] == ["failed", "applied"]
