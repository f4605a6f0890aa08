"""Unchanged: which documents of a chunk are not what was read of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson
import pytest

from chunkmigrate.chunks import Chunk
from chunkmigrate.pages import NOTHING, Page
from chunkmigrate.raw import Key, key_of
from chunkmigrate.unchanged import AGAIN_BYTES, AGAIN_DOCUMENTS, changed, print_of
from tests.unit.making import key, page_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def stored(number: int, price: Any = 1) -> bytes:
    return bson.encode({"_id": number, "price": price})


@dataclass
class Stored:
    """A scan of these documents, in the order of their _ids, which are numbers; it keeps what was asked."""

    documents: Iterable[bytes]
    limits: list[int] = field(default_factory=list)
    sessions: set[Any] = field(default_factory=set)

    def among(self, keys: Sequence[Key], *, session: Any) -> Page:
        self.limits.append(len(keys))
        self.sessions.add(session)
        found = [one for one in self.documents if key_of(one) in keys]
        return page_of(found) if found else NOTHING


def number_of(of: Key) -> int:
    return int(bson.decode(of.document().raw)["_id"])


def chunk_of(documents: list[bytes], *, after: int | None = None, joined: bool = False) -> Chunk:
    """A chunk that has read these documents."""
    chunk = Chunk(0, None if after is None else key(after), joined=joined)
    for number, document in enumerate(documents):
        chunk.close(None, 1)
        chunk.bytes_read += len(document)
        chunk.remember(number, (key_of(document), print_of(document)))
    chunk.through = key_of(documents[-1])
    return chunk


def found(now: list[bytes], chunk: Chunk) -> dict[int, bytes | None]:
    return changed(Stored(now), chunk, "session")  # type: ignore[arg-type]


READ = [stored(number) for number in (3, 5, 8, 9)]


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("after", [None, 2])
def test_nothing(*, joined: bool, after: int | None) -> None:
    """Documents that are what they were are not named, whatever lies before, between and behind them."""
    now = [stored(0), stored(1), stored(4, 7), stored(7), stored(10), *READ]
    chunk = chunk_of(READ, after=after, joined=joined)

    assert found(sorted(now, key=lambda one: number_of(key_of(one))), chunk) == {}


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("price", [2, 1.0, "1", None])
def test_edited(place: int, price: Any) -> None:
    """A document of which one byte is another is named with what it is now; types count."""
    edited = stored(number_of(key_of(READ[place])), price)
    now = [*READ[:place], edited, *READ[place + 1 :]]

    assert found(now, chunk_of(READ)) == {place: edited}


@pytest.mark.parametrize("place", range(4))
def test_gone(place: int) -> None:
    """A document that is gone, or does not match any more, is named with nothing."""
    assert found(READ[:place] + READ[place + 1 :], chunk_of(READ)) == {place: None}


def test_several() -> None:
    """All that were edited and all that are gone are named."""
    assert found([stored(5, 7), READ[3]], chunk_of(READ)) == {0: None, 1: stored(5, 7), 2: None}


def test_set_aside() -> None:
    """What was set aside, or mended to nothing, is not compared."""
    chunk = chunk_of(READ)
    chunk.set_aside("d.q", b"", 1)
    chunk.prints[3] = None

    assert found([READ[0], stored(5, 7), READ[2]], chunk) == {}


def test_nothing_left() -> None:
    """Where nothing is left to be compared, nothing is read: what is there may be too large to be read."""
    chunk = chunk_of(READ[:1])
    chunk.set_aside("d.q", b"", 0)
    scan = Stored(READ)

    assert changed(scan, chunk, "session") == {}  # type: ignore[arg-type]
    assert (scan.limits, scan.sessions) == ([], set())


def test_joined() -> None:
    """Where documents are transformed together and one was edited or is gone, all are named as they are."""
    edited = [READ[0], stored(5, 7), *READ[2:]]

    assert found(edited, chunk_of(READ, joined=True)) == dict(enumerate(edited))
    assert found(READ[:3], chunk_of(READ, joined=True)) == dict(enumerate([*READ[:3], None]))


def test_ids() -> None:
    """A document with an _id that is equal to Python, but of another type, is another document."""
    other = bson.encode({"_id": 5.0, "price": 1})

    assert found([READ[0], other, *READ[2:]], chunk_of(READ)) == {1: None}


@pytest.mark.parametrize(
    ("count", "size", "limit"),
    [(3, AGAIN_BYTES, 1), (5, AGAIN_BYTES // 10, 9), (30, 10, AGAIN_DOCUMENTS), (1_200, 10, AGAIN_DOCUMENTS)],
)
def test_a_little(count: int, size: int, limit: int) -> None:
    """No more is read again at a time than a megabyte, or a thousand documents, and in the same session."""
    documents = [stored(number, bytes(size)) for number in range(count)]
    scan, session = Stored(documents), object()

    assert changed(scan, chunk_of(documents), session) == {}  # type: ignore[arg-type]
    assert scan.limits == [len(documents[start : start + limit]) for start in range(0, count, limit)]
    assert scan.sessions == {session}


def test_print() -> None:
    """A print tells documents apart by all of their bytes, and is the same of a view."""
    document = stored(3)

    assert print_of(memoryview(document)) == print_of(document) != print_of(stored(3, 2))
    assert len(print_of(document)) == 16
