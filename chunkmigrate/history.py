"""History: the runs on record, each with who, when, how far and in how much memory. Reads only.

Runs are only ever added to. What one run was like in detail is ``report``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import leases, server
from chunkmigrate.errors import UnknownRunError
from chunkmigrate.holder import runner
from chunkmigrate.ledger import DIED, RUNNING, RUNS
from chunkmigrate.plain import in_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pymongo.database import Database

# What makes a run's document large, and is the report's.
_LEFT_OUT = dict.fromkeys(("timeline", "sessions", "warnings", "progress", "pauses", "sizes"), 0)

_COUNTS = ("read", "written", "writes", "skipped", "quarantined", "changed")


@dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """One run. ``seconds``, ``peak`` and ``budget`` are in seconds and bytes; what is not on record is None.

    ``failure`` is the class of what it failed with, ``document`` the ``_id`` that stopped it. ``reason`` may
    quote documents where there is a failure, and is empty then unless that was asked for.
    """

    run: str
    migration: str
    status: str
    direction: str
    began: datetime | None
    ended: datetime | None
    seconds: float | None
    counts: Mapping[str, int | None]
    peak: int | None
    budget: int | None
    version: str
    user: str
    pod: str
    host: str
    pid: int | None
    by: str
    failure: str
    document: str
    reason: str


def runs(database: Database[Any], migration: str | None, *, show_values: bool) -> Iterator[PastRun]:
    """Yield the runs of a migration, or of all, oldest first."""
    chosen = {} if migration is None else {"migration": migration}
    held: dict[str, bool] = {}
    for document in database[RUNS].find(chosen, _LEFT_OUT).sort([("began", 1), ("_id", 1)]):
        name = document["migration"]
        if document["status"] == RUNNING and name not in held:
            held[name] = _is_held(database, name)
        yield past_run(document, lives=held.get(name, False), show_values=show_values)


def named(database: Database[Any], part: str) -> str:
    """Return the migration that ``part`` of its name means, of those with a run; it needs no file any more.

    Raises `UnknownRunError` where none is meant, or several could be.
    """
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        names = sorted(map(str, database[RUNS].distinct("migration")))
    fitting = [name for name in names if part == name] or [name for name in names if part in name]
    if len(fitting) != 1:
        raise UnknownRunError(_sentence(part, fitting))
    return fitting[0]


def past_run(document: Mapping[str, Any], *, lives: bool, show_values: bool) -> PastRun:
    """Return what is on record about one run; ``lives``: somebody holds its migration's lease."""
    failure = document.get("failure") or {}
    died = document["status"] == RUNNING and not lives
    quotes = bool(failure) and not show_values
    return PastRun(
        run=str(document["_id"]),
        migration=document["migration"],
        status=DIED if died else document["status"],
        direction=document.get("direction") or "up",
        began=document.get("began"),
        ended=document.get("ended"),
        seconds=document.get("seconds"),
        counts={name: document.get(name) for name in _COUNTS},
        peak=document.get("peak"),
        budget=document.get("budget"),
        version=document.get("version") or "",
        user=document.get("user") or "",
        pod=document.get("pod") or "",
        host=document.get("host") or "",
        pid=document.get("pid"),
        by=document.get("by") or runner(document),
        failure=failure.get("kind") or "",
        document=failure.get("document") or "",
        reason="" if quotes else server.redacted(document.get("reason") or ""),
    )


def _is_held(database: Database[Any], migration: str) -> bool:
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        return bool(leases.held(database, migration))


def _sentence(part: str, fitting: Sequence[str]) -> str:
    if not fitting:
        return f"No run of {part} is on record."
    names = ", ".join(map(in_line, fitting[:8])) + (" and more" if len(fitting) > 8 else "")
    return f"{part} could be {names}; write more of its name."
