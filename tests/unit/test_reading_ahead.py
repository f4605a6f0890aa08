"""Reading ahead: the pages of a segment in turn, the next one read early where there is room for both."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout

from chunkmigrate.asides import Aside
from chunkmigrate.documents import READ_AHEAD_SHARE
from chunkmigrate.errors import DoesNotFitError
from chunkmigrate.pages import FIRST_DOCUMENTS, NOTHING
from chunkmigrate.sizing import MIB, Sizes
from chunkmigrate.windows import Interrupted
from tests.unit.making import Stored, key
from tests.unit.rooms import Room, documents_of, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key

PAGES = Sizes(chunk_bytes=MIB, page_bytes=1_000)


class Watched(Stored):
    """A scan that tells when its second page is read, and fails then, if it is to."""

    def __init__(self, documents: list[bytes], error: Exception | None = None) -> None:
        super().__init__(documents)
        self.second, self.error = Event(), error

    def page(self, after: Key | None, upto: Key, limit: int) -> Page:
        if self.read:
            self.second.set()
            if self.error:
                raise self.error
        return super().page(after, upto, limit)


@pytest.mark.parametrize("headroom", [900 * MIB, 10 * MIB, 1])
def test_all(headroom: int) -> None:
    """All documents come, each once and in order, the one at the bound last; then there is no position left
    to go to.
    """
    documents = documents_of(Room(headroom=headroom, sizes=PAGES), Stored(stored(200)))
    found, through = [], []
    for page in documents.pages():
        found += [document["_id"] for _, document, _ in documents.of(page)]
        through.append(documents.through == key(found[-1]))

    assert found == [*range(200)]
    assert all(through)
    assert len(through) > 4


def test_ahead() -> None:
    """While a page is worked on the next one is read."""
    scan = Watched(stored(200))
    pages = documents_of(Room(sizes=PAGES), scan).pages()
    next(pages)

    assert scan.second.wait(10)
    pages.close()


def test_not_ahead() -> None:
    """Where a page takes more than its share of the room, the next one is read when it is done with."""
    scan = Watched(stored(200))
    room = Room(sizes=PAGES, headroom=READ_AHEAD_SHARE * 300)
    pages = documents_of(room, scan).pages()
    first = next(pages)

    assert first.size > room.headroom // READ_AHEAD_SHARE
    assert not scan.second.wait(0.05)
    assert next(pages)
    assert scan.second.is_set()
    pages.close()


def test_room_for_reply() -> None:
    """Before a page is read there is made room for it twice: a reply is held twice while it is received."""
    room = Room(sizes=PAGES)
    pages = documents_of(room, Stored(stored(200))).pages()
    next(pages)

    assert room.all("room")[0][:2] == ("room", 2 * PAGES.page_bytes)
    pages.close()


@pytest.mark.parametrize("large", [[0], [3], [5], [2, 3], [0, 5]], ids=str)
def test_unfit(large: list[int]) -> None:
    """A document that memory does not hold even while it is read is set aside in its place, by its _id, and
    never read.
    """
    every = [bson.encode({"_id": n, "pad": bytes(3 * MIB * (n in large))}) for n in range(6)]
    scan, room = Stored(every), Room(used=45 * MIB, budget=50 * MIB, headroom=MIB)
    documents = documents_of(room, scan)
    found = [(page, [one for _, one, _ in documents.of(page)]) for page in documents.pages()]
    flat = [one for _, all_ in found for one in all_]

    assert [place for place, one in enumerate(flat) if isinstance(one, Aside)] == large
    assert [one["_id"] for one in flat if not isinstance(one, Aside)] == [
        n for n in range(6) if n not in large
    ]
    assert all(flat[place].key == key(place) for place in large)
    assert all(isinstance(flat[place].error, DoesNotFitError) for place in large)
    assert not {number for read in scan.read for number in read} & set(large)
    assert documents.through == key(5)


def test_stop() -> None:
    """A run that is to end gets no further page."""
    room = Room(sizes=PAGES)
    documents = documents_of(room, Stored(stored(200)))
    count = 0
    for page in documents.pages():
        count += len(page)
        room.asked = True

    assert count == FIRST_DOCUMENTS
    assert documents.through == key(FIRST_DOCUMENTS - 1)


def test_stop_while_reading() -> None:
    """A stop while a page is asked for in vain ends the pages quietly, at the last one there was."""
    room = Room(sizes=PAGES)
    scan = Watched(stored(200), AutoReconnect("gone"))
    documents = documents_of(room, scan, stopped=scan.second.is_set)

    def stopped(page: Page | Aside) -> int:
        room.asked = scan.second.wait(10)
        return len(page)  # type: ignore[arg-type]

    assert [stopped(page) for page in documents.pages()] == [FIRST_DOCUMENTS]
    assert documents.through == key(FIRST_DOCUMENTS - 1)


class Nothing:
    """A reader that finds nothing up to a document, and is stopped there."""

    def expected(self, *_: Any, **__: Any) -> int:
        return 0

    def read(self, *_: Any, **__: Any) -> Page:
        raise Interrupted(key(9))


def test_stop_in_nothing() -> None:
    """A stop where nothing matches leaves the position as far as it was looked."""
    documents = documents_of(Room(asked=True), Stored(stored(200)))
    documents._reader = Nothing()  # type: ignore[assignment]

    assert list(documents.pages()) == []
    assert documents.through == key(9)


def test_failure() -> None:
    """What goes wrong on the reader's thread is raised where pages are asked for, after those before it."""
    scan = Watched(stored(200), ValueError("bad"))
    found: list[Any] = []
    with pytest.raises(ValueError, match="bad"):
        found.extend(documents_of(Room(sizes=PAGES), scan).pages())

    assert len(found) == 1


