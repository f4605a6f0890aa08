"""A step: one backfill of a migration, or one partition of it, attempted until it is done or the run ends.

Puts together what an attempt needs, and begins again with smaller chunks where the server could not take
one. What a run does around its steps (lease, ledger, pauses) is ``runner``'s business.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

import pymongo

from chunkmigrate import checkpoint, quarantine, server, sizing, undoing
from chunkmigrate.errors import ChunkTooMuchError, UsageError
from chunkmigrate.executor import BulkExecutor
from chunkmigrate.pipeline import Pipeline
from chunkmigrate.quarantine import Quarantine, judge
from chunkmigrate.ranged import Ranged
from chunkmigrate.records import Counts, Place
from chunkmigrate.retry import Retry, is_conflict, overload_backoff
from chunkmigrate.serverside import ServerSide
from chunkmigrate.settings import MAX_WRITERS
from chunkmigrate.throttle import Throttle, explaining
from chunkmigrate.transforming import Transformer
from chunkmigrate.turn import Turn
from chunkmigrate.unclean import unclean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.client_session import ClientSession

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.context import Context
    from chunkmigrate.lease import Lease
    from chunkmigrate.lease_reading import Former
    from chunkmigrate.pipeline import ChunkResult
    from chunkmigrate.throttle import Reason


# Counting what a filter matches takes the server a microsecond a document or more: a run that is over
# before anybody asks how long it will take should not pay for the answer.
COUNT_AFTER_SECONDS = 3.0

# How many documents may have been at work when a run died: a chunk of each writer, and the one being built.
AT_WORK = (MAX_WRITERS + 1) * sizing.MAX_CHUNK_DOCUMENTS


class Step:
    """One step of a run. Iterate it once; ``stopped_by`` then says why it ended early, if it did.

    Of a step that is shared it is one ``partition``, whose ``lease`` is held; ``learned`` are the sizes of
    the one before.

    ``was_done``: an earlier run had finished it.

    ``former`` is the holder of the lease whose run ended without a word, if that was so.
    """

    def __init__(
        self,
        context: Context,
        number: int,
        backfill: Backfill,
        former: Former | None = None,
        *,
        lease: Lease | None = None,
        partition: int = 0,
        learned: sizing.Sizes | None = None,
    ) -> None:
        self._context, self.number, self._backfill, self._former = context, number, backfill, former
        self._place, self._learned = Place(context.migration, number, partition), learned
        self.lease = lease or context.lease
        self._checkpoint: Checkpoint | None = None
        self._before: Counts | None = None
        predicate = None if backfill.throttle is None else explaining(backfill.throttle)
        self._throttle = Throttle(context.probe, max_rate=context.max_rate, predicate=predicate)
        self._retry = Retry(stopped=context.stopped, noticed=self._noticed)
        self.stopped_by = ""
        self.was_done = False
        self._total: int | None = None
        self._count_at = time.monotonic() + COUNT_AFTER_SECONDS

    def __iter__(self) -> Iterator[ChunkResult]:
        """Yield each chunk as the server acknowledges it."""
        self._check_server()
        context, sizes, died = self._context, None, self._former
        while True:
            claimed = self._claim(sizes, died=died is not None)
            if died and not claimed.done:
                context.note("unclean_end", unclean(died, claimed))
            if claimed.done:
                self.was_done = True
                return
            claimed.sizes = claimed.sizes or self._learned
            self._retry(partial(undoing.settle, context, self.number, self._backfill))
            self._retry(self._backfill.scan.check)
            careful = AT_WORK if died or claimed.deaths else 0
            try:
                yield from self._attempt(claimed, careful)
            except ChunkTooMuchError as error:
                sizes = sizing.fewer(
                    claimed.sizes or sizes or _full(), error.documents // 2, sizing.MAX_CHUNK_BYTES
                )
                died = None
                self._context.note(
                    "smaller_chunks", f"{error.discreet} Going on with {sizes.chunk_documents:,} at a time."
                )
            else:
                return

    @property
    def position(self) -> str | None:
        """The ``_id`` up to which everything is done, as text."""
        position = self._checkpoint.position if self._checkpoint else None
        return None if position is None else undoing.shown(self._context, position)

    @property
    def sizes(self) -> sizing.Sizes | None:
        """The sizes the last attempt has come to."""
        return self._checkpoint.sizes if self._checkpoint else None

    @property
    def gained(self) -> Counts:
        """What this run has done of the step."""
        if self._checkpoint is None or self._before is None:
            return Counts()
        return self._checkpoint.counts - self._before

    def total(self) -> int | None:
        """Return about how many documents this run will read of the step; None while that is not known."""
        if time.monotonic() >= self._count_at:
            self._count_at = math.inf
            left = self._left()
            self._total = None if left is None else self.gained.read + left
        return self._total

    def _left(self) -> int | None:
        scan = self._backfill.scan
        if self._checkpoint is None or self._place.partition:
            return None  # what is left of a partition says nothing of the step
        if scan.filter:
            return scan.count(self._checkpoint.position)
        total = scan.count()
        return None if total is None else max(0, total - self._checkpoint.counts.read)

    def _attempt(self, claimed: Checkpoint, careful: int) -> Iterator[ChunkResult]:
        by_server = self._backfill.server is not None
        yield from self._by_server(claimed) if by_server else self._through_pod(claimed, careful)
        if not self.stopped_by:
            judge(Counts(read=claimed.counts.read, quarantined=self._aside()), ended=True)
        claimed.save(done=not self.stopped_by)

    def _by_server(self, claimed: Checkpoint) -> Iterator[ChunkResult]:
        context = self._context
        attempt = ServerSide(
            Ranged.of(self._backfill),
            claimed,
            self._quarantine(),
            context.sensor,
            session=context.sessions[1],
            stopped=self._is_stopped,
            retry=self._retry,
            throttle=self._throttle,
            turn=Turn(self._throttle, stopped=self._is_stopped, paused=self._paused, waited=self._waited),
            most=context.most.chunk_documents if context.most else None,
        )
        yield from self._judged(attempt)
        self.stopped_by = attempt.stopped_by

    def _through_pod(self, claimed: Checkpoint, careful: int) -> Iterator[ChunkResult]:
        context, backfill = self._context, self._backfill
        transformer = Transformer(backfill, self._quarantine(), self._retry)
        executor = BulkExecutor(
            context.database.client,
            claimed,
            transformer,
            sessions=context.sessions[1:],
            guarded=backfill.scan if backfill.if_unchanged else None,
            retry=self._retry,
            sender=undoing.sender(context, backfill),
        )
        with executor:
            pipeline = Pipeline(
                backfill,
                claimed,
                executor,
                transformer,
                context.sensor,
                writers=context.writers,
                stopped=self._is_stopped,
                retry=self._retry,
                throttle=self._throttle,
                paused=self._paused,
                waited=self._waited,
                careful=careful,
                most=undoing.most(context, backfill),
            )
            yield from self._judged(pipeline)
        self.stopped_by = pipeline.stopped_by

    def _judged(self, results: Iterable[ChunkResult]) -> Iterator[ChunkResult]:
        for result in results:
            judge(self.gained, ended=False)
            yield result

    def _claim(self, sizes: sizing.Sizes | None, *, died: bool) -> Checkpoint:
        context = self._context

        def claim(session: ClientSession | None) -> Checkpoint:
            return checkpoint.claim(
                context.database,
                self._place,
                self._backfill.scan,
                slots=context.writers,
                advance=self.lease.advance,
                session=session,
                died=died,
                sizes=sizes,
                retry=self._retry,
            )

        session = context.sessions[0]
        if session:
            claimed = server.transact(session, claim, self._retry)
        else:
            with pymongo.timeout(server.ATTEMPT_SECONDS):
                claimed = claim(None)
        self._before = self._before or claimed.counts
        self._checkpoint = claimed
        return claimed

    def _aside(self) -> int:
        """Count the documents of the step that are in quarantine now: some may have been taken out again."""
        context = self._context
        return self._retry(lambda: quarantine.count(context.database, context.migration, self.number))

    def _quarantine(self) -> Quarantine:
        return Quarantine(
            database=self._context.database.name,
            migration=self._context.migration,
            step=self.number,
            namespace=self._backfill.scan.namespace,
            run=self._context.run,
            enabled=self._backfill.on_error == "quarantine",
            limit=self._backfill.quarantine_limit,
            options=self._backfill.scan.collection.codec_options,
            taken=self._aside(),
        )

    def _check_server(self) -> None:
        if self._backfill.if_unchanged and self._context.sessions[0] is None:
            message = (
                "if_unchanged needs transactions, and this server is standalone: between comparing a "
                "document and writing it somebody could edit it. Use a replica set (one member is enough)."
            )
            raise UsageError(message)
        undoing.check_server(self._context, self._backfill)

    def _is_stopped(self) -> bool:
        return self._context.stopped() or self.lease.lost or bool(self._context.lease.asked)

    def _noticed(self, error: Exception, pause: float) -> None:
        backoff = overload_backoff(error)
        if backoff is not None:
            self._throttle.overloaded(backoff)
        # Conflicts are daily business between writers: they are counted, and nobody is told.
        said = "" if is_conflict(error) else f"{server.reason(error)}; trying again in {pause:.1f} s."
        self._context.note("retrying", said, seconds=round(pause, 3))

    def _paused(self, reason: Reason) -> None:
        self._context.note("throttled", str(reason), signal=reason.signal)

    def _waited(self, reason: Reason, seconds: float) -> None:
        self._context.note("throttled", "", signal=reason.signal, seconds=seconds)


def _full() -> sizing.Sizes:
    return sizing.Sizes(chunk_bytes=sizing.MAX_CHUNK_BYTES, page_bytes=sizing.MAX_PAGE_BYTES)
