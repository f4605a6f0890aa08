"""The ledger: which migrations are applied, and the history of runs.

One document per migration, one per run, in the migrated database. Where a run stands is the checkpoint's.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.write_concern import WriteConcern

from chunkmigrate import checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.migration import Migration

MIGRATIONS = "chunkmigrate_migrations"
RUNS = "chunkmigrate_runs"

APPLIED = "applied"
PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one database."""

    database: Database[Any]

    def entries(self) -> dict[str, Mapping[str, Any]]:
        """Return what is known of each migration, by name. Reads only."""
        return {entry["_id"]: entry for entry in self.database[MIGRATIONS].find()}

    def standing(self, migrations: Sequence[Migration]) -> list[dict[str, Any]]:
        """Return a row for each migration: its status, and the documents read so far. Reads only."""
        entries = self.entries()
        return [self._row(migration, entries.get(migration.name)) for migration in migrations]

    def _row(self, migration: Migration, entry: Mapping[str, Any] | None) -> dict[str, Any]:
        known = entry or {"status": PENDING, "checksum": migration.checksum}
        slots = self.database[checkpoint.COLLECTION].find({"migration": migration.name}, {"counts": 1})
        return {
            "name": migration.name,
            "status": known["status"],
            "description": migration.description,
            "changed": known["checksum"] != migration.checksum,
            "read": sum(slot["counts"]["read"] for slot in slots),
            "attempts": known.get("attempts", 0),
            "began": known.get("began"),
            "ended": known.get("ended"),
        }

    def is_applied(self, migration: Migration) -> bool:
        """Whether the migration was applied. Reads only."""
        return self.database[MIGRATIONS].find_one({"_id": migration.name, "status": APPLIED}) is not None

    def begin(self, migration: Migration, *, budget: int) -> ObjectId:
        """Record that a run began; return its identity."""
        run, now = ObjectId(), datetime.now(UTC)
        who = {"host": socket.gethostname(), "pod": os.environ.get("HOSTNAME"), "pid": os.getpid()}
        began = {"status": "running", "checksum": migration.checksum, "began": now, "ended": None}
        self._now(RUNS).insert_one(began | {"_id": run, "migration": migration.name, "budget": budget} | who)
        self._now(MIGRATIONS).update_one(
            {"_id": migration.name},
            {"$set": began | {"description": migration.description, "run": run}, "$inc": {"attempts": 1}},
            upsert=True,
        )
        return run

    def end(self, migration: Migration, run: ObjectId, status: str, facts: Mapping[str, Any]) -> None:
        """Record how a run ended. ``status`` is applied, stopped or failed."""
        ended = {"status": status, "ended": datetime.now(UTC)}
        self._now(RUNS).update_one({"_id": run}, {"$set": ended | dict(facts)})
        self.database[MIGRATIONS].update_one({"_id": migration.name, "run": run}, {"$set": ended})

    def _now(self, name: str) -> Collection[Any]:
        """Return a collection whose writes do not wait for a majority: history, that decides nothing."""
        return self.database[name].with_options(write_concern=WriteConcern(1))
