"""Settlement: how a migration stands that several runs share, once none of them is left at work.

The last one to end says it for all: what stopped it may be that another one has failed, or was cancelled. How
one run ended is the ledger's business.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import lease_record, leases, server
from chunkmigrate.errors import SupersededError
from chunkmigrate.ledger import CANCELLED, FAILED, MIGRATIONS, PAUSED, RUNNING, RUNS, STOPPED, until

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database

# How long after the others' end one of a group may begin that was started beside them.
LATE = timedelta(minutes=1)

# From the mildest to the gravest, which is the end of them all.
_ENDS = (STOPPED, CANCELLED, FAILED)
_OPEN = (RUNNING, PAUSED)


def settle(database: Database[Any], migration: str, run: ObjectId, status: str) -> None:
    """Record how a migration stands that ``run`` shares with others, unless some of them are still at work.

    Who begins after that has a later generation, and says itself how it stands. Takes at most
    `server.ATTEMPT_SECONDS`.
    """
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        lease = lease_record.look(database, migration)
        if lease is None or leases.living(database, migration):
            return
        status = of_group(database, migration, run, status)
        # Another one may have settled it in the moment before this one's failure was on record.
        lesser = _ENDS[: _ENDS.index(status)] if status in _ENDS else ()
        unsettled = {"_id": migration, "status": {"$in": [*_OPEN, *lesser]}} | until(lease.generation)
        now = {"status": status, "ended": None if status == PAUSED else datetime.now(UTC)}
        database[MIGRATIONS].update_one(unsettled, {"$set": now})


def of_group(database: Database[Any], migration: str, run: ObjectId, status: str) -> str:
    """Return how a group ended of which ``run`` ended so: as the one did whose end stopped the others.

    A run that belongs to none stands for itself. Reads only.
    """
    if status not in (STOPPED, CANCELLED):
        return status
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        mine = database[RUNS].find_one({"_id": run}, {"group": 1, "began": 1}) or {}
        if not mine.get("group"):
            return status
        ours = {"migration": migration, "group": mine["group"]}
        ended = {"status": {"$in": _ENDS}, "ended": {"$gte": _beginning(database, ours, mine["began"])}}
        overtaken = {"failure.kind": SupersededError.__name__}
        found: list[str] = database[RUNS].distinct("status", ours | ended | {"$nor": [overtaken]})
    return max([status, *found], key=_ENDS.index)


def _beginning(database: Database[Any], ours: dict[str, Any], began: datetime) -> datetime:
    """Return when the first of those began that ran beside one that ``began`` then, or just before it.

    A Job of the same name may have failed a week ago.
    """
    beside = {"$or": [{"status": {"$in": _OPEN}}, {"ended": {"$gte": began - LATE}}]}
    first = database[RUNS].find_one(ours | beside, {"began": 1}, sort=[("began", 1)]) or {}
    return first.get("began") or began
