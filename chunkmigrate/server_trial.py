"""Server trial: what a server-side update would do to a few documents, asked of the server and not done.

A pipeline is run as an aggregation, which changes nothing; an update document is foreseen, as the writes of a
function are. What a whole dry run says is ``dryrun``'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo import UpdateOne
from pymongo.errors import OperationFailure

from chunkmigrate import differences
from chunkmigrate.errors import WriteRefusedError
from chunkmigrate.foresight import Foresight, beside, foresee
from chunkmigrate.pages import PageReader
from chunkmigrate.previews import PREVIEWS, Preview
from chunkmigrate.ranged import Ranged, is_a_documents, refusal
from chunkmigrate.records import Counts
from chunkmigrate.rehearsal import SHOWN_FAILURES
from chunkmigrate.scan import RAW
from chunkmigrate.sizing import MIN_PAGE_BYTES
from chunkmigrate.widths import TARGET_SECONDS
from chunkmigrate.windows import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.foresight import Reading
    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key

# Each is a question of its own to the server.
SAMPLE = 200

# What an update takes the server for each document: 7 µs for one of 40 bytes, up to 62 for one of 3.6 KB.
LEAST_SECONDS, MOST_SECONDS = 5e-6, 80e-6


@dataclass(slots=True)
class ServerTrial:
    """What came of it: ``failures`` by reason, the ``first`` of them, ``previews`` of what would change."""

    counts: Counts = field(default_factory=Counts)
    failures: Counter[str] = field(default_factory=Counter)
    first: list[DocumentError] = field(default_factory=list)
    previews: list[Preview] = field(default_factory=list)

    def failed(self, error: DocumentError) -> None:
        """Count a document the server would refuse."""
        self.failures[error.reason] += 1
        self.first = [*self.first, error][:SHOWN_FAILURES]
        self.counts += Counts(read=1, quarantined=1)

    def seen(self, key: Key, seen: Foresight, *, show_values: bool) -> None:
        """Count a document the server would update, or leave as it is."""
        changes = seen.before != seen.after or bool(seen.unclear or seen.apart)
        self.counts += Counts(read=1, written=changes, writes=changes)
        if changes and len(self.previews) < PREVIEWS:
            self.previews.append(
                Preview(key.shown(), tuple(differences.lines(seen, show_values=show_values)))
            )


def tried(backfill: Backfill, sample: int | None, *, show_values: bool) -> ServerTrial:
    """Try the update on the first ``sample`` documents that match; nothing is written.

    Raises `UsageError` where the server can do it to no document.
    """
    Ranged.of(backfill).check()
    trial, reading = ServerTrial(), differences.reading_of(replace(backfill.scan, fields=None))
    for key, document in islice(_documents(backfill), SAMPLE if sample is None else sample):
        try:
            seen = _foreseen(backfill, reading, key, document)
        except OperationFailure as error:
            if not is_a_documents(error):
                raise
            trial.failed(refusal(key, error))
            continue
        if seen.refused:
            trial.failed(_refused(key, seen.refused.reason))
        else:
            trial.seen(key, seen, show_values=show_values)
    return trial


def span(documents: int) -> tuple[float, float]:
    """Return from least to most how many seconds it takes the server to update so many documents."""
    return documents * LEAST_SECONDS, documents * MOST_SECONDS + TARGET_SECONDS


def _refused(key: Key, reason: str) -> DocumentError:
    return WriteRefusedError(
        key.shown(), f"MongoDB would refuse the update of document _id {key.shown()}: {reason}."
    )


def _documents(backfill: Backfill) -> Iterator[tuple[Key, bytes]]:
    scan = replace(backfill.scan, fields=None)
    upto = scan.upper_bound()
    if upto is None:
        return
    pages = PageReader(scan, upto).pages(None, MIN_PAGE_BYTES, measured=True)
    yield from chain.from_iterable(map(_of_page, pages))


def _of_page(page: Page) -> Iterator[tuple[Key, bytes]]:
    for index in range(len(page)):
        yield page.key(index), bytes(page.document(index))


def _foreseen(backfill: Backfill, reading: Reading, key: Key, document: bytes) -> Foresight:
    update: Any = backfill.server
    if isinstance(update, Mapping):
        write = UpdateOne(key.document(), update)
        return foresee(document, reading, [differences.statement_of(write, backfill.scan.collection)])
    with pymongo.timeout(READ_SECONDS):
        stages = [{"$match": key.document()}, *update]
        found = [*backfill.scan.collection.with_options(RAW).aggregate(stages)]
    return beside(document, found[0].raw if found else document)
