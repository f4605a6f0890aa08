"""Leases: all of one migration, its own and those of its partitions, seen from outside. Reads only.

Who may take or lose one is decided elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.holder import Holder, Liveness, liveness, this_process
from chunkmigrate.lease_record import found, of_partitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.database import Database

    from chunkmigrate.lease_reading import LeaseRecord


def held(database: Database[Any], migration: str) -> list[LeaseRecord]:
    """Return the leases somebody has now."""
    return [record for record in found(database, _of(migration)) if record.held]


def kept(database: Database[Any], migration: str) -> list[LeaseRecord]:
    """Return the leases that nobody has given back: one that has run out is renewed by whom was frozen."""
    records = found(database, _of(migration))
    return [record for record in records if record.holder is not None and not record.released]


def living(database: Database[Any], migration: str) -> list[LeaseRecord]:
    """Return the leases somebody has now, but for those of processes that are known to have ended."""
    me = this_process()
    return [one for one in held(database, migration) if not _is_dead(one, me)]


def shown(records: Sequence[LeaseRecord]) -> str:
    """Return who has them: the first, and how many other processes.

    One that goes from a partition to the next holds the leases of both for a moment.
    """
    others = len({record.token for record in records}) - 1
    return records[0].shown() + (f" and {others} more" if others else "")


def _is_dead(lease: LeaseRecord, me: Holder) -> bool:
    return lease.holder is not None and liveness(lease.holder, me) is Liveness.DEAD


def last_of(database: Database[Any], migration: str, token: str | None) -> LeaseRecord | None:
    """Return the lease that the holder called ``token`` renewed last; None where others have taken all."""
    ours = _of(migration) | {"holder.token": token}
    return max(found(database, ours), key=lambda record: record.renewed, default=None)


def _of(migration: str) -> dict[str, Any]:
    return {"$or": [{"_id": migration}, of_partitions(migration)]}
