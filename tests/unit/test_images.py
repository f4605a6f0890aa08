"""How much is looked at together, and what becomes of a document that has no room."""

from __future__ import annotations

import pytest

from chunkmigrate.errors import DoesNotFitError
from chunkmigrate.images import COPIES, OBJECTS, Room, slices
from chunkmigrate.memory import Reading
from chunkmigrate.sizing import MIB


def reading(used: int) -> Reading:
    return Reading(rss=used, used=used, budget=100 * MIB)


def test_slices() -> None:
    """Items come in order, together at most so many bytes, each with what it takes as an object; a larger one
    comes alone.
    """
    most = 3 * OBJECTS + 300

    assert [*slices([100, 100, 100, 1, 10_000, 1], int, most)] == [[100, 100, 100], [1], [10_000], [1]]
    assert [*slices([], int, most)] == []


@pytest.mark.parametrize(("room", "writers"), [(8 * MIB, 1), (64 * MIB, 2), (10_000 * MIB, 4)])
def test_share(room: int, writers: int) -> None:
    """What all writers look at together takes no more than half of the room there is."""
    assert writers * COPIES * Room.of(room, writers, lambda: reading(0)).bytes <= room // 2


def test_one_at_a_time() -> None:
    """A large document has its turn while no other one has; one with no room is told what it needs."""
    room = Room(MIB, lambda: reading(50 * MIB))
    told = r"_id 7 has 8 MiB; to keep .* takes a budget of 104Mi"

    with room.for_one(5 * MIB, 1):
        assert room.alone.locked()
    assert not room.alone.locked()
    with pytest.raises(DoesNotFitError, match=told) as error:
        room.for_one(8 * MIB, 7)
    assert error.value.document_id == 7
    assert 103 * MIB < error.value.needs <= 104 * MIB
