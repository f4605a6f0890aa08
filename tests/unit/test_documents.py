"""Documents: what is settled of each before it is decoded, and what has become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
import pytest

from chunkmigrate.asides import SPARE, Aside
from chunkmigrate.documents import MARKED_TOGETHER
from chunkmigrate.errors import DeadlyError, DoesNotFitError, UndecodableError
from chunkmigrate.records import Deaths
from chunkmigrate.sizing import LARGE_BYTES, MIB, TELLING_BYTES, Sizes
from tests.unit.making import key, page_of, undecodable
from tests.unit.rooms import Room, documents_of, stored

if TYPE_CHECKING:
    from chunkmigrate.documents import Documents
    from chunkmigrate.pages import Page


def told(documents: Documents, page: Page | Aside) -> list[Any]:
    """What a page comes to: the _id of each document, or the reason it is set aside for."""
    found = []
    for place, document, weight in documents.of(page):
        assert isinstance(page, Aside) or weight == list(page.weights)[place]
        found.append(document.error.reason if isinstance(document, Aside) else document["_id"])
        del document
    return found


SIZES = {"small": 0, "kilobytes": 9_000, "large": LARGE_BYTES}


@pytest.mark.parametrize("careful", [0, 5, 100])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_all(size: int, careful: int) -> None:
    """Every document of a page comes decoded, in order, with its place and its weight."""
    assert told(documents_of(Room(), careful=careful), page_of(stored(12, size))) == [*range(12)]


@pytest.mark.parametrize("bad", [[0], [11], [0, 4, 5, 6, 11], [*range(12)]], ids=str)
@pytest.mark.parametrize("careful", [0, 5])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_undecodable(size: int, careful: int, bad: list[int]) -> None:
    """A document that is no BSON is set aside by its _id, wherever it stands; the others still come."""
    room, page_documents = Room(), stored(12, size)
    for number in bad:
        page_documents[number] = undecodable({"_id": number, "pad": bytes(size)})
    page = page_of(page_documents)
    found = [(place, document) for place, document, _ in documents_of(room, careful=careful).of(page)]

    assert [place for place, _ in found] == [*range(12)]
    assert [place for place, document in found if isinstance(document, Aside)] == bad
    assert [document["_id"] for place, document in found if place not in bad] == [
        number for number in range(12) if number not in bad
    ]
    assert all(document.key == key(place) for place, document in found if place in bad)
    assert all(isinstance(found[place][1].error, UndecodableError) for place in bad)


def test_marks() -> None:
    """After a death it is on record which sixteen documents are at work, before the first is decoded; once
    enough of them were careful, that none is.
    """
    room = Room(used=77)
    documents = documents_of(room, careful=40)

    assert told(documents, page_of(stored(50))) == [*range(50)]
    assert room.all("mark") == [
        *(("mark", number, 77, MARKED_TOGETHER) for number in (0, 16, 32)),
        ("mark", None, 0, 1),
    ]
    happened = [one[0] for one in room.all("mark", "decoded")]
    assert happened[:18] == ["mark", *["decoded"] * 16, "mark"]
    assert (documents.careful, documents.together) == (0, None)


def test_no_marks() -> None:
    """A run that follows no death puts nothing on record."""
    room = Room()
    told(documents_of(room), page_of(stored(50)))

    assert room.all("mark") == []


def test_marks_of_chunks() -> None:
    """A chunk that is complete takes its mark away, and the next one has a mark of its own: what is to be
    committed is not at work any more.
    """
    room = Room()
    documents = documents_of(room, careful=100)
    for place, *_ in documents.of(page_of(stored(20))):
        if place == 10:
            documents.cut()

    assert [number for _, number, *_ in room.all("mark")] == [0, None, 11]


def test_suspects() -> None:
    """Where it is known among which documents the one is that killed a run, each of them has a mark of its
    own, before it is decoded, and is transformed alone; who came before is not transformed with it.
    """
    room = Room(deaths=Deaths(key(3), 0, 77, 4))
    documents = documents_of(room, careful=100)
    together = [documents.together for _ in documents.of(page_of(stored(10)))]
    marks = [(number, among) for _, number, _, among in room.all("mark")]

    assert marks == [(0, 16), (3, 1), (4, 1), (5, 1), (6, 1), (7, 16)]
    assert together == [16, 16, 1, 1, 1, 1, 1, 16, 16, 16]


@pytest.mark.parametrize("place", [0, 4, 9])
def test_doomed(place: int) -> None:
    """A document that killed three runs is set aside, neither decoded nor on record as at work."""
    room = Room(deaths=Deaths(key(place), 3, 480 * MIB), budget=500 * MIB)
    [aside] = [
        document
        for _, document, _ in documents_of(room, careful=100).of(page_of(stored(10)))
        if isinstance(document, Aside)
    ]

    assert isinstance(aside.error, DeadlyError)
    assert (aside.key, aside.error.document_id) == (key(place), str(place))
    assert str(aside.error) == (
        f"3 runs in a row were killed while the document with _id {place} alone was at work, the last one "
        "with 480 MiB of 500 MiB in use before it. If it was memory, run `chunkmigrate quarantine retry` "
        "with --memory 625Mi or more."
    )
    assert len(room.all("decoded")) == 9
    assert place not in [number for _, number, *_ in room.all("mark")]


@pytest.mark.parametrize("careful", [0, 100])
def test_too_large(careful: int) -> None:
    """A large document that memory does not hold, room made or not, is set aside without being decoded; what
    it needs is said, and the others come.
    """
    room = Room(used=42 * MIB, budget=50 * MIB, sizes=Sizes(chunk_bytes=1, page_bytes=1, expansion=6.0))
    page = page_of([*stored(2), bson.encode({"_id": 2, "pad": bytes(MIB)}), bson.encode({"_id": 3})])
    *small, aside, last = [document for _, document, _ in documents_of(room, careful=careful).of(page)]

    assert [document["_id"] for document in (*small, last)] == [0, 1, 3]
    assert isinstance(aside.error, DoesNotFitError)
    assert (aside.key, aside.error.document_id) == (key(2), "2")
    assert aside.error.needs == pytest.approx(((42 + 6) * MIB + SPARE) / 0.95, rel=0.001)
    assert str(aside.error) == (
        "The document with _id 2 has 1 MiB and does not fit into memory, not even alone: it needs a budget "
        "of about 52Mi, and there are 50 MiB. Nothing of its chunk was written. Give the run that much, or "
        "read fewer fields."
    )
    assert 6 * list(page.weights)[2] in [size for _, size, _ in room.all("room")]
    assert len(room.all("decoded")) == 3


@pytest.mark.parametrize("careful", [0, 100])
def test_fits_after_all(careful: int) -> None:
    """Before a large document is set aside all that is free is given back; if it fits then, it comes."""
    room = Room(
        used=42 * MIB, budget=50 * MIB, free=MIB, sizes=Sizes(chunk_bytes=1, page_bytes=1, expansion=6.0)
    )

    assert told(documents_of(room, careful=careful), page_of(stored(2, MIB)[1:])) == [1]
    assert room.used == 41 * MIB


@pytest.mark.parametrize("careful", [0, 100])
def test_small_ones_fit(careful: int) -> None:
    """Small documents are never too large for memory: what they need is the guard's business."""
    room = Room(used=49 * MIB, budget=50 * MIB)

    assert told(documents_of(room, careful=careful), page_of(stored(12))) == [*range(12)]
    assert careful or room.all("room") == []


def test_alone() -> None:
    """No more than one large document is there as objects at a time, if whoever gets them lets go."""
    room = Room()
    told(documents_of(room), page_of(stored(4, LARGE_BYTES)))

    assert [alive for _, _, alive in room.all("room")] == [0, 0, 0, 0]


@pytest.mark.parametrize(("size", "learned"), [(TELLING_BYTES, True), (TELLING_BYTES // 2, False)])
def test_expansion(*, size: int, learned: bool) -> None:
    """How much a large document took is learned once it was worked on; of smaller ones memory cannot tell."""
    room = Room()
    page = page_of(stored(1, size))
    for _ in documents_of(room).of(page):
        room.used += 9 * size

    assert [round(ratio, 3) for _, ratio in room.all("expanded")] == [9.0] * learned
