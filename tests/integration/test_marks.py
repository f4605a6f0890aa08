"""Marks: what is at work is on record, and what is not at work any more is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson

from chunkmigrate import Backfill, UpdateOne, scan
from chunkmigrate.raw import key_of
from tests.faults.waiting import until

if TYPE_CHECKING:
    from tests.integration.conftest import Engine

FIVE = key_of(bson.encode({"_id": 5}))


def backfill_of(engine: Engine) -> Backfill:
    engine.db.c.insert_many({"_id": n} for n in range(10))
    return Backfill(scan(engine.db.c), lambda order: UpdateOne({"_id": order["_id"]}, {"$set": {"a": 1}}))


def test_mark(engine: Engine) -> None:
    """What is at work is on record a moment after it was marked, and that nothing is, too."""
    checkpoint = engine.claim(backfill_of(engine))

    def at_work() -> tuple[Any, ...]:
        mark = engine.db.chunkmigrate_checkpoints.find_one({"_id": "m:0:at work"}) or {}
        return mark["document"], mark["used"], mark["among"]

    checkpoint.mark(FIVE, 7, 16)
    until(lambda: at_work() == ({"_id": 5}, 7, 16), 10, "the mark")
    checkpoint.mark(None)
    until(lambda: at_work()[0] is None, 10, "no mark")


def test_absolve(engine: Engine) -> None:
    """A document that killed runs is forgotten for good once it was survived, and not before."""
    backfill, checkpoints = backfill_of(engine), engine.db.chunkmigrate_checkpoints
    engine.claim(backfill)
    deaths = {"document": {"_id": 5}, "count": 2, "used": 1, "among": 1}
    checkpoints.update_one({"slot": 0}, {"$set": {"deaths": deaths}})
    checkpoint = engine.claim(backfill)
    before = checkpoint.deaths
    checkpoint.absolve()

    assert before
    assert before.document == FIVE
    assert checkpoint.deaths is None
    assert engine.claim(backfill).deaths is None
