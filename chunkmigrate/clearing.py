"""Clearing: what a migration has left in the database beside its documents goes once it is rolled back.

In this order: what the upgrade has left, then the entry becomes pending, then what the rollback has left. So
whoever is killed in between does the rest again, and neither direction ever finds the other's work done. Only
what an older generation has left is removed: a run that was overtaken takes nothing from its successor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import checkpoint, fencing, quarantine, server, undo
from chunkmigrate.records import undivided

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database


def of_upgrade(
    database: Database[Any], migration: str, generation: int, *, left_by: ObjectId | None = None
) -> None:
    """Remove the checkpoints of a migration, what is kept to undo it, and its documents in quarantine.

    What a rollback through undo, ``left_by`` which run, could not even look at is kept as what it has left.
    """
    undo.unmark(database, migration, until=generation)
    if left_by:
        undo.leave(database, migration, left_by, generation)
    database[undo.COLLECTION].delete_many(undo.records_of(migration, generation))
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        quarantine.forget(database, migration, None)
    _forget(database, migration, generation)


def of_rollback(database: Database[Any], migration: str, generation: int) -> None:
    """Remove the checkpoints of a rollback."""
    _forget(database, fencing.down(migration), generation)


def _forget(database: Database[Any], key: str, generation: int) -> None:
    # The leases of partitions count generations of their own: what tells them is when they were made.
    whole = {**undivided(key), "fence": {"$lte": generation}}
    shared = {"migration": key, "partition": {"$gt": 0}, "divided": {"$lte": generation}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        database[checkpoint.COLLECTION].delete_many({"$or": [whole, shared]})
