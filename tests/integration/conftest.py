from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import Backfill, server
from chunkmigrate.checkpoint import Checkpoint, claim
from chunkmigrate.executor import BulkExecutor
from chunkmigrate.fencing import fence
from chunkmigrate.memory import Sensor
from chunkmigrate.pipeline import ChunkResult, Pipeline
from chunkmigrate.quarantine import Quarantine
from chunkmigrate.records import Counts, Place
from chunkmigrate.retry import Retry
from chunkmigrate.transforming import Transformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from chunkmigrate.sizing import Sizes

MIB = 1024 * 1024


class Engine:
    """Applies backfills to one database, the way a run does, without a ledger."""

    def __init__(self, db: Database[Any]) -> None:
        self.db = db
        self.generations = count(1)
        self.atomic = server.has_transactions(db.client)

    def claim(self, backfill: Backfill, *, name: str = "m", step: int = 0, writers: int = 2) -> Checkpoint:
        """Claim a step the way a run does that has just got the lease."""
        place = Place(name, step)
        fence(self.db, place.matching(), next(self.generations), None)
        advance = lambda _: next(self.generations)  # noqa: E731
        return claim(self.db, place, backfill.scan, slots=writers, advance=advance, session=None)

    def results(
        self,
        backfill: Backfill,
        *,
        name: str = "m",
        writers: int = 2,
        memory: int = 512 * MIB,
        stopped: Callable[[], bool] = lambda: False,
        sensor: Sensor | None = None,
        sizes: Sizes | None = None,
    ) -> Iterator[ChunkResult]:
        """One attempt; stopping to ask for results is how it is cut off."""
        checkpoint = self.claim(backfill, name=name, writers=writers)
        checkpoint.sizes = sizes or checkpoint.sizes
        transformer = Transformer(backfill, self.quarantine(backfill, name))
        guarded = backfill.scan if backfill.if_unchanged else None
        retry = Retry(seconds=10)
        with BulkExecutor(
            self.db.client,
            checkpoint,
            transformer,
            sessions=[self.db.client.start_session() if self.atomic else None for _ in range(writers)],
            guarded=guarded,
            retry=retry,
        ) as executor:
            pipeline = Pipeline(
                backfill,
                checkpoint,
                executor,
                transformer,
                sensor or Sensor(memory=memory),
                writers=writers,
                stopped=stopped,
                retry=retry,
            )
            yield from pipeline
        checkpoint.save(done=not pipeline.stopped_by)

    def quarantine(self, backfill: Backfill, name: str) -> Quarantine:
        return Quarantine(
            database=self.db.name,
            migration=name,
            step=0,
            namespace=backfill.scan.namespace,
            run=None,
            enabled=backfill.on_error == "quarantine",
            limit=backfill.quarantine_limit,
        )

    def run(self, backfill: Backfill, **how: Any) -> Counts:
        """A whole attempt; what it committed."""
        return sum((result.counts for result in self.results(backfill, **how)), Counts())


@pytest.fixture
def engine(db: Database[Any]) -> Engine:
    return Engine(db)
