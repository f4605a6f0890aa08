"""The ledger: which migrations are applied, and the history of runs.

One document per migration, one per run, in the migrated database. A migration's entry bears the generation of
the lease it was last written under: a run that was overtaken changes it no more. Each call takes at most
`server.ATTEMPT_SECONDS`; to try again is ``recorder``'s business. Where a run stands is the checkpoint's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.write_concern import WriteConcern

from chunkmigrate import leases, server
from chunkmigrate.errors import SupersededError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bson import ObjectId
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.holder import Holder
    from chunkmigrate.migration import Migration

MIGRATIONS = "chunkmigrate_migrations"
RUNS = "chunkmigrate_runs"

APPLIED = "applied"
CANCELLED = "cancelled"
DIED = "died"
FAILED = "failed"
PAUSED = "paused"
PENDING = "pending"
ROLLED_BACK = "rolled back"
RUNNING = "running"
STOPPED = "stopped"

_NO_GROUP = {"$in": ["", None]}
_DIED = {"$set": {"status": DIED, "reason": "It ended without a word: killed, or cut off from MongoDB."}}
# What an entry says of the time before a run begins: who marked it, and what was verified.
_OVER = {"origin": "", "verification": ""}

# How a run stands is not worth a wait; but a connection that is being made must not be cut off, for then the
# driver gives up all others, too.
KEEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one database."""

    database: Database[Any]

    def entries(self) -> dict[str, Mapping[str, Any]]:
        """Return what is known of each migration, by name. Reads only."""
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            return {entry["_id"]: entry for entry in self.database[MIGRATIONS].find()}

    def entry(self, migration: str) -> Mapping[str, Any]:
        """Return what is known of a migration; empty where nothing is. Reads only."""
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            return self.database[MIGRATIONS].find_one({"_id": migration}) or {}

    def is_applied(self, migration: Migration) -> bool:
        """Whether the migration was applied. Reads only."""
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            return self.database[MIGRATIONS].find_one({"_id": migration.name, "status": APPLIED}) is not None

    def behind(self, gone: Sequence[str], here: Sequence[str]) -> dict[str, str]:
        """Return, of migrations whose file is ``gone``, which of those ``here`` was run behind them.

        From a folder that had both: so that file was deleted, and the folder is not just an older one. Reads
        only.
        """
        if not gone:
            return {}
        chosen = {"follows": {"$in": [*gone]}, "migration": {"$in": [*here]}}
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            found = self.database[RUNS].find(chosen, {"follows": 1, "migration": 1}).sort("began", 1)
            return {run["follows"]: run["migration"] for run in found}

    def runs(self, migration: str) -> list[dict[str, Any]]:
        """Return the runs of a migration, oldest first. Reads only.

        What was marked is none. One that is down as running and holds no lease any more has died; nobody has
        told it yet.
        """
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            held = leases.held(self.database, migration)
            found = [*self.database[RUNS].find({"migration": migration, "origin": None}).sort("began", 1)]
        if held:
            return found
        return [run | {"status": DIED} if run["status"] == RUNNING else run for run in found]

    def begin(
        self,
        migration: Migration,
        run: ObjectId,
        holder: Holder,
        *,
        generation: int,
        budget: int,
        sessions: Sequence[Mapping[str, Any]] = (),
        about: Mapping[str, Any] | None = None,
        entered: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> None:
        """Record that ``run`` began, in which ``sessions``, under the lease's ``generation``.

        ``about`` is kept with the run, ``entered`` in the migration's entry. ``quiet``: the migration's own
        status stays. Raises `SupersededError` where its entry is of a later generation. Doing it twice does
        no harm, but for an attempt that may count twice.
        """
        now = datetime.now(UTC)
        who = {name: getattr(holder, name) for name in ("host", "pod", "pid", "token", "group")}
        began = {"status": RUNNING, "checksum": migration.checksum, "began": now, "ended": None}
        kept = {"migration": migration.name, "budget": budget, "sessions": [*sessions], "quiet": quiet}
        kept |= about or {}
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            if not quiet:
                entry = began | {"description": migration.description, "run": run} | dict(entered or {})
                began_anew = {"$set": entry, "$inc": {"attempts": 1}, "$unset": _OVER}
                self._enter(migration, generation, began_anew)
            self._bury(migration, run, generation)
            fresh = {"$set": began | kept | who | {"generation": generation}}
            self._now(RUNS).update_one({"_id": run}, fresh, upsert=True)

    def _bury(self, migration: Migration, run: ObjectId, generation: int) -> None:
        """Record as died what is down as running: ``run`` holds the lease, so nobody else runs.

        Not those of a group, nor one that has a partition, which hold other leases: `bury` is for them. Not
        what is paused: such a run holds no lease, nobody can tell whether it lives, and "paused" is the last
        thing known of it.
        """
        dead = {"migration": migration.name, "status": RUNNING, "_id": {"$ne": run}, **until(generation)}
        dead["token"] = {"$nin": [lease.token for lease in leases.living(self.database, migration.name)]}
        self._now(RUNS).update_many(dead | {"group": _NO_GROUP}, _DIED)

    def bury(self, token: str) -> None:
        """Record as died the run of the holder called ``token``, and end what it has left open."""
        self.disarm(token)
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            self._now(RUNS).update_many({"token": token, "status": RUNNING}, _DIED)

    def disarm(self, token: str) -> None:
        """End the transactions that the holder called ``token`` has left open, whose lease is taken away.

        The server would keep those of a dead run for a minute, and whoever writes the same documents would
        meet a conflict all that time. A run that only was frozen finds its transactions undone.
        """
        unfinished = {"token": token, "status": {"$in": [RUNNING, PAUSED]}}
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            left = [
                session for run in self._now(RUNS).find(unfinished) for session in run.get("sessions", ())
            ]
            if left:
                with suppress(OperationFailure):
                    self.database.client.admin.command("killSessions", left)

    def paused(self, migration: Migration, run: ObjectId, *, generation: int, quiet: bool = False) -> None:
        """Record that a run pauses; to be called while it still holds the lease."""
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            self._now(RUNS).update_one({"_id": run}, {"$set": {"status": PAUSED}})
            if not quiet:
                self._enter(migration, generation, {"$set": {"status": PAUSED}})

    def resumed(
        self,
        migration: Migration,
        run: ObjectId,
        *,
        generation: int,
        entered: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> None:
        """Record that a paused run goes on, under the ``generation`` of the lease it has taken back.

        The entry becomes its own again, with what is ``entered``, whoever has written it in the meantime.
        """
        running = {"status": RUNNING, "ended": None}
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            if not quiet:
                entry = running | {"run": run} | dict(entered or {})
                self._enter(migration, generation, {"$set": entry})
            self._bury(migration, run, generation)
            self._now(RUNS).update_one({"_id": run}, {"$set": running | {"generation": generation}})

    def took(self, migration: str, run: ObjectId, place: Mapping[str, Any], generation: int) -> None:
        """Record that a run has taken the partition at ``place``, whose lease has now this ``generation``.

        The others may all have ended before, and said how the migration stands.
        """
        at = {"place": dict(place), "place_generation": generation}
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            self._now(RUNS).update_one({"_id": run}, {"$set": at | {"status": RUNNING}})
            ended = {"_id": migration, "status": {"$in": [STOPPED, FAILED]}}
            self.database[MIGRATIONS].update_one(ended, {"$set": {"status": RUNNING, "ended": None}})

    def keep(self, run: ObjectId, facts: Mapping[str, Any]) -> None:
        """Put on record how a run stands, and wait for no answer. Nothing is changed once it has ended."""
        lives = {"_id": run, "status": {"$in": [RUNNING, PAUSED]}}
        unanswered = self.database[RUNS].with_options(write_concern=WriteConcern(0))
        with pymongo.timeout(KEEP_SECONDS):
            unanswered.update_one(lives, {"$set": dict(facts)})

    def end(
        self,
        migration: Migration,
        run: ObjectId,
        status: str,
        facts: Mapping[str, Any],
        *,
        generation: int,
        stands: str | None = None,
        quiet: bool = False,
    ) -> None:
        """Record how a run ended. ``status`` is applied, rolled back, stopped, cancelled or failed.

        ``stands`` is how the migration stands then, where that is not the same.
        Raises `SupersededError` where the entry is of a later generation: then it stays as it is.
        """
        ended = {"status": status, "ended": datetime.now(UTC)}
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            self._now(RUNS).update_one({"_id": run}, {"$set": ended | dict(facts)})
            if not quiet:
                entry = ended | {"run": run, "status": stands or status}
                self._enter(migration, generation, {"$set": entry})
            if status == APPLIED and not quiet:
                # Those of a group that died while others were at work; one that lives will say its own end.
                left = {"migration": migration.name, "status": RUNNING, "_id": {"$ne": run}}
                self._now(RUNS).update_many(left, _DIED)

    def _enter(self, migration: Migration, generation: int, update: Mapping[str, Any]) -> None:
        """Change a migration's entry, or make it, unless it is of a later generation than ours.

        It waits for a majority: the fence, and that it is applied, must survive the loss of a server.
        """
        entries, ours = self.database[MIGRATIONS], {"_id": migration.name, **until(generation)}
        values = update["$set"] | {"generation": generation}
        known = {"checksum": migration.checksum, "description": migration.description}
        made = {name: value for name, value in known.items() if name not in values}
        change = {**update, "$set": values} | ({"$setOnInsert": made} if made else {})
        try:
            entries.update_one(ours, change, upsert=True)
        except DuplicateKeyError as error:
            # It is there under another generation, or somebody made it in this moment.
            if not entries.update_one(ours, change).matched_count:
                raise SupersededError from error

    def _now(self, name: str) -> Collection[Any]:
        """Return a collection whose writes do not wait for a majority: history, that decides nothing."""
        return self.database[name].with_options(write_concern=WriteConcern(1))


def until(generation: int) -> dict[str, Any]:
    """Return what a document of ``generation`` matches, or of an earlier one, or of none."""
    return {"generation": {"$not": {"$gt": generation}}}
