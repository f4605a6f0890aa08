"""Planning: what a run would apply, in order, and what each migration would touch. Reads only.

It is given a database whose client refuses what is not known to read: ``upgrade(db)`` is somebody's code.
Which migrations those are is ``selection``'s business, and how a plan looks ``overview``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import checkpoint, server, touching
from chunkmigrate.compared import DOWN
from chunkmigrate.errors import ChunkmigrateError, InvalidModuleError, ProfileError
from chunkmigrate.ledger import APPLIED, RUNS
from chunkmigrate.readonly import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.compared import Compared
    from chunkmigrate.migration import Migration
    from chunkmigrate.touching import Written

# A run of fewer documents is over before it has its pace. Of other migrations the last few are enough.
TELLING_DOCUMENTS = 1_000
OTHERS = 20

Seconds = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStep:
    """One step: ``documents`` are still to be read, about ``bytes`` large as they are stored, if known.

    ``fields`` are read, None is all of them, and none where the server updates alone; ``writes`` is None
    where the first documents do not tell. ``done``: an earlier run has finished it.
    """

    namespace: str
    fields: tuple[str, ...] | None
    filtered_by: tuple[str, ...]
    documents: int | None
    bytes: int | None
    done: bool
    writes: tuple[Written, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One migration. ``acts``: the command it would send by itself, so that nobody knows what else it does.

    ``trouble`` is a sentence where it cannot be told what it does; ``unusable``: a run would be refused.
    ``seconds`` is how long it takes, from least to most, told ``by`` what.
    """

    name: str
    status: str
    late: bool
    description: str
    steps: tuple[PlannedStep, ...] = ()
    acts: str = ""
    trouble: str = ""
    unusable: bool = False
    seconds: Seconds | None = None
    by: str = ""


def plan(database: Database[Any], rows: Sequence[Compared]) -> Iterator[Planned]:
    """Yield what each migration would do, as far as that is known before those in front of it are done."""
    for row in rows:
        if row.migration:
            yield _planned(database, row, row.migration)


def _planned(database: Database[Any], row: Compared, migration: Migration) -> Planned:
    known = Planned(name=row.name, status=row.status, late=row.late, description=migration.description)
    try:
        backfills = migration.steps(database)
        steps = [_step(database, row.name, number, one) for number, one in enumerate(backfills)]
    except Refused as refused:
        return replace(known, acts=refused.command)
    except InvalidModuleError as error:
        return replace(known, trouble=str(error).partition(" A migration looks")[0], unusable=True)
    except ChunkmigrateError as error:
        return replace(known, trouble=error.discreet)
    seconds, by = _duration(database, migration, [step.documents for step in steps])
    return replace(known, steps=tuple(steps), seconds=seconds, by=by)


def _step(database: Database[Any], name: str, number: int, backfill: Backfill) -> PlannedStep:
    scan = backfill.scan
    read, done = _left(database, name, number)
    counted = 0 if done else scan.count()
    if counted is not None and not scan.filter:
        counted = max(0, counted - read)
    return PlannedStep(
        namespace=scan.namespace,
        fields=scan.fields if backfill.server is None else (),
        filtered_by=touching.filtered_by(scan.filter),
        documents=counted,
        bytes=None if counted is None else counted * scan.average_size(),
        done=done,
        writes=touching.written(backfill),
    )


def _left(database: Database[Any], name: str, number: int) -> tuple[int, bool]:
    """Return how many documents of a step are done, and whether all are, by all its records together."""
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        chosen = {"migration": name, "step": number}
        slots = [*database[checkpoint.COLLECTION].find(chosen, {"counts.read": 1, "done": 1})]
    read = sum(slot.get("counts", {}).get("read", 0) for slot in slots)
    return read, bool(slots) and all(slot.get("done") for slot in slots)


def _duration(
    database: Database[Any], migration: Migration, counts: Sequence[int | None]
) -> tuple[Seconds | None, str]:
    """Return how long it takes, and what tells: its profile, its own runs, or those of other migrations."""
    if (foretold := _foretold(migration)) is not None:
        return foretold, "its profile"
    if not counts or None in counts:
        return None, ""
    documents = sum(count or 0 for count in counts)
    own = {"migration": migration.name, "checksum": migration.checksum}
    others = {"migration": {"$ne": migration.name}, "status": APPLIED}
    for chosen, by in ((own, "its own runs"), (others, "runs of other migrations")):
        if paces := _paces(database, chosen):
            return span_of(documents, paces), by
    return None, ""


def _foretold(migration: Migration) -> Seconds | None:
    from chunkmigrate import profiles, tuning  # late: a profile is msgspec's to read

    try:
        return tuning.tune(profiles.load(migration), ()).seconds
    except ProfileError:
        return None


def _paces(database: Database[Any], chosen: Mapping[str, Any]) -> list[float]:
    telling = {**chosen, "read": {"$gte": TELLING_DOCUMENTS}, "seconds": {"$gt": 0}}
    telling |= {"quiet": {"$ne": True}, "direction": {"$ne": DOWN}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = database[RUNS].find(telling, {"read": 1, "seconds": 1}).sort("began", -1).limit(OTHERS)
        return [run["read"] / run["seconds"] for run in found]


def span_of(documents: int, paces: Sequence[float]) -> Seconds:
    """Return from least to most how long ``documents`` take at these paces, in documents a second.

    >>> span_of(1_000, [100.0, 50.0])
    (10.0, 20.0)
    """
    return documents / max(paces), documents / min(paces)
