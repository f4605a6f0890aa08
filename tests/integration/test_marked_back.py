"""What becomes of the way back of a migration that somebody has marked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import Backfill, UpdateOne, marking, scan, undo
from chunkmigrate.direction import DOWNGRADE
from chunkmigrate.disorder import NoWayBackError
from chunkmigrate.ledger import ROLLED_BACK, STOPPED, Ledger
from chunkmigrate.marking import BASELINE, MARKED, Author, Mark
from chunkmigrate.rollback import way_back
from tests.integration.undone import applied, migration_of, stored, undone

if TYPE_CHECKING:
    from pymongo.database import Database

WHO = Author(by="op on host")


def add(step: int, document: Any) -> UpdateOne:
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": step}})


def upgrade(db: Database[Any]) -> Backfill:
    return Backfill(scan(db.c), partial(add, 1), undo=True)


def downgrade(db: Database[Any]) -> Backfill:
    return Backfill(scan(db.c), partial(add, -1))


def mark(db: Database[Any], *, applied: bool, origin: str = MARKED) -> None:
    marking.put(db, [Mark(migration="m", applied=applied, origin=origin, checksum="")], WHO)


def test_half_rolled_back(db: Database[Any]) -> None:
    """What was half rolled back and is marked as applied goes back with all its documents, not the rest."""
    db.c.insert_many({"_id": n, "n": 0} for n in range(3_000))
    applied(db, upgrade)
    calls = iter(range(500))
    half = applied(db, downgrade, direction=DOWNGRADE, stopped=lambda: next(calls, None) is None)
    assert half.status == STOPPED
    assert 0 < db.c.count_documents({"n": 0}) < 3_000

    db.c.update_many({}, {"$set": {"n": 1}})
    mark(db, applied=True)
    outcome = applied(db, downgrade, direction=DOWNGRADE)

    assert (outcome.status, outcome.counts.read) == (ROLLED_BACK, 3_000)
    assert db.c.distinct("n") == [0]


@pytest.mark.parametrize("origin", [MARKED, BASELINE])
def test_applied_by_nobody(db: Database[Any], origin: str) -> None:
    """Undo does not take back what no run has applied, whatever earlier runs have kept: it is not all."""
    db.c.insert_one({"_id": 1, "n": 0})
    applied(db, upgrade)
    mark(db, applied=False)
    mark(db, applied=True, origin=origin)

    with pytest.raises(NoWayBackError, match=rf"no run has applied it \({origin}\)"):
        way_back(migration_of(upgrade), db, Ledger(db).entry("m"))
    assert db.c.find_one() == {"_id": 1, "n": 1}


def test_applied_again(db: Database[Any]) -> None:
    """What is marked as pending and applied again goes back to what it was before the first time, or to what
    somebody has made of it in between.
    """
    db.c.insert_many({"_id": n, "n": 0} for n in range(3))
    before = stored(db)
    applied(db, upgrade)
    mark(db, applied=False)
    assert undo.marked(db, "m") == set()
    applied(db, upgrade)
    assert db.c.distinct("n") == [2]
    undone(db)
    assert stored(db) == before

    applied(db, upgrade)
    mark(db, applied=False)
    db.c.update_one({"_id": 1}, {"$set": {"n": 10}})
    applied(db, upgrade)
    outcome = undone(db)

    assert [one["n"] for one in db.c.find().sort("_id", 1)] == [0, 10, 0]
    assert outcome.counts.skipped == 1
