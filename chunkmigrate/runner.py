"""The runner: what ``chunkmigrate run`` does to one migration, from the first record to the last.

A generator of `Progress`, one for each acknowledged chunk; whoever consumes it shows it. Afterwards
``outcome`` says how it ended. Signals, terminals and exit codes are the command line's.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from chunkmigrate import checkpoint, server
from chunkmigrate.checkpoint import Counts
from chunkmigrate.errors import BudgetTooSmallError, ChunkmigrateError, ServerError
from chunkmigrate.executor import BulkExecutor
from chunkmigrate.ledger import APPLIED, Ledger
from chunkmigrate.pipeline import Pipeline
from chunkmigrate.raw import MalformedError
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo import MongoClient
    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.memory import Sensor
    from chunkmigrate.migration import Migration
    from chunkmigrate.pipeline import ChunkResult

STOPPED = "stopped"
FAILED = "failed"

# What a run needs beyond the bytes it starts with: connections, threads, a page and a chunk of the
# smallest size.
LEAST_ROOM = 8 * 1024 * 1024


# Counting what a filter matches takes the server a microsecond a document or more: a run that is over
# before anybody asks how long it will take should not pay for the answer.
COUNT_AFTER_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands after a chunk. Steps count from 1; ``counts`` is this run's, over all steps."""

    step: int
    steps: int
    counts: Counts
    step_read: int
    total: int | None
    result: ChunkResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended. Bytes and seconds; ``counts`` is this run's, ``position`` the last step's."""

    migration: str
    status: str
    counts: Counts
    peak: int
    start: int
    budget: int
    budget_source: str
    seconds: float
    position: str | None = None
    reason: str = ""

    @property
    def made_progress(self) -> bool:
        """Whether this run committed anything."""
        return self.counts.read > 0


class Run:
    """One attempt to apply one migration. Iterate it once."""

    def __init__(
        self,
        migration: Migration,
        database: Database[Any],
        sensor: Sensor,
        *,
        writers: int,
        stopped: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.migration, self._database, self._sensor = migration, database, sensor
        self._writers, self._stopped, self._warn = writers, stopped, warn
        self._client: MongoClient[Any] = database.client
        self._ledger = Ledger(database)
        self._began = time.monotonic()
        self._done = Counts()
        self._checkpoint: Checkpoint | None = None
        self._before = Counts()
        self._stopped_by = ""

    @property
    def outcome(self) -> Outcome:
        """How the run stands; how it ended, once it was iterated to the end."""
        return self._outcome(STOPPED if self._stopped_by else APPLIED, self._stopped_by)

    def __iter__(self) -> Iterator[Progress]:
        """Apply the migration, yielding after each chunk. A failure is recorded and raised."""
        self._check_budget()
        self._atomic = server.has_transactions(self._client)
        run = self._ledger.begin(self.migration, budget=self._sensor.budget.size)
        try:
            yield from self._apply(self.migration.steps(self._database))
        except ChunkmigrateError as error:
            self._record_failure(run, str(error))
            raise
        except MalformedError as error:
            message = f"A document cannot be read: {error}. What is committed is safe."
            self._record_failure(run, message)
            raise ServerError(message) from error
        except PyMongoError as error:
            explained = server.explained(error)
            self._record_failure(run, str(explained))
            raise explained from error
        self._ledger.end(self.migration, run, self.outcome.status, _facts(self.outcome))

    def failure(self, reason: str) -> Outcome:
        """Return the outcome of a run that raised."""
        return self._outcome(FAILED, reason)

    def _apply(self, steps: list[Backfill]) -> Iterator[Progress]:
        if steps and not self._atomic:
            self._warn(
                "This server is standalone and has no transactions: after a kill, the documents of a "
                "chunk may be migrated twice. Use a replica set (of one member, if need be) for exactly once."
            )
        for number, backfill in enumerate(steps):
            yield from self._step(number, len(steps), backfill)
            if self._stopped_by:
                return

    def _step(self, number: int, steps: int, backfill: Backfill) -> Iterator[Progress]:
        claimed = self._checkpoint = self._claim(number, backfill)
        if claimed.done:
            self._checkpoint = None
            return
        self._before = claimed.counts
        total, count_at = None, time.monotonic() + COUNT_AFTER_SECONDS
        with BulkExecutor(self._client, claimed, writers=self._writers, atomic=self._atomic) as executor:
            pipeline = Pipeline(
                backfill, claimed, executor, self._sensor, writers=self._writers, stopped=self._stopped
            )
            for result in pipeline:
                if time.monotonic() >= count_at:
                    total, count_at = self._total(backfill, claimed), math.inf
                yield self._progress(number, steps, total, result)
        self._done, self._before = self._counts(), claimed.counts
        self._stopped_by = pipeline.stopped_by

    def _claim(self, number: int, backfill: Backfill) -> Checkpoint:
        def claim(session: Any) -> Checkpoint:
            return checkpoint.claim(
                self._database,
                self.migration.name,
                number,
                backfill.scan,
                slots=self._writers,
                session=session,
            )

        if not self._atomic:
            return claim(None)
        with self._client.start_session() as session:
            return server.transact(session, claim)

    def _progress(self, number: int, steps: int, total: int | None, result: ChunkResult) -> Progress:
        counts = self._counts()
        return Progress(
            step=number + 1,
            steps=steps,
            counts=counts,
            step_read=counts.read - self._done.read,
            total=total,
            result=result,
        )

    def _counts(self) -> Counts:
        """Count what this run did: earlier steps, and what the current step gained over its start."""
        if self._checkpoint is None:
            return self._done
        now, before = self._checkpoint.counts, self._before
        gained = Counts(
            read=now.read - before.read,
            written=now.written - before.written,
            writes=now.writes - before.writes,
        )
        return self._done + gained

    def _total(self, backfill: Backfill, claimed: Checkpoint) -> int | None:
        """Return how many documents the step will have read in this run, or None where that is not known."""
        read = claimed.counts.read - self._before.read
        if not backfill.scan.filter:
            estimated = backfill.scan.count()
            return None if estimated is None else max(read, estimated - self._before.read)
        ahead = backfill.scan.count(claimed.position)
        return None if ahead is None else read + ahead

    def _check_budget(self) -> None:
        budget, rss = self._sensor.budget, self._sensor.rss_start
        if budget.size >= rss + LEAST_ROOM:
            return
        message = (
            f"The budget is {format_bytes(budget.size)} ({budget.source}), but the process itself uses "
            f"{format_bytes(rss)} before it reads a document. Give it at least {quantity(rss + LEAST_ROOM)}."
        )
        raise BudgetTooSmallError(message)

    def _record_failure(self, run: Any, reason: str) -> None:
        """Record the failure where the server still can; the reason to be told is the first one."""
        try:
            self._ledger.end(self.migration, run, FAILED, _facts(self.failure(reason)))
        except PyMongoError:
            self._warn("The failure could not be recorded in the database: it is not answering.")

    def _outcome(self, status: str, reason: str) -> Outcome:
        budget, position = self._sensor.budget, self._checkpoint.position if self._checkpoint else None
        return Outcome(
            migration=self.migration.name,
            status=status,
            counts=self._counts(),
            peak=self._sensor.peak(),
            start=self._sensor.rss_start,
            budget=budget.size,
            budget_source=budget.source,
            seconds=time.monotonic() - self._began,
            position=None if position is None else position.shown(),
            reason=reason,
        )


def _facts(outcome: Outcome) -> dict[str, Any]:
    counts = outcome.counts
    return {
        "read": counts.read,
        "written": counts.written,
        "skipped": counts.skipped,
        "writes": counts.writes,
        "peak": outcome.peak,
        "budget": outcome.budget,
        "seconds": outcome.seconds,
        "position": outcome.position,
        "reason": outcome.reason,
    }
