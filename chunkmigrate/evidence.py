"""The evidence: what is on record about one run, gathered without writing anything.

Which run is meant, whether it still lives, what it was about to do, and what of its migration is in
quarantine. What follows from all that is ``report``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo
from bson import ObjectId

from chunkmigrate import checkpoint, leases, quarantine, records, server
from chunkmigrate.direction import UP, Direction
from chunkmigrate.errors import UnknownRunError
from chunkmigrate.holder import Liveness, liveness, this_process
from chunkmigrate.ledger import DIED, RUNNING, RUNS
from chunkmigrate.plain import listed
from chunkmigrate.records import Place, undivided
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.lease_reading import LeaseRecord
    from chunkmigrate.records import Intent

# The history has lines that are none: what was marked has an origin.
_A_RUN = {"origin": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What a run that died was about to do; and the ``_id`` of the document at work, one of ``among``."""

    intent: Intent | None
    document: str | None
    among: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is on record about one run.

    ``run`` is its document, with the status it really has. ``seen`` is the last sign of its life where it has
    not ended, ``left`` what it was at when it died, while no later run has written over them.
    """

    run: Mapping[str, Any]
    database: str
    seen: datetime | None = None
    left: Left | None = None
    quarantine: Sequence[Mapping[str, Any]] = ()


def gathered(database: Database[Any], wanted: str | None) -> Evidence:
    """Return what is on record about the run that is ``wanted``: by its id, by its migration, or the latest.

    Raises `UnknownRunError` where there is none.
    """
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        run = _latest(database[RUNS], _chosen(database[RUNS], wanted))
        if run is None:
            message = "No run is on record in this database yet."
            raise UnknownRunError(message)
        ours = leases.last_of(database, run["migration"], run.get("token"))
        status = DIED if run["status"] == RUNNING and not _lives(ours) else run["status"]
        left = _left(database, run) if ours and status == DIED else None
    return Evidence(
        run={**run, "status": status},
        database=database.name,
        seen=ours.renewed if ours and status in (DIED, RUNNING) else None,
        left=left,
        quarantine=quarantine.summary(database, _key(run)),
    )


def _lives(lease: LeaseRecord | None) -> bool:
    """Whether a run may live that has this lease: it lasts for half a minute after a death elsewhere."""
    if lease is None or not lease.held or lease.holder is None:
        return False
    return liveness(lease.holder, this_process()) is not Liveness.DEAD


def _chosen(runs: Collection[Any], wanted: str | None) -> Mapping[str, Any]:
    """Return the filter that finds what is wanted."""
    if wanted is None:
        return {}
    if ObjectId.is_valid(wanted) and runs.find_one({"_id": ObjectId(wanted)}, {"_id": 1}):
        return {"_id": ObjectId(wanted)}
    name, names = wanted.removesuffix(".py").rpartition("/")[2], sorted(runs.distinct("migration", _A_RUN))
    matching = [name] if name in names else [one for one in names if name and name in one]
    if len(matching) == 1:
        return {"migration": matching[0]}
    if matching:
        message = f"{wanted} could be {listed(matching)}; write more of its name."
    else:
        known = listed(names) or "none at all"
        message = f"There is no run {wanted}, nor one of a migration of that name. There is {known}."
    raise UnknownRunError(message)


def _latest(runs: Collection[Any], chosen: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = runs.find_one({**_A_RUN, **chosen}, sort=[("began", -1), ("_id", -1)])
    return found


def _place(database: Database[Any], run: Mapping[str, Any]) -> Place | None:
    """Return where a run was at work: at a partition it had taken, or at the last step that was begun."""
    key = _key(run)
    ours = run.get("place") or undivided(key)
    last = database[checkpoint.COLLECTION].find_one(ours, {"step": 1}, sort=[("step", -1)])
    return last and Place(key, last["step"], run.get("place", {}).get("partition", 0))


def _key(run: Mapping[str, Any]) -> str:
    """Return the name under which checkpoints and quarantine of a run are kept."""
    return Direction(run.get("direction", UP.word)).key(run["migration"])


def _left(database: Database[Any], run: Mapping[str, Any]) -> Left | None:
    """Return what a run that died was about to do in its last step, and what was at work."""
    stored = database[checkpoint.COLLECTION].with_options(RAW)
    place = _place(database, run)
    if place is None or run.get("quiet"):
        return None
    record = records.read([*stored.find(place.matching())])
    mark = stored.find_one({"_id": checkpoint.mark_id(place.key)})
    key = records.key(mark["document"]) if mark else None
    return Left(
        intent=None if record.done else record.intent,
        document=key.shown() if key else None,
        among=mark["among"] if mark and key else 1,
    )
