"""Fencing: who may no longer write to a migration's checkpoints, and what is forgotten of them.

Each record says which generation may write to it; to fence is to raise that. When a lease changes hands is
``lease``'s business, when all is to be forgotten ``marking``'s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from chunkmigrate import records
from chunkmigrate.checkpoint import COLLECTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.client_session import ClientSession
    from pymongo.database import Database


def down(migration: str) -> str:
    """Return the name under which a rollback keeps its checkpoints, and what it sets aside."""
    return f"{migration}:down"


def of_lease(migration: str) -> dict[str, Any]:
    """Return what the records match that are claimed under the lease of the migration itself."""
    return {**records.undivided(migration), "migration": {"$in": [migration, down(migration)]}}


def fence(
    database: Database[Any], ours: Mapping[str, Any], generation: int, session: ClientSession | None
) -> None:
    """Refuse every chunk of an older generation from now on; called where a lease changes hands.

    ``ours`` is what the records of that lease match. A claimant that froze before it got here, and wakes up
    after the next one, changes nothing.
    """
    database[COLLECTION].update_many(
        {**ours, "fence": {"$lt": generation}},
        {"$set": {"fence": generation}},
        session=session,
    )


def fence_partitions(database: Database[Any], migration: str) -> None:
    """Refuse every chunk of whoever has claimed a partition of a migration."""
    shared = {"migration": migration, "partition": {"$gt": 0}}
    database[COLLECTION].update_many(shared, {"$inc": {"fence": 1}})


def fence_all(database: Database[Any], migration: str, session: ClientSession | None) -> None:
    """Refuse every chunk of whoever has claimed records of a migration, of its partitions, too."""
    every = {"migration": {"$in": [migration, down(migration)]}}
    database[COLLECTION].update_many(every, {"$inc": {"fence": 1}}, session=session)


def forget(database: Database[Any], migration: str, session: ClientSession | None) -> None:
    """Forget where a migration stood, or its rollback: the next run begins anew.

    A run that was overtaken finds no record.
    """
    marks = rf"^{re.escape(migration)}:\d+(/\d+)?:at work$"
    of_it = {"$or": [{"migration": migration}, {"_id": {"$regex": marks}}]}
    database[COLLECTION].delete_many(of_it, session=session)
