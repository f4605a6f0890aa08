"""Scan: a resumable read of one collection, in ``_id`` order.

A scan describes what to read; it holds no cursor. Every page is one short ``find`` of its own, bounded
by two keys, so a read can stop anywhere and go on years later. Iterating a scan yields decoded documents
with flat memory. How large pages should be is decided elsewhere (``sizing``); writing is not its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import ExecutionTimeout

from chunkmigrate import raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from chunkmigrate.raw import Key

RAW = CodecOptions(document_class=RawBSONDocument)

PAGE_DOCUMENTS = 1_000
PLAIN_PAGE_BYTES = 1 << 20

# Whoever counts waits for the answer: a run must not stand still before it starts.
COUNT_MILLISECONDS = 2_000


@dataclass(frozen=True, slots=True)
class Scan:
    """What to read: made by `scan`."""

    collection: Collection[Any]
    filter: Mapping[str, Any]
    fields: tuple[str, ...] | None

    def __iter__(self) -> Iterator[Any]:
        """Yield the documents decoded, one at a time, in ``_id`` order."""
        upto = self.upper_bound()
        pages = () if upto is None else self._plain_pages(upto)
        for page in pages:
            for document in page:
                yield bson.decode(document, self.collection.codec_options)

    def _plain_pages(self, upto: Key) -> Iterator[Page]:
        reader, after = PageReader(self, upto), None
        while page := reader.read(after, PLAIN_PAGE_BYTES, measured=False):
            yield page
            after = page.through

    @property
    def namespace(self) -> str:
        """``database.collection``."""
        return self.collection.full_name

    def count(self) -> int | None:
        """Return how many documents match, or None when the server needs more than two seconds."""
        if not self.filter:
            return self.collection.estimated_document_count()
        try:
            return self.collection.count_documents(self.filter, maxTimeMS=COUNT_MILLISECONDS)
        except ExecutionTimeout:
            return None

    def upper_bound(self) -> Key | None:
        """Return the greatest ``_id`` of the collection now, or None when it is empty.

        The filter is left out on purpose: the bound is then one step into the index, whatever the filter
        would have had to look at.
        """
        command = {"find": self.collection.name, "sort": {"_id": -1}, "hint": {"_id": 1}, "limit": 1}
        found = self._find(command | {"projection": {"_id": 1}})
        return found.through if found else None

    def page(self, after: Key | None, upto: Key, limit: int) -> Page:
        """Return up to ``limit`` documents behind ``after`` and before ``upto``, both left out."""
        return self._find(self._projected(self._bounded(after, upto, limit)))

    def last(self, upto: Key) -> Page:
        """Return the document at ``upto`` itself, if it is there and matches."""
        return self._find(self._projected(self._command([upto.document()], 1)))

    def sizes(self, after: Key | None, upto: Key, limit: int) -> list[int]:
        """Return the bytes of the next documents as ``page`` would read them, at most ``limit`` of them.

        A dotted field counts with the whole of its outermost parent: never less than what is read.
        """
        command = self._bounded(after, upto, limit)
        command["projection"] = {"_id": 0, "size": {"$bsonSize": self._measured()}}
        return [bson.decode(found)["size"] for found in self._find(command)]

    def _projected(self, command: dict[str, Any]) -> dict[str, Any]:
        if self.fields is None:
            return command
        return command | {"projection": dict.fromkeys(self.fields, 1) | {"_id": 1}}

    def _measured(self) -> Any:
        if self.fields is None:
            return "$$ROOT"
        outermost = {field.partition(".")[0] for field in self.fields} | {"_id"}
        return {name: f"${name}" for name in sorted(outermost)}

    def _bounded(self, after: Key | None, upto: Key, limit: int) -> dict[str, Any]:
        # {_id: {$gt: x}} compares within x's BSON type only, and knows nothing of NaN or null; index
        # bounds compare as the index does. They include their lower end, hence the $ne: the server then
        # leaves out the one document read before.
        if after is None:
            return self._command([], limit) | {"max": upto.document()}
        unread = RawBSONDocument(bson.encode({"_id": after.document("$ne")}))
        bounds = {"min": after.document(), "max": upto.document()}
        return self._command([unread], limit) | bounds

    def _command(self, conditions: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
        filters = [self.filter, *conditions] if self.filter else list(conditions)
        return {
            "find": self.collection.name,
            "filter": {"$and": filters} if filters else {},
            "sort": {"_id": 1},
            "hint": {"_id": 1},
            "limit": limit,
            "singleBatch": True,
            "batchSize": limit,
        }

    def _find(self, command: dict[str, Any]) -> Page:
        reply = self.collection.database.command(command, codec_options=RAW)
        return Page.of(reply.raw)


def scan(
    collection: Collection[Any],
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - pymongo's own word for it
    *,
    fields: Sequence[str] | None = None,
) -> Scan:
    """Describe a read of ``collection``, in ``_id`` order.

    ``filter`` is an ordinary MongoDB filter. ``fields`` names what the transform needs (``_id`` always
    comes along); without it whole documents are read. Few fields are the cheapest way to a small pod.
    """
    if isinstance(fields, str):
        message = f"fields is a list of names, not one name: write fields=[{fields!r}]"
        raise TypeError(message)
    return Scan(collection, dict(filter or {}), None if fields is None else tuple(fields))


@dataclass(frozen=True, slots=True)
class Page:
    """One reply of the server, as bytes: its documents are raw, and views of it."""

    documents: Sequence[memoryview]

    @classmethod
    def of(cls, reply: bytes | memoryview) -> Page:
        """Find the documents of a ``find`` command's reply."""
        view = memoryview(reply)
        for name in (b"cursor", b"firstBatch"):
            start, _, end = raw.element(view, name)
            view = view[start:end]
        return cls(list(raw.documents(view)))

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the raw documents."""
        return iter(self.documents)

    def __len__(self) -> int:
        """Return how many documents there are."""
        return len(self.documents)

    @property
    def through(self) -> Key:
        """The ``_id`` of the last document."""
        return raw.key_of(self.documents[-1])

    @property
    def size(self) -> int:
        """Bytes of all documents."""
        return sum(map(len, self.documents))

    @property
    def largest(self) -> int:
        """Bytes of the largest document."""
        return max(map(len, self.documents))


class PageReader:
    """Reads page after page up to a bound, each of about as many bytes as asked.

    What a page will weigh is known only once it is here. Where documents are alike, the largest seen
    lately tells how many fit. Where they are not (or the caller cannot afford one wrong guess), the
    server is asked for the sizes of the next documents first. Measured on 50,000 documents: 4 µs each.
    """

    # A largest document of eight times the mean: a page sized for the largest would be mostly empty,
    # one sized for the mean eight times too heavy.
    UNEVEN = 8

    # How slowly a large document is forgotten, per page.
    FORGET = 0.9

    def __init__(self, scan: Scan, upto: Key) -> None:
        self._scan, self._upto = scan, upto
        self._largest = 0.0
        self._uneven = True  # until a page has been seen
        self._sizes: list[int] = []

    def expected(self, after: Key | None, page_bytes: int, *, measured: bool) -> int:
        """Return about how many bytes the next page will have."""
        if after == self._upto:
            return 0
        return sum(self._sizes[: self._limit(after, page_bytes, measured=measured)]) or page_bytes

    def read(self, after: Key | None, page_bytes: int, *, measured: bool) -> Page:
        """Return the page behind ``after``; an empty one once the bound is passed."""
        if after == self._upto:
            return Page(())
        limit = self._limit(after, page_bytes, measured=measured)
        page = self._scan.page(after, self._upto, limit)
        del self._sizes[: len(page)]
        if not page:
            return self._scan.last(self._upto)
        self._learn(page)
        return page

    def _limit(self, after: Key | None, page_bytes: int, *, measured: bool) -> int:
        if not (measured or self._uneven):
            self._sizes.clear()
            return max(1, min(PAGE_DOCUMENTS, int(page_bytes / self._largest)))
        if not self._sizes:
            self._sizes = self._scan.sizes(after, self._upto, PAGE_DOCUMENTS)
        return _fitting(self._sizes, page_bytes)

    def _learn(self, page: Page) -> None:
        self._largest = max(page.largest, self._largest * self.FORGET)
        self._uneven = self._largest > self.UNEVEN * page.size / len(page)


def _fitting(sizes: Sequence[int], page_bytes: int) -> int:
    total, fitting = 0, 0
    for size in sizes:
        total += size
        if total > page_bytes:
            break
        fitting += 1
    return max(1, fitting)
