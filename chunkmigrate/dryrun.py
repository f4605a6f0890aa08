"""The dry run: a migration read and transformed for real, and nothing of it written.

A generator of `Progress`, as a run is; afterwards ``steps`` say what each step would do. It holds no lease,
leaves no record, and the server is asked through a client that sends nothing which writes. How the loop goes
without writing is ``rehearsal``'s business, how it looks ``summary``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate import sampling, server_trial, widths
from chunkmigrate.errors import WouldWriteError
from chunkmigrate.frontier import Segment
from chunkmigrate.indexes import index_use
from chunkmigrate.memory import return_large_buffers
from chunkmigrate.outcome import Progress
from chunkmigrate.preflight import check_budget
from chunkmigrate.previews import previews
from chunkmigrate.readonly import Refused
from chunkmigrate.records import Counts
from chunkmigrate.rehearsal import NoCheckpoint, Rehearsal
from chunkmigrate.stages import Stages
from chunkmigrate.tuning import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.indexes import IndexUse
    from chunkmigrate.memory import Sensor
    from chunkmigrate.migration import Migration
    from chunkmigrate.pipeline import ChunkResult
    from chunkmigrate.previews import Preview
    from chunkmigrate.sizing import Most


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreseen:
    """What one step would do. ``documents`` are those that match, where that is known.

    ``whole``: all of them were read, so that the counts are those of a run. ``failures`` are counted by
    reason, ``first`` has the sentences of the first few; ``stops``: a run would stop at the first.
    A chunk has at most ``chunk_documents`` and about ``chunk_bytes`` to write; ``peak`` is the bytes of this
    process at its highest, and ``seconds`` how long a run takes, from least to most, where that is known.
    """

    namespace: str
    documents: int | None
    whole: bool
    counts: Counts
    failures: Mapping[str, int]
    first: tuple[str, ...]
    stops: bool
    chunk_documents: int
    chunk_bytes: int
    peak: int
    budget: int
    stopped_by: str
    seconds: tuple[float, float] | None
    previews: tuple[Preview, ...]
    index: IndexUse


class DryRun:
    """One dry run of one migration. Iterate it once.

    ``sample`` is about how many documents of each step to take, None all of them. ``show_values``: what
    documents hold is shown, too.
    """

    def __init__(
        self,
        migration: Migration,
        database: Database[Any],
        sensor: Sensor,
        *,
        writers: int,
        sample: int | None = None,
        most: Most | None = None,
        stopped: Callable[[], bool],
        show_values: bool = False,
    ) -> None:
        self.migration, self._database, self._sensor = migration, database, sensor
        self._writers, self._sample, self._most, self._stopped = writers, sample, most, stopped
        self._done, self._show_values = Counts(), show_values
        self.steps: list[Foreseen] = []

    def __iter__(self) -> Iterator[Progress]:
        """Go through the migration, yielding after each chunk.

        Raises `WouldWriteError` where the author's code writes by itself, `UsageError` and what a run raises
        that cannot read.
        """
        check_budget(self._sensor.budget, self._sensor.rss_start)
        return_large_buffers()
        try:
            steps = self.migration.steps(self._database)
            for number, backfill in enumerate(steps):
                if not self._stopped() and backfill.server is not None:
                    self.steps.append(self._by_server(backfill))
                elif not self._stopped():
                    yield from self._step(number, len(steps), backfill)
        except Refused as error:
            raise WouldWriteError(self.migration.name, error.command) from error

    def _step(self, number: int, steps: int, backfill: Backfill) -> Iterator[Progress]:
        stretches, pace, documents = self._chosen(backfill)
        checkpoint = NoCheckpoint(stretches)
        rehearsal = Rehearsal(
            backfill,
            checkpoint,
            self._sensor,
            writers=self._writers,
            most=self._most,
            stopped=self._stopped,
        )
        for result in rehearsal:
            yield self._progress(number, steps, checkpoint.counts, result)
        self._done += checkpoint.counts
        self.steps.append(self._foreseen(backfill, stretches, rehearsal, pace, documents))

    def _foreseen(
        self,
        backfill: Backfill,
        stretches: Sequence[Segment],
        rehearsal: Rehearsal,
        pace: float,
        documents: int | None,
    ) -> Foreseen:
        taken = rehearsal.result
        whole, read = self._sample is None and not taken.stopped_by, taken.counts.read
        if whole and read:
            documents, pace = read, taken.seconds / read
        writes = taken.counts.writes / max(1, read)
        chunk = min(taken.sizes.chunk_documents, documents or read)
        return Foreseen(
            namespace=backfill.scan.namespace,
            documents=documents,
            whole=whole,
            counts=taken.counts,
            failures=dict(rehearsal.failures.counts),
            first=tuple(map(self._said, rehearsal.failures.first)),
            stops=backfill.on_error == "stop",
            chunk_documents=chunk,
            chunk_bytes=taken.sizes.chunk_bytes,
            peak=taken.peak,
            budget=self._sensor.budget.size,
            stopped_by=taken.stopped_by,
            seconds=span(documents, pace, writes) if documents is not None and pace else None,
            previews=previews(backfill, stretches, show_values=self._show_values),
            index=index_use(backfill.scan),
        )

    def _by_server(self, backfill: Backfill) -> Foreseen:
        scan, trial = backfill.scan, server_trial.tried(backfill, self._sample, show_values=self._show_values)
        documents, size = scan.count(), scan.average_size()
        most = widths.start(None, size, self._most.chunk_documents if self._most else None).most
        self._done += trial.counts
        return Foreseen(
            namespace=scan.namespace,
            documents=documents,
            whole=documents == trial.counts.read,
            counts=trial.counts,
            failures=trial.failures,
            first=tuple(map(self._said, trial.first)),
            stops=backfill.on_error == "stop",
            chunk_documents=min(most, documents or most),
            chunk_bytes=most * size,
            peak=self._sensor.peak(),
            budget=self._sensor.budget.size,
            stopped_by="",
            seconds=None if documents is None else server_trial.span(documents),
            previews=tuple(trial.previews),
            index=index_use(scan),
        )

    def _said(self, error: DocumentError) -> str:
        return error.aside(show_values=self._show_values)

    def _chosen(self, backfill: Backfill) -> tuple[tuple[Segment, ...], float, int | None]:
        """Return what to read, the seconds a document takes where only some are, and how many there are."""
        scan = backfill.scan
        if self._sample is None:
            upto = scan.upper_bound()
            return (Segment(None, upto),) if upto else (), 0.0, None
        chosen, stages = sampling.sample(scan, self._sample), Stages()
        stages.measure(backfill, chosen.long)
        documents = chosen.census.documents if chosen.census else scan.count()
        return chosen.all, sum(stages.seconds().values()), documents

    def _progress(self, number: int, steps: int, counts: Counts, result: ChunkResult) -> Progress:
        return Progress(
            step=number + 1,
            steps=steps,
            counts=self._done + counts,
            step_read=counts.read,
            total=None,
            result=result,
        )
