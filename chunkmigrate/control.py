"""Control: what an operator asks of a run from another terminal or pod, and where a migration stands.

A wish is put on record and followed by whoever runs the migration, at its next chunk; here it is made, taken
back, and its answer waited for. What to print is ``verbs``' business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate import checkpoint, lease_record, records, server
from chunkmigrate.holder import this_process, user
from chunkmigrate.lease import POLL_SECONDS
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.lease_record import Asked, LeaseRecord
PAUSE, CANCEL = lease_record.PAUSE, lease_record.CANCEL


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a migration stands: documents read over all attempts, and the ``_id`` behind which it goes on."""

    read: int
    position: str | None

    def shown(self) -> str:
        """Return it as people read it: ``behind _id 512 (12,000 documents read)``."""
        if self.position is None:
            return "before its first document"
        return f"behind _id {self.position} ({self.read:,} documents read)"


def operator() -> str:
    """Return who asks, as it is put on record: the pod, or user and host."""
    here = this_process()
    if here.pod:
        return f"pod {here.pod}"
    name = user()
    return f"{name} on {here.host}" if name else f"host {here.host}"


def ask(database: Database[Any], migration: str, what: str, by: str) -> LeaseRecord:
    """Ask for `PAUSE` or `CANCEL`; return the record as it was before."""
    before = lease_record.present(database, migration)
    lease_record.ask(database, migration, what, by)
    return before


def clear(database: Database[Any], migration: str) -> Asked | None:
    """Take back what was asked, and return it."""
    before = lease_record.look(database, migration)
    if before is None or before.asked is None:
        return None
    lease_record.clear(database, migration)
    return before.asked


def answered(
    database: Database[Any],
    migration: str,
    token: str,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> LeaseRecord:
    """Wait until the holder named by ``token`` lets the lease go, or ``seconds`` passed; return the record.

    A runner gives its lease back when it pauses and when it ends, so that is its answer.
    """
    deadline = clock() + seconds
    while True:
        seen = lease_record.present(database, migration)
        if not seen.held or seen.token != token or clock() >= deadline:
            return seen
        sleep(POLL_SECONDS)


def unlock(
    database: Database[Any], migration: str, token: str, fence: Callable[[int, ClientSession | None], None]
) -> int | None:
    """Take the lease from the holder named by ``token``; return the new generation.

    None where they do not hold it any more. From then on no chunk of theirs can be committed: ``fence`` is
    called with the new generation in the same transaction, where the server has them.
    """

    def revoke(session: ClientSession | None) -> int | None:
        revoked = lease_record.revoke(lease_record.collection_of(database), migration, token, session)
        if revoked is None:
            return None
        fence(revoked.generation, session)
        return revoked.generation

    if not server.has_transactions(database.client):
        return revoke(None)
    with database.client.start_session() as session:
        return server.transact(session, revoke)


def stands(database: Database[Any], migration: str) -> Standing:
    """Return where a migration stands, from its last step that was begun. Reads only."""
    slots = database[checkpoint.COLLECTION].with_options(RAW).find({"migration": migration})
    steps: dict[int, list[Any]] = {}
    for slot in slots:
        steps.setdefault(slot["step"], []).append(slot)
    read = [records.read(steps[step]) for step in sorted(steps)]
    position = read[-1].reach.position if read else None
    counted = sum(step.counts.read for step in read)
    return Standing(counted, None if position is None else position.shown())
