"""What is in quarantine, as it is found on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson.raw_bson import RawBSONDocument

from chunkmigrate import quarantine
from chunkmigrate.errors import TransformError
from chunkmigrate.quarantine import Quarantine

if TYPE_CHECKING:
    from pymongo.database import Database


def aside(db: Database[Any], migration: str, step: int, documents: int) -> None:
    """Set documents aside, as a chunk does."""
    kept = Quarantine(
        database=db.name, migration=migration, step=step, namespace="d.c", run=1, enabled=True, limit=100
    )
    for id_ in range(documents):
        statement = kept.statement(id_, TransformError(id_, "it failed"))
        db.command({"update": quarantine.COLLECTION, "updates": [RawBSONDocument(statement)]})


def test_of_one(db: Database[Any]) -> None:
    """Documents of one migration, or of one step, are told from all others: names may begin alike."""
    for migration, step, documents in (("m", 0, 3), ("m", 1, 2), ("m:down", 0, 1), ("m2", 0, 1), ("l", 1, 1)):
        aside(db, migration, step, documents)

    assert quarantine.count(db, "m") == 5
    assert [quarantine.count(db, "m", step) for step in range(3)] == [3, 2, 0]
    # Listed with what a rollback of it has set aside.
    assert len([*quarantine.listing(db, "m")]) == 6
    assert [group["documents"] for group in quarantine.summary(db, "m")] == [5]

    quarantine.forget(db, "m", None)

    assert quarantine.count(db, "m") == 0
    assert db[quarantine.COLLECTION].count_documents({}) == 3


@pytest.mark.parametrize("step", [None, 0])
def test_looks_at_no_other(db: Database[Any], step: int | None) -> None:
    """To find those of one migration the server looks at no document of another."""
    aside(db, "m", 0, 3)
    aside(db, "other", 0, 20)
    found = db.command(
        {"explain": {"find": quarantine.COLLECTION, "filter": quarantine.of("m", step)}},
        verbosity="executionStats",
    )

    assert found["executionStats"]["nReturned"] == found["executionStats"]["totalDocsExamined"] == 3
