"""Readmission: documents in quarantine are migrated again, one transaction for each.

What succeeds leaves quarantine in the transaction that writes it; what fails again stays, with the new
reason. The position of the step is not touched: it has passed these documents.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pymongo

from chunkmigrate import quarantine, server, sizing, undoing
from chunkmigrate.asides import unfit
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import DocumentError, UndecodableError
from chunkmigrate.memory import trim
from chunkmigrate.quarantine import Quarantine
from chunkmigrate.ranged import Ranged, is_a_documents, refusal
from chunkmigrate.records import Counts
from chunkmigrate.retry import Retry, is_too_much
from chunkmigrate.sending import FAILURES, RefusedError, send_all
from chunkmigrate.transforming import Transformer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.client_session import ClientSession

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.context import Context
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan
    from chunkmigrate.sending import Sender


T = TypeVar("T")


class Readmission:
    """One pass over what is in quarantine. ``counts`` is what it did: ``quarantined`` failed again."""

    def __init__(self, context: Context, steps: Sequence[Backfill]) -> None:
        self._context, self._steps = context, steps
        self._retry = Retry(stopped=context.stopped)
        self._step, self._after = 0, None  # type: tuple[int, Key | None]
        self._found: int | None = None
        self.counts = Counts()

    @property
    def ended(self) -> bool:
        """Whether every document was tried."""
        return self._step == len(self._steps)

    @property
    def stay(self) -> int | None:
        """How many documents are still in quarantine, those of every step; None where that is not known."""
        return None if self._found is None else self._found - (self.counts.read - self.counts.quarantined)

    def run(self) -> None:
        """Try every document once, until the run is asked to stop or an operator asks for something.

        Called again it goes on, and asks anew what is in quarantine: others may have run in the meantime.
        """
        left = self._retry(lambda: quarantine.count(self._context.database, self._context.migration))
        self._found = left + self.counts.read - self.counts.quarantined
        while not self.ended:
            if not self._one_step(self._steps[self._step]):
                return
            self._step, self._after = self._step + 1, None

    def _one_step(self, backfill: Backfill) -> bool:
        """Try the documents of one step that are left; return whether that was all of them."""
        context, kept = self._context, self._quarantine(self._step, backfill)
        for key in quarantine.waiting(
            context.database, context.migration, self._step, after=self._after, retry=self._retry
        ):
            if context.stopped() or context.lease.asked:
                return False
            self.counts += self._again(backfill, kept, key)
            self._after = key
        return True

    def _quarantine(self, number: int, backfill: Backfill) -> Quarantine:
        return Quarantine(
            database=self._context.database.name,
            migration=self._context.migration,
            step=number,
            namespace=backfill.scan.namespace,
            run=self._context.run,
            enabled=True,
            limit=2**31,
            options=backfill.scan.collection.codec_options,
        )

    def _again(self, backfill: Backfill, kept: Quarantine, key: Key) -> Counts:
        try:
            return self._in_transaction(lambda session: self._migrate(backfill, kept, key, session))
        except RefusedError as error:
            refused = error.error
        self._in_transaction(lambda session: self._keep(kept, key, refused, session))
        return Counts(read=1, quarantined=1)

    def _in_transaction(self, work: Callable[[ClientSession | None], T]) -> T:
        session = self._context.sessions[0]
        if session:
            return server.transact(session, work, self._retry)
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            return work(None)

    def _migrate(
        self, backfill: Backfill, kept: Quarantine, key: Key, session: ClientSession | None
    ) -> Counts:
        self._context.lease.advance(session)
        if backfill.server is not None:
            return self._by_server(backfill, kept, key, session)
        chunk = Chunk(0, None, key)
        too_large = self._too_large(backfill.scan, key)
        if too_large:
            Transformer(backfill, kept).set_aside(chunk, key, too_large)
        page = None if too_large else backfill.scan.last(key, session=session)
        if page:
            transformer = Transformer(backfill, kept)
            try:
                decode = partial(page.alone, 0, backfill.scan.collection.codec_options)
                if transformer.joined:
                    transformer.add_joined(chunk, [decode()], [bytes(page.document(0))])
                else:
                    transformer.add(chunk, decode(), decode)
            except UndecodableError as error:
                transformer.set_aside(chunk, key, error)
        if not chunk.aside:
            chunk.add(f"{kept.database}.{quarantine.COLLECTION}", "delete", kept.release(key), 0)
        self._sender(backfill)(chunk, session)
        return Counts(
            read=1,
            written=chunk.written,
            writes=chunk.writes - (not chunk.aside),
            quarantined=chunk.quarantined,
        )

    def _by_server(
        self, backfill: Backfill, kept: Quarantine, key: Key, session: ClientSession | None
    ) -> Counts:
        chunk = Chunk(0, None, key)
        try:
            done = Ranged.of(backfill).apply_to(key, session)
        except FAILURES as error:
            if is_a_documents(error) or is_too_much(error):
                raise RefusedError(0, refusal(key, error)) from error
            raise
        chunk.add(f"{kept.database}.{quarantine.COLLECTION}", "delete", kept.release(key), 0)
        send_all(self._context.database.client, chunk, session)
        return Counts(read=1, written=done.modified, writes=done.modified)

    def _too_large(self, scan: Scan, key: Key) -> DocumentError | None:
        """Return what is wrong with a document that does not fit into memory; it must not be read."""
        size = sum(scan.last_size(key))
        if size < sizing.LARGE_BYTES:
            return None
        trim()  # what the one before it has left
        more, reading = sizing.needed_unread(size, sizing.LEAST_EXPANSION), self._context.sensor.read()
        fits = sizing.fits(reading.used + more, reading.budget)
        return None if fits else unfit(key, size, more, reading).error

    def _keep(
        self,
        kept: Quarantine,
        key: Key,
        error: DocumentError,
        session: ClientSession | None,
    ) -> None:
        self._context.lease.advance(session)
        chunk = Chunk(0, None, key)
        kept.take(chunk, 0, key, error)
        send_all(self._context.database.client, chunk, session)

    def _sender(self, backfill: Backfill) -> Sender:
        return undoing.sender(self._context, backfill) or partial(send_all, self._context.database.client)