def test_stop_taken_back() -> None:
    """A stop that ended the reading ends the run, also where nobody asks for it any more."""
    room, scan = Room(sizes=PAGES), Watched(stored(200), AutoReconnect("gone"))
    pages = [*documents_of(room, scan, stopped=scan.second.is_set).pages()]

    assert len(pages) == 1
    assert room.all("stop") == [("stop",)]


class Barren(Stored):
    """A scan with nothing behind its first page, in more windows than a test has time for."""

    WINDOWS = 40_000

    def __init__(self, documents: list[bytes], halfway: Callable[[], None]) -> None:
        super().__init__(documents)
        self.searching, self.windows, self.halfway = Event(), 0, halfway

    def page(self, after: Key | None, upto: Key, limit: int) -> Page:
        if not self.read:
            return super().page(after, upto, limit)
        if not self.searching.is_set():
            self.searching.set()
            raise ExecutionTimeout("no", 50)
        return NOTHING

    def last(self, _upto: Key) -> Page:
        return NOTHING

    def ahead(self, *_: Any) -> Key | None:
        self.windows += 1
        if self.windows == self.WINDOWS // 2:
            self.halfway()
        return key(1_000 + self.windows) if self.windows < self.WINDOWS else None


def test_failure_where_nothing_matches() -> None:
    """Where reading finds nothing for hours, a failure does not wait for its end."""
    scan = Barren(stored(200), lambda: None)
    pages = documents_of(Room(sizes=PAGES), scan).pages()
    next(pages)

    assert scan.searching.wait(10)
    pages.close()
    assert scan.windows < scan.WINDOWS


def test_stop_where_nothing_matches() -> None:
    """Nor does a pause or a cancel that comes while it is waited for."""
    room = Room(sizes=PAGES)
    scan = Barren(stored(200), lambda: setattr(room, "asked", True))

    assert len([*documents_of(room, scan).pages()]) == 1
    assert scan.windows < scan.WINDOWS


def test_back() -> None:
    """What was read, and ahead of that, is read again behind the place that is named."""
    documents = documents_of(Room(sizes=PAGES), Stored(stored(200)))
    pages = documents.pages()
    first, second = next(pages), next(pages)
    pages.close()
    documents.back(key(4))
    again = [one["_id"] for page in documents.pages() for _, one, _ in documents.of(page)]

    assert (first.key(0), second.key(0)) == (key(0), key(FIRST_DOCUMENTS))
    assert again == [*range(5, 200)]


def test_back_measures_again() -> None:
    """Sizes that were asked for are those of other documents then: one too large to be read is not read."""
    every = [bson.encode({"_id": n, "pad": bytes(3 * MIB * (n == 3))}) for n in range(6)]
    scan, room = Stored(every), Room(used=45 * MIB, budget=50 * MIB, headroom=MIB)
    documents = documents_of(room, scan)
    pages = documents.pages()
    while not isinstance(next(pages), Aside):
        pass
    pages.close()
    documents.back(key(2))

    assert isinstance(next(documents.pages()), Aside)


def test_not_ahead_while_careful() -> None:
    """After a death the next page is read once no document of the last one is at work any more."""
    scan = Watched(stored(200))
    pages = documents_of(Room(sizes=PAGES), scan, careful=1_000).pages()
    next(pages)

    assert not scan.second.wait(0.05)
    pages.close()
