"""Marking: what the ledger says of migrations, changed without running any of them.

For each one a lease that nobody holds goes to the next generation, its checkpoints are fenced with it, and
its entry and a line of the history are written: in one transaction for all of them, where the server has
those. So a run that was overtaken commits nothing more, and one that begins meanwhile wins or waits. What is
to be marked is ``bookkeeping``'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
from bson import ObjectId

from chunkmigrate import fencing, lease_record, leases, quarantine, server, undo
from chunkmigrate.errors import LeaseHeldError
from chunkmigrate.holder import Holder, this_process
from chunkmigrate.ledger import APPLIED, MIGRATIONS, PENDING, RUNS, Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.lease_reading import LeaseRecord

MARKED, BASELINE = "marked", "baseline"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What is to be on record of one migration: ``applied``, or else pending.

    ``origin`` says where that comes from. ``checksum`` is None where there is no file, and never was one: a
    file of that name has nothing to differ from. ``at`` is when it was applied, where another tool knows,
    and ``record`` what that tool had on record. ``gone``: pending, and there is no file to run.
    """

    migration: str
    applied: bool
    origin: str
    checksum: str | None = None
    description: str = ""
    at: datetime | None = None
    gone: bool = False
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Author:
    """Who marks, and why, as it is put on record."""

    by: str
    why: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def put(database: Database[Any], marks: Sequence[Mark], author: Author) -> None:
    """Put ``marks`` on record: all of them or none, where the server has transactions.

    Without those they are put there one by one, and doing it again completes it. Raises `LeaseHeldError`
    where somebody runs one of them.
    """
    free = [_freed(database, mark.migration) for mark in marks]

    def work(session: ClientSession | None) -> None:
        for mark, over in zip(marks, free, strict=True):
            _put(database, mark, over, author, session)

    if not server.has_transactions(database.client):
        work(None)
        return
    with database.client.start_session() as session:
        server.transact(session, work)


def check(database: Database[Any], migration: str) -> LeaseRecord:
    """Return the lease of a migration that nobody runs; raise `LeaseHeldError` where somebody does."""
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        seen = lease_record.present(database, migration)
        living = leases.living(database, migration)
    for lease in living:
        raise _refusal(lease)
    return seen


def _freed(database: Database[Any], migration: str) -> LeaseRecord:
    """Return the lease of a migration nobody runs, after what a dead run left open is ended."""
    seen = check(database, migration)
    if not seen.released:
        Ledger(database).disarm(seen.token)
    return seen


def _put(
    database: Database[Any], mark: Mark, over: LeaseRecord, author: Author, session: ClientSession | None
) -> None:
    records = lease_record.collection_of(database)
    passed = lease_record.pass_over(records, mark.migration, over=over, session=session)
    if passed is None:
        raise _refusal(lease_record.present(database, mark.migration))
    lease_record.pass_over_partitions(records, mark.migration, session)
    fencing.fence_all(database, mark.migration, session)
    line = ObjectId()
    _forget(database, mark, session)
    _enter(database, mark, author, {"generation": passed.generation, "run": line}, session)
    database[RUNS].insert_one({"_id": line} | _line(mark, author, passed.generation), session=session)


def _forget(database: Database[Any], mark: Mark, session: ClientSession | None) -> None:
    """Forget where the migration stood, or where its rollback did: the next one begins with all documents.

    What is kept to undo it stays: what the next run writes over is held against that.
    """
    back = fencing.down(mark.migration)
    for key in [back] if mark.applied else [mark.migration, back]:
        fencing.forget(database, key, session)
        quarantine.forget(database, key, session)
    if not mark.applied:
        undo.unmark(database, mark.migration, session=session)


def _enter(
    database: Database[Any],
    mark: Mark,
    author: Author,
    under: Mapping[str, Any],
    session: ClientSession | None,
) -> None:
    entries, ours = database[MIGRATIONS], {"_id": mark.migration}
    if mark.gone:
        entries.delete_one(ours, session=session)
        return
    at = (mark.at or author.now) if mark.applied else None
    entry = {
        "status": APPLIED if mark.applied else PENDING,
        "checksum": mark.checksum,
        "description": mark.description,
        "began": at,
        "ended": at,
        "origin": mark.origin,
        **under,
    }
    # What it says of a rollback, or of what was verified, is of a time that is over.
    change = {"$set": entry, "$unset": {"direction": "", "verification": ""}}
    entries.update_one(ours, change, upsert=True, session=session)


def _line(mark: Mark, author: Author, generation: int) -> dict[str, Any]:
    """Return the line of the history: no run, and ``quiet`` for whoever learns from runs."""
    me = this_process()
    who = {"by": author.by, "host": me.host, "pod": me.pod, "pid": me.pid, "reason": author.why}
    what = {
        "migration": mark.migration,
        "status": f"marked {APPLIED if mark.applied else PENDING}",
        "origin": mark.origin,
        "checksum": mark.checksum,
    }
    when = {"began": author.now, "ended": author.now, "generation": generation, "budget": 0, "quiet": True}
    theirs = {"record": mark.record} if mark.record else {}
    return what | who | when | theirs


def _refusal(seen: LeaseRecord) -> LeaseHeldError:
    holder, name = seen.holder or Holder(token=""), seen.migration
    message = (
        f"{name} is being run by {seen.shown()}. Let it end, stop it with `chunkmigrate cancel {name}`, or "
        f"take its lease away with `chunkmigrate unlock {name}`. Nothing was changed."
    )
    return LeaseHeldError(
        message,
        migration=name,
        pod=holder.pod,
        host=holder.host,
        pid=holder.pid,
        since=seen.since,
        renewed=seen.renewed,
    )
