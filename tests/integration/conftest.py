from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import Backfill, server
from chunkmigrate.checkpoint import Checkpoint, Counts, claim
from chunkmigrate.executor import BulkExecutor
from chunkmigrate.memory import Sensor
from chunkmigrate.pipeline import ChunkResult, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

MIB = 1024 * 1024


class Engine:
    """Applies backfills to one database, the way a run does, without a ledger."""

    def __init__(self, db: Database[Any]) -> None:
        self.db = db
        self.atomic = server.has_transactions(db.client)

    def claim(self, backfill: Backfill, *, name: str = "m", step: int = 0, writers: int = 2) -> Checkpoint:
        return claim(self.db, name, step, backfill.scan, slots=writers, session=None)

    def results(
        self,
        backfill: Backfill,
        *,
        name: str = "m",
        writers: int = 2,
        memory: int = 512 * MIB,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[ChunkResult]:
        """One attempt; stopping to ask for results is how it is cut off."""
        checkpoint = self.claim(backfill, name=name, writers=writers)
        with BulkExecutor(self.db.client, checkpoint, writers=writers, atomic=self.atomic) as executor:
            sensor = Sensor(memory=memory)
            yield from Pipeline(backfill, checkpoint, executor, sensor, writers=writers, stopped=stopped)

    def run(self, backfill: Backfill, **how: Any) -> Counts:
        """A whole attempt; what it committed."""
        results = list(self.results(backfill, **how))
        return Counts(
            read=sum(result.read for result in results),
            written=sum(result.written for result in results),
            writes=sum(result.writes for result in results),
        )


@pytest.fixture
def engine(db: Database[Any]) -> Engine:
    return Engine(db)
