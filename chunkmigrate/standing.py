"""Standing: how each migration stands, with the live progress of those that are running. Reads only.

A user who may only read can ask for it, also where nothing is on record yet. What follows from folder and
record together is ``compared``'s business; how it looks is ``overview``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import checkpoint, lease_record, leases, quarantine, server
from chunkmigrate.compared import compare
from chunkmigrate.holder import runner
from chunkmigrate.ledger import APPLIED, DIED, PAUSED, RUNNING, RUNS, Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pymongo.database import Database

    from chunkmigrate.compared import Compared
    from chunkmigrate.migration import Migration

# The rate is that of the last half minute: long enough for a few samples, short enough to be that of now.
RATE_SECONDS = 30.0

_LIVE = {
    "migration": 1,
    "progress": 1,
    "timeline.samples.second": 1,
    "timeline.samples.read": 1,
    **dict.fromkeys(("pod", "host", "pid", "user"), 1),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the runs of one migration are that go on now, together.

    ``read`` of about ``total`` documents of the step are done, since they began; None is not known yet.
    ``by`` says who runs them.
    """

    step: int | None
    steps: int | None
    read: int
    total: int | None
    documents_per_second: float | None
    by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How one migration stands. ``read`` counts documents over all attempts.

    The marks are those of `Compared`; ``asked`` is pause or cancel where an operator has asked for that,
    ``progress`` is None unless it is running or paused.
    """

    name: str
    status: str
    direction: str
    description: str
    drifted: bool
    missing: bool
    late: bool
    asked: str
    read: int
    quarantined: int
    attempts: int
    began: datetime | None
    ended: datetime | None
    progress: Progress | None

    @property
    def open(self) -> bool:
        """Whether it has a file that is not applied: a run has something to do."""
        return self.status != APPLIED and not self.missing


def standings(database: Database[Any], found: Sequence[Migration]) -> list[Standing]:
    """Return how each migration stands, in order, and behind them what is on record and has no file."""
    entries = Ledger(database).entries()
    rows = compare(found, entries)
    read = _sums(database, checkpoint.COLLECTION, "$counts.read")
    aside = _sums(database, quarantine.COLLECTION, 1)
    live = _live(database, [row.name for row in rows if row.status in (RUNNING, PAUSED)])
    asked = _asked(database)
    return [
        _standing(
            row,
            entries.get(row.name, {}),
            status=_status(database, row),
            asked=asked.get(row.name, ""),
            read=read.get(row.name, 0),
            quarantined=aside.get(row.name, 0),
            live=live.get(row.name, []),
        )
        for row in rows
    ]


def _standing(
    row: Compared,
    entry: Mapping[str, Any],
    *,
    status: str,
    asked: str,
    read: int,
    quarantined: int,
    live: Sequence[Mapping[str, Any]],
) -> Standing:
    described = row.migration.description if row.migration else str(entry.get("description", ""))
    return Standing(
        name=row.name,
        status=status,
        direction=row.direction,
        description=described,
        drifted=row.drifted,
        missing=row.missing,
        late=row.late,
        asked="" if row.applied else asked,
        read=read,
        quarantined=quarantined,
        attempts=entry.get("attempts", 0),
        began=entry.get("began"),
        ended=entry.get("ended"),
        progress=progress_of(live) if live and status in (RUNNING, PAUSED) else None,
    )


def _status(database: Database[Any], row: Compared) -> str:
    """Return how it really stands: what is down as running and holds no lease has died."""
    if row.status != RUNNING:
        return row.status
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        return RUNNING if leases.living(database, row.name) else DIED


def _sums(database: Database[Any], collection: str, what: Any) -> dict[str, int]:
    """Add something up over the documents of each migration."""
    stages: list[Mapping[str, Any]] = [{"$group": {"_id": "$migration", "sum": {"$sum": what}}}]
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        return {group["_id"]: int(group["sum"]) for group in database[collection].aggregate(stages)}


def _asked(database: Database[Any]) -> dict[str, str]:
    """Return what operators ask of runs, by migration."""
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = database[lease_record.COLLECTION].find({"asked": {"$ne": None}}, {"asked.what": 1})
        return {lease["_id"]: str(lease["asked"]["what"]) for lease in found}


def _live(database: Database[Any], names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Return what the runs that go on now have on record, by migration."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    if not names:
        return found
    chosen = {"migration": {"$in": [*names]}, "status": {"$in": [RUNNING, PAUSED]}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        for run in database[RUNS].find(chosen, _LIVE):
            found.setdefault(run["migration"], []).append(run)
    return found


def progress_of(runs: Sequence[Mapping[str, Any]]) -> Progress:
    """Return how far these runs are together. Of several, nobody says at which step they are as one."""
    known = [run["progress"] for run in runs if run.get("progress")]
    rates = [rate for run in runs if (rate := rate_of(run)) is not None]
    totals = [one["total"] for one in known]
    first = known[0] if known else {}
    return Progress(
        step=first.get("step"),
        steps=first.get("steps"),
        read=sum(one["step_read"] for one in known),
        total=sum(totals) if totals and None not in totals else None,
        documents_per_second=round(sum(rates), 1) if rates else None,
        by=tuple(map(runner, runs)),
    )


def rate_of(run: Mapping[str, Any]) -> float | None:
    """Return how many documents a second a run reads, by its last samples; None where they do not say."""
    samples = (run.get("timeline") or {}).get("samples") or {}
    moments = [*zip(samples.get("second", ()), samples.get("read", ()), strict=False)]
    if len(moments) < 2:
        return None
    last, read = moments[-1]
    second, before = next(one for one in moments if one[0] >= last - RATE_SECONDS)
    if second == last:
        second, before = moments[-2]
    return float((read - before) / (last - second)) if last > second else None
