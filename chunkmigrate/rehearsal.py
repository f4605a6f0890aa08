"""Rehearsal: the one loop on a sample, or on everything, with writes that go nowhere.

Reading, decoding, transforming, encoding, sizes and the guard are the real ones; what commits a chunk and
what remembers it are stand-ins. It tells what that took, and shows nothing. Which documents make a sample is
``sampling``'s business, writes that do go somewhere are ``scratch``'s.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

from chunkmigrate.errors import DoesNotFitError
from chunkmigrate.executor import BulkExecutor
from chunkmigrate.pipeline import Pipeline
from chunkmigrate.records import Counts
from chunkmigrate.retry import Retry, never
from chunkmigrate.transforming import Transformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.client_session import ClientSession

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.chunks import Chunk
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.frontier import Segment
    from chunkmigrate.memory import Sensor
    from chunkmigrate.pipeline import ChunkResult
    from chunkmigrate.quarantine import Quarantine
    from chunkmigrate.raw import Key
    from chunkmigrate.records import Deaths, Intent
    from chunkmigrate.sizing import Most, Sizes

SHOWN_FAILURES = 5

# Where writes took no time nothing would be in flight, and memory would look better than it is. A server took
# this long for each hundred bytes of statements in chunks of a thousand small updates.
SECONDS_PER_BYTE = 30e-6 / 100


def forget(_slot: int, _chunk: Chunk, _session: ClientSession | None) -> None:
    """Store nothing."""


@dataclass(slots=True)
class NoCheckpoint:
    """What a `Checkpoint` is to the loop, but it remembers nothing beyond this process.

    ``store`` is called where a checkpoint would be stored.
    """

    stretches: Sequence[Segment]
    store: Callable[[int, Chunk, ClientSession | None], None] = forget
    sizes: Sizes | None = None
    intent: Intent | None = None
    position: Key | None = None
    done: bool = False
    deaths: Deaths | None = None
    next_number: int = 0
    counts: Counts = field(default_factory=Counts)

    def segments(self) -> Iterator[Segment]:
        """Yield what is to be read."""
        yield from self.stretches

    def intend(self, intent: Intent) -> None:
        """Nothing is on record."""

    def mark(self, *_: Any) -> None:
        """Nothing is on record."""

    def absolve(self) -> None:
        """Nothing is on record."""

    def verify(self, *_: Any) -> None:
        """No other run can be in the way."""

    def commit(self, slot: int, chunk: Chunk, session: ClientSession | None) -> None:
        """Store what is to be stored."""
        self.store(slot, chunk, session)

    def acknowledge(self, _slot: int, chunk: Chunk) -> None:
        """Count a chunk in."""
        self.next_number += 1
        self.counts += chunk.counts
        self.position = chunk.through


@dataclass(frozen=True, slots=True)
class Unsent:
    """Takes commands as a client does, and makes the message a client would send, but sends nothing."""

    sleep: Callable[[float], None] = time.sleep

    def __getitem__(self, _database: str) -> Self:
        """Return what stands for a database."""
        return self

    def command(self, command: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Hold a message as long as a server might need for it."""
        (statements,) = next(value for value in command.values() if isinstance(value, list))
        message = bytes(bytearray(statements.raw))
        self.sleep(len(message) * SECONDS_PER_BYTE)
        return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsed:
    """What a rehearsal took: bytes and seconds.

    ``stopped_by`` is "memory" where the budget was too small; ``needs`` is the one that a document asked for
    which did not fit, or 0.
    """

    counts: Counts
    seconds: float
    start: int
    peak: int
    sizes: Sizes
    stopped_by: str
    needs: int


@dataclass(slots=True)
class Failures:
    """Stands for quarantine: documents that fail are counted, whatever is to become of them in a run.

    ``needs`` is the largest budget a document asked for that did not fit, in bytes.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: list[DocumentError] = field(default_factory=list)
    needs: int = 0

    def take(self, chunk: Chunk, _number: int, _document_id: Any, error: DocumentError) -> None:
        """Count a document of ``chunk`` that failed, and keep the first few failures."""
        self.needs = max(self.needs, error.needs if isinstance(error, DoesNotFitError) else 0)
        self.counts[error.reason] += 1
        if len(self.first) < SHOWN_FAILURES:
            self.first.append(error)
        chunk.quarantined += 1


class Rehearsal:
    """One rehearsal of one step, on the stretches of ``checkpoint``. Iterate it once, for its ``result``.

    ``client`` and ``sessions`` are those that write, where not nothing is to be written.
    """

    def __init__(
        self,
        backfill: Backfill,
        checkpoint: NoCheckpoint,
        sensor: Sensor,
        *,
        writers: int,
        client: Any = None,
        sessions: Sequence[ClientSession | None] = (),
        most: Most | None = None,
        stopped: Callable[[], bool] = never,
    ) -> None:
        self._backfill, self._checkpoint, self._sensor = backfill, checkpoint, sensor
        self._writers, self._most, self._stopped = writers, most, stopped
        self._client: Any = client or Unsent()
        self._sessions = sessions or [None] * writers
        self.failures = Failures()
        self._began, self._seconds = time.monotonic(), 0.0
        self._pipeline: Pipeline | None = None

    def __iter__(self) -> Iterator[ChunkResult]:
        """Yield each chunk once it is done with."""
        retry, checkpoint = Retry(stopped=self._stopped), cast("Checkpoint", self._checkpoint)
        quarantine = cast("Quarantine", self.failures)
        transformer = Transformer(self._backfill, quarantine, retry)
        compared = self._backfill.if_unchanged and self._sessions[0] is not None
        with BulkExecutor(
            self._client,
            checkpoint,
            transformer,
            sessions=self._sessions,
            guarded=self._backfill.scan if compared else None,
            retry=retry,
        ) as executor:
            self._pipeline = Pipeline(
                self._backfill,
                checkpoint,
                executor,
                transformer,
                self._sensor,
                writers=self._writers,
                stopped=self._stopped,
                retry=retry,
                most=self._most,
            )
            yield from self._pipeline
        self._seconds = time.monotonic() - self._began

    @property
    def result(self) -> Rehearsed:
        """What it took, once it was iterated to the end."""
        if self._pipeline is None:
            message = "nothing was rehearsed yet"
            raise ValueError(message)
        return Rehearsed(
            counts=self._checkpoint.counts,
            seconds=self._seconds,
            start=self._sensor.rss_start,
            peak=self._sensor.peak(),
            sizes=self._pipeline.sizes,
            stopped_by=self._pipeline.stopped_by,
            needs=self.failures.needs,
        )
