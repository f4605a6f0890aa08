"""Pages: replies of the server as bytes, decoded a little at a time, and how many documents to ask for.

What is asked for is ``scan``'s, in which bounds and for how long ``windows``'; how many bytes a page should
have is ``sizing``'s.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, Any

import bson
from bson.dbref import DBRef
from bson.errors import BSONError

from chunkmigrate import raw
from chunkmigrate.errors import UndecodableError
from chunkmigrate.raw import MalformedError
from chunkmigrate.retry import Retry
from chunkmigrate.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bson.codec_options import CodecOptions

    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

PAGE_DOCUMENTS = 1_000

# Of a collection nothing is known at first; the server cuts a reply at 16 MiB in any case.
FIRST_DOCUMENTS = 16
PAGES_ASKED = 8

# Small documents are decoded together, as the array they lie in: one call for a hundred of them costs half
# of a hundred calls. Expanded tenfold, this is still far less than one page.
TOGETHER_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """One reply of the server: a raw array of documents, and where each one ends."""

    array: memoryview
    ends: Sequence[int]

    @classmethod
    def of(cls, reply: bytes | memoryview) -> Page:
        """Find the documents of a ``find`` command's reply."""
        view = memoryview(reply)
        for name in (b"cursor", b"firstBatch"):
            start, _, end = raw.element(view, name)
            view = view[start:end]
        return cls(view, raw.ends(view))

    def __len__(self) -> int:
        """Return how many documents there are."""
        return len(self.ends) - 1

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the raw documents, as views that keep the whole page alive."""
        return map(self.document, range(len(self)))

    def document(self, index: int) -> memoryview:
        """Return one raw document, as a view that keeps the whole page alive."""
        return self.array[self.ends[index] + raw.head(index) : self.ends[index + 1]]

    def key(self, index: int) -> Key:
        """Return the ``_id`` of one document."""
        return raw.key_of(self.document(index))

    @property
    def weights(self) -> Iterable[int]:
        """The bytes of each document, with what lies in front of it."""
        return map(sub, self.ends[1:], self.ends)

    @property
    def through(self) -> Key:
        """The ``_id`` of the last document."""
        return self.key(len(self) - 1)

    @property
    def size(self) -> int:
        """Bytes of all documents."""
        return len(self.array)

    @property
    def largest(self) -> int:
        """Bytes of the largest document."""
        return max(self.weights)

    def decoded(self, options: CodecOptions[Any], start: int = 0) -> Iterator[Any]:
        """Yield the documents from ``start`` on decoded, no more than `TOGETHER_BYTES` or one at a time.

        Raises `UndecodableError` once the document that is no BSON is reached.
        """
        while start < len(self):
            stop = max(start + 1, bisect_right(self.ends, self.ends[start] + TOGETHER_BYTES) - 1)
            yield from self._together(start, stop, options)
            start = stop

    def _together(self, start: int, stop: int, options: CodecOptions[Any]) -> Iterable[Any]:
        if stop - start == 1:
            return (self.alone(start, options),)
        try:
            elements = self.array[self.ends[start] : self.ends[stop]]
            documents = list(bson.decode(raw.enclosed(elements), options).values())
        except BSONError:
            documents = []
        # One by one, so that the broken one has a name. A document with a field $ref looks like a
        # reference where it lies inside another document.
        if not documents or DBRef in map(type, documents):
            return (self.alone(index, options) for index in range(start, stop))
        return documents

    def alone(self, index: int, options: CodecOptions[Any]) -> Any:
        """Return one document decoded; `UndecodableError` where it is no BSON."""
        try:
            return bson.decode(self.document(index), options)
        except BSONError as error:
            shown = self._shown_id(index)
            raise UndecodableError.of(shown, shown, error) from error

    def _shown_id(self, index: int) -> str:
        try:
            return self.key(index).shown()
        except MalformedError:
            return "unknown"


NOTHING = Page(memoryview(b""), (0,))


class PageReader:
    """Reads page after page up to a bound, each of about as many bytes as asked.

    What a page will weigh is known only once it is here. Where documents are alike, the largest seen
    lately tells how many fit. Where they are not (or the caller cannot afford one wrong guess), the
    server is asked for the sizes of the next documents first. Measured on 50,000 documents: 4 µs each,
    and on documents of 15 MB as long as reading them.

    Whatever asks the server goes through ``retry`` and takes a bounded time. Where ``retry`` is stopped
    before there is an answer, or before a document that matches was found, `windows.Interrupted` is raised.
    """

    # A largest document of eight times the mean: a page sized for the largest would be mostly empty,
    # one sized for the mean eight times too heavy.
    UNEVEN = 8

    # How slowly a large document is forgotten, per page.
    FORGET = 0.9

    def __init__(self, scan: Scan, upto: Key, retry: Retry | None = None) -> None:
        self._upto = upto
        self._windows = Windows(scan, upto, retry or Retry())
        self._largest = self._mean = 0.0  # until a page has been seen
        self._uneven = False
        self._sizes: list[int] = []

    def expected(self, after: Key | None, page_bytes: int, *, measured: bool) -> int:
        """Return about how many bytes the next page will have."""
        if after == self._upto:
            return 0
        limit = self._limit(after, page_bytes, measured=measured)  # asks for the sizes, where it needs them
        return sum(self._sizes[:limit]) or page_bytes

    def read(self, after: Key | None, page_bytes: int, *, measured: bool) -> Page:
        """Return the page behind ``after``; an empty one once the bound is passed."""
        if after == self._upto:
            return NOTHING
        limit = self._limit(after, page_bytes, measured=measured)
        page = self._windows.page(after, limit)
        del self._sizes[: len(page)]
        if page:
            self._learn(page)
        return page

    def pages(self, after: Key | None, page_bytes: int, *, measured: bool) -> Iterator[Page]:
        """Yield page after page behind ``after``, up to the bound."""
        while page := self.read(after, page_bytes, measured=measured):
            yield page
            after = page.through

    def forget(self) -> None:
        """Forget what lies behind the last position: the next page may begin in front of it."""
        self._sizes.clear()

    def pass_over(self, after: Key | None) -> Key:
        """Return the ``_id`` of the document behind ``after``, which is not read; the bound where none is."""
        del self._sizes[:1]
        return next(iter(self._windows.keys(after, 1)), self._upto)

    def _limit(self, after: Key | None, page_bytes: int, *, measured: bool) -> int:
        if measured or self._uneven:
            if not self._sizes:
                self._sizes = self._windows.sizes(after, self._worth_asking(page_bytes))
            return _fitting(self._sizes, page_bytes)
        self._sizes.clear()
        if not self._largest:
            return FIRST_DOCUMENTS
        return max(1, min(PAGE_DOCUMENTS, int(page_bytes / self._largest)))

    def _worth_asking(self, page_bytes: int) -> int:
        """Return for how many sizes to ask: those of a few pages, for the server reads what it measures."""
        few = PAGES_ASKED * page_bytes / self._mean if self._mean else 0
        return max(FIRST_DOCUMENTS, min(PAGE_DOCUMENTS, int(few)))

    def _learn(self, page: Page) -> None:
        self._mean = page.size / len(page)
        self._largest = max(page.largest, self._largest * self.FORGET)
        self._uneven = self._largest > self.UNEVEN * self._mean


def _fitting(sizes: Sequence[int], page_bytes: int) -> int:
    total, fitting = 0, 0
    for size in sizes:
        total += size
        if total > page_bytes:
            break
        fitting += 1
    return max(1, fitting)
