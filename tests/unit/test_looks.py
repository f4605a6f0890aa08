"""The law inside a chunk: when memory is looked at, what fits into it, and when a run can only end."""

from __future__ import annotations

import pytest

from chunkmigrate import sizing
from chunkmigrate.memory import Reading
from chunkmigrate.sizing import (
    LEAST_ROOM,
    LOOK_DOCUMENTS,
    MIB,
    PRESSED_CHUNKS,
    WORTH_A_RESTART,
    Sizes,
    Zone,
)

LEAST = Sizes(chunk_bytes=sizing.MIN_CHUNK_BYTES, page_bytes=sizing.MIN_PAGE_BYTES, chunk_documents=1)
MORE = Sizes(chunk_bytes=MIB, page_bytes=MIB)


@pytest.mark.parametrize("leak", [1, 100, 4_000, 50_000, MIB, 3 * MIB, 20 * MIB])
@pytest.mark.parametrize("room", [8 * MIB, 64 * MIB, 900 * MIB])
def test_leak(leak: int, room: int) -> None:
    """What each document leaves behind never uses up more than an eighth of the room unseen.

    Before that pace is known memory is looked at after one document, and again after two.
    """
    documents, looks = 1, 0
    while room > 0 and looks < 1_000:
        looks += 1
        lost = documents * leak
        assert lost <= room / 8 or documents == 1 or looks <= 2
        room -= lost
        documents = sizing.next_look(documents, lost if looks > 1 else 0, room)


def test_calm() -> None:
    """Where memory does not grow, looks become rarer, each time by half, down to one in 64 documents."""
    found, documents = [], 1
    for growth in (0, 0, -MIB, 0, 0, 0, -1, 0):
        documents = sizing.next_look(documents, growth, 100 * MIB)
        found.append(documents)

    assert found == [2, 4, 8, 16, 32, 64, 64, 64]


@pytest.mark.parametrize("room", [0, -1, -900 * MIB])
def test_no_room(room: int) -> None:
    """At the guard and above it memory is looked at after every document."""
    assert sizing.next_look(LOOK_DOCUMENTS, 0, room) == 1


@pytest.mark.parametrize("growth", [-MIB, 0, 1, 10_000, MIB, 1024 * MIB])
@pytest.mark.parametrize("documents", [1, 3, 64, 1_000])
@pytest.mark.parametrize("room", [1, 10_000, 64 * MIB])
def test_look_bounds(documents: int, growth: int, room: int) -> None:
    """The next look is always to come: after one document at least, after 64 at most."""
    assert 1 <= sizing.next_look(documents, growth, room) <= LOOK_DOCUMENTS


@pytest.mark.parametrize(
    ("zone", "sizes", "pressed", "room", "over"),
    [
        (Zone.STOP, LEAST, 0, 0, True),
        (Zone.STOP, MORE, 1, 900 * MIB, False),
        (Zone.SHRINK, LEAST, 1, 900 * MIB, False),
        (Zone.SHRINK, LEAST, PRESSED_CHUNKS - 1, LEAST_ROOM, False),
        (Zone.SHRINK, LEAST, PRESSED_CHUNKS, LEAST_ROOM, True),
        (Zone.SHRINK, MORE, PRESSED_CHUNKS, LEAST_ROOM, True),
        (Zone.SHRINK, LEAST, 10 * PRESSED_CHUNKS, WORTH_A_RESTART - 1, False),
        (Zone.GROW, MORE, 0, 900 * MIB, False),
    ],
)
def test_over(*, zone: Zone, sizes: Sizes, pressed: int, room: int, over: bool) -> None:
    """A run ends where nothing is left to shrink and memory is full, or where pressure lasts and a fresh
    process would have room; one that would have none goes on with what there is.
    """
    assert sizing.is_over(zone, sizes, pressed, room) is over


@pytest.mark.parametrize(
    ("used", "growth", "last"),
    [
        (900, 0, False),
        (949, -5, False),
        (700, 120, False),
        (700, 125, False),
        (700, 126, True),
        (949, 1, True),
    ],
)
def test_last(*, used: int, growth: int, last: bool) -> None:
    """A run ends while there is room for what the next chunk may take: twice what the last one did."""
    assert sizing.is_last(Reading(rss=used, used=used, budget=1_000), growth) is last


@pytest.mark.parametrize(
    ("size", "expansion", "decoded", "read"),
    [(10, 1.0, 10, 20), (10, 7.5, 75, 85), (10, 0.5, 5, 20), (0, 5.0, 0, 0)],
)
def test_needed(size: int, expansion: float, decoded: int, read: int) -> None:
    """A document takes its objects, and before that its bytes: twice while they are received, then once."""
    assert sizing.needed(size, expansion) == decoded
    assert sizing.needed_unread(size, expansion) == read


@pytest.mark.parametrize(("needs", "fit"), [(0, True), (949, True), (950, False), (2_000, False)])
def test_fits(needs: int, fit: bool) -> None:  # noqa: FBT001 - a table's expectation
    """What would reach 95 percent of the budget does not fit."""
    assert sizing.fits(needs, 1_000) is fit
