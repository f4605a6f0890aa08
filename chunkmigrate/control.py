"""Control: what an operator asks of a run from another terminal or pod, and where a migration stands.

A wish is put on record and followed by whoever runs the migration, at its next chunk; here it is made, taken
back, and its answer waited for. What to print is ``verbs``' business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate import checkpoint, lease_reading, lease_record, leases, records, server
from chunkmigrate.direction import direction_of
from chunkmigrate.holder import place, this_process, user
from chunkmigrate.lease import POLL_SECONDS
from chunkmigrate.ledger import Ledger
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.lease_reading import Asked, LeaseRecord
    from chunkmigrate.lease_record import Name

PAUSE, CANCEL = lease_reading.PAUSE, lease_reading.CANCEL


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a migration stands: documents read over all attempts, and the ``_id`` behind which it goes on.

    Where several processes share its step, instead of that how many of its ``partitions`` are ``done``.
    """

    read: int
    position: str | None
    partitions: int = 0
    done: int = 0

    def shown(self) -> str:
        """Return it as people read it: ``behind _id 512 (12,000 documents read)``."""
        if self.partitions:
            return f"with {self.done} of {self.partitions} partitions done ({self.read:,} documents read)"
        if self.position is None:
            return "before its first document"
        return f"behind _id {self.position} ({self.read:,} documents read)"


def operator() -> str:
    """Return who asks, as it is put on record: the pod, or user and host."""
    here = this_process()
    return place(pod=here.pod, host=here.host, user="" if here.pod else user())


def ask(database: Database[Any], migration: str, what: str, by: str) -> list[LeaseRecord]:
    """Ask for `PAUSE` or `CANCEL`; return the leases of those who run it, as they were before."""
    lease_record.present(database, migration)
    before = leases.living(database, migration)
    asked = {"what": {"$literal": what}, "by": {"$literal": by}, "at": "$$NOW"}
    lease_record.collection_of(database).update_one({"_id": migration}, [{"$set": {"asked": asked}}])
    return before


def clear(database: Database[Any], migration: str) -> Asked | None:
    """Take back what was asked, and return it."""
    before = lease_record.look(database, migration)
    if before is None or before.asked is None:
        return None
    lease_record.collection_of(database).update_one({"_id": migration}, {"$set": {"asked": None}})
    return before.asked


def answered(
    database: Database[Any],
    migration: str,
    tokens: Collection[str],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[LeaseRecord]:
    """Wait until the holders called ``tokens`` let their leases go, or ``seconds`` passed.

    Return what has become of those leases that nobody else has taken. A runner gives its own back when it
    pauses and when it ends, so that is its answer.
    """
    deadline = clock() + seconds
    while True:
        last = (leases.last_of(database, migration, token) for token in tokens)
        seen = [record for record in last if record]
        if not any(record.held for record in seen) or clock() >= deadline:
            return seen
        sleep(POLL_SECONDS)


def unlock(
    database: Database[Any], name: Name, token: str, fence: Callable[[int, ClientSession | None], None]
) -> int | None:
    """Take a lease from the holder called ``token``; return the new generation.

    None where they do not hold it any more. From then on no chunk of theirs can be committed: ``fence`` is
    called with the new generation in the same transaction, where the server has them.
    """

    def revoke(session: ClientSession | None) -> int | None:
        revoked = lease_record.revoke(lease_record.collection_of(database), name, token, session)
        if revoked is None:
            return None
        fence(revoked.generation, session)
        return revoked.generation

    if not server.has_transactions(database.client):
        return revoke(None)
    with database.client.start_session() as session:
        return server.transact(session, revoke)


def stands(database: Database[Any], migration: str) -> Standing:
    """Return where a migration stands, or its rollback, from its last step that was begun. Reads only."""
    key = direction_of(Ledger(database).entry(migration)).key(migration)
    slots = database[checkpoint.COLLECTION].with_options(RAW).find({"migration": key})
    places: dict[tuple[int, int], list[Any]] = {}
    for slot in slots:
        places.setdefault((slot["step"], slot.get("partition", 0)), []).append(slot)
    read = {place: records.read(places[place]) for place in sorted(places)}
    counted = sum(record.counts.read for record in read.values())
    step, partition = max(read, default=(0, 0))
    if partition:
        last = [record.done for (number, _), record in read.items() if number == step]
        return Standing(counted, None, len(last), sum(last))
    position = read[step, partition].reach.position if read else None
    return Standing(counted, None if position is None else position.shown())
