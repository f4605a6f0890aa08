"""What the pipeline's tests run it on: a checkpoint and an executor that keep everything in lists."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from chunkmigrate import records
from chunkmigrate.executor import Committed
from chunkmigrate.frontier import Reach, Segment
from chunkmigrate.memory import Reading
from chunkmigrate.pipeline import Pipeline
from chunkmigrate.records import Record
from chunkmigrate.retry import Retry, never
from chunkmigrate.sizing import MIB
from chunkmigrate.transforming import Transformer
from tests.unit.making import aside, key, quarantine_of, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.chunks import Chunk
    from chunkmigrate.raw import Key
    from chunkmigrate.records import Intent
    from chunkmigrate.sizing import Sizes


@dataclass
class Database:
    """What is left of a run. ``intents`` are all that were stored, in order; once ``killed`` it puts no more
    marks.
    """

    record: Record
    mark: dict[str, Any] | None = None
    written: list[Any] = field(default_factory=list)
    aside: dict[Any, str] = field(default_factory=dict)
    chunks: list[list[Any]] = field(default_factory=list)
    prints: list[Any] = field(default_factory=list)
    intents: list[Intent | None] = field(default_factory=list)
    killed: bool = False


class Checkpoint:
    """A checkpoint that stores into the database above."""

    def __init__(self, database: Database) -> None:
        self.database, self.deaths, self.done = database, database.record.deaths, False
        self.sizes: Sizes | None = database.record.sizes
        self.intent: Intent | None = None
        self.next_number = 0
        database.mark, database.killed = None, False

    @property
    def position(self) -> Key | None:
        return self.database.record.reach.position

    def intend(self, intent: Intent) -> None:
        self.intent = intent
        self.store(self.position)

    def mark(self, document: Key | None, used: int = 0, among: int = 1) -> None:
        if not self.database.killed:
            self.database.mark = {"document": records.stored(document), "used": used, "among": among}

    def absolve(self) -> None:
        self.database.record = replace(self.database.record, deaths=None)

    def segments(self) -> Iterator[Segment]:
        assert self.database.record.upto
        yield Segment(self.position, self.database.record.upto)

    def store(self, position: Key | None, *, progressed: bool = False) -> None:
        reach = Reach(position)
        self.database.intents.append(self.intent)
        self.database.record = replace(
            self.database.record, reach=reach, sizes=self.sizes, progressed=progressed, intent=self.intent
        )


@dataclass
class Executor:
    """Commits a chunk when the next one comes: a death loses what is in flight."""

    checkpoint: Checkpoint
    waiting: list[Chunk] = field(default_factory=list)

    def submit(self, chunk: Chunk, _most: int) -> list[Committed]:
        committed = self.drain()
        self.waiting.append(chunk)
        return committed

    def finished(self) -> list[Committed]:
        return []

    def drain(self) -> list[Committed]:
        waiting, self.waiting = self.waiting, []
        database = self.checkpoint.database
        for chunk in waiting:
            database.written += written(chunk)
            database.aside |= aside(chunk)
            database.prints += chunk.prints
            database.chunks.append([chunk.owner(number) for number in range(chunk.read)])
            self.checkpoint.store(chunk.through, progressed=True)
        return [Committed(chunk, 0.0) for chunk in waiting]


SENSOR: Any = SimpleNamespace(
    rss_start=0, budget=SimpleNamespace(size=900 * MIB), read=lambda: Reading(rss=1, used=1, budget=900 * MIB)
)


def database_of(count: int, sizes: Sizes | None = None) -> Database:
    """What is there before the first run over so many documents."""
    return Database(Record(namespace="shop.orders", upto=key(count - 1), sizes=sizes))


def pipeline_of(
    database: Database,
    backfill: Backfill,
    *,
    sensor: Any = SENSOR,
    stopped: Callable[[], bool] = never,
    **options: Any,
) -> Pipeline:
    """A run over what is left. What fails is set aside."""
    checkpoint: Any = Checkpoint(database)
    executor: Any = Executor(checkpoint)
    transformer = Transformer(backfill, quarantine_of())
    return Pipeline(
        backfill,
        checkpoint,
        executor,
        transformer,
        sensor,
        writers=2,
        stopped=stopped,
        retry=Retry(),
        **options,
    )
