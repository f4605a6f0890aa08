"""Previews: what would become of a few documents, as lines that show before and after.

Each is read, transformed and foreseen alone; nothing is sent. What an update does to a document is
``foresight``'s to know, how it is spelled ``differences``'.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from chunkmigrate import differences
from chunkmigrate.backfill import writes_of
from chunkmigrate.errors import UndecodableError
from chunkmigrate.foresight import foresee
from chunkmigrate.pages import PageReader
from chunkmigrate.sizing import MIN_PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.frontier import Segment
    from chunkmigrate.pages import Page

PREVIEWS = 3
# Where the first documents need nothing, others may; but nobody waits for a preview.
LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Preview:
    """One document, by its ``_id`` as text, and what would change in it."""

    document: str
    lines: tuple[str, ...]


def previews(backfill: Backfill, stretches: Sequence[Segment], *, show_values: bool) -> tuple[Preview, ...]:
    """Return what would become of the first documents that anything would become of.

    Documents that fail are passed over; they are counted elsewhere.
    """
    found = chain.from_iterable(
        _of_page(backfill, page, show_values=show_values) for page in _pages(backfill, stretches)
    )
    looked_at = islice(found, LOOKED_AT)
    return tuple(islice((one for one in looked_at if one is not None), PREVIEWS))


def _pages(backfill: Backfill, stretches: Sequence[Segment]) -> Iterator[Page]:
    for stretch in stretches:
        reader = PageReader(backfill.scan, stretch.upto)
        yield from reader.pages(stretch.after, MIN_PAGE_BYTES, measured=True)


def _of_page(backfill: Backfill, page: Page, *, show_values: bool) -> Iterator[Preview | None]:
    """Yield a preview of each document, None of one that fails or needs nothing."""
    for index in range(len(page)):
        try:
            yield _preview(backfill, page, index, show_values=show_values)
        except (Exception, SystemExit):
            yield None


def _preview(backfill: Backfill, page: Page, index: int, *, show_values: bool) -> Preview | None:
    try:
        document = page.alone(index, backfill.scan.collection.codec_options)
    except UndecodableError:
        return None
    if backfill.transform:
        answer = backfill.transform(document)
    elif backfill.each_chunk:
        answer = backfill.each_chunk([document])
    statements = [differences.statement_of(write, backfill.target) for write in writes_of(answer)]
    if not statements:
        return None
    seen = foresee(bytes(page.document(index)), differences.reading_of(backfill.scan), statements)
    lines = differences.lines(seen, show_values=show_values)
    return Preview(page.key(index).shown(), tuple(lines))
