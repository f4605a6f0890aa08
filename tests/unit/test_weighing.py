"""Weighing: all of a sample is read once, and cut into pieces that each get their part of the time."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import bson
import pytest

from chunkmigrate import sizing
from chunkmigrate.frontier import Segment
from chunkmigrate.weighing import HELD_SECONDS, LONGEST, TOGETHER, WEIGH_SECONDS, Weighing, held, in_turn
from tests.unit.making import Stored, key
from tests.unit.rooms import stored
from tests.unit.test_stages import Clock, Slow

if TYPE_CHECKING:
    from collections.abc import Sequence


def weighed(scan: Any, *stretches: Segment, clock: Clock | None = None) -> Weighing:
    weighing = Weighing(clock or Clock())
    weighing.weigh(scan, stretches)
    return weighing


def turns(documents: Sequence[int], seconds: float, *, each: float) -> list[int]:
    """Which places get a turn, where one document of each takes so long, and no second one is begun."""
    clock, taken = Clock(), list[int]()
    for place, _ in in_turn(documents, seconds, clock):
        taken.append(place)
        clock.takes(each)
    return taken


def test_weights() -> None:
    """Every document is weighed once, in whichever piece it is."""
    documents = stored(250, 7)
    weighing = weighed(Stored(documents), Segment(None, key(249)))

    assert weighing.weights == [*map(len, documents)]
    assert [piece.documents for piece in weighing.pieces] == [TOGETHER, TOGETHER, 50]
    assert [piece.stretch for piece in weighing.pieces] == [
        Segment(None, key(99)),
        Segment(key(99), key(199)),
        Segment(key(199), key(249)),
    ]


def test_large() -> None:
    """Where documents are large, a piece has fewer of them."""
    weighing = weighed(Stored(stored(6, sizing.MAX_PAGE_BYTES // 2)), Segment(None, key(5)))

    assert [piece.documents for piece in weighing.pieces] == [2, 2, 2]


def test_time_is_over() -> None:
    """One stretch that takes long leaves time for the others, and all together end in time."""
    clock = Clock()
    scan = Slow(stored(4_000), clock=clock, seconds=WEIGH_SECONDS / 10)
    long, short = Segment(None, key(2_999)), Segment(key(3_499), key(3_505))
    weighing = weighed(scan, long, short, short, clock=clock)

    assert 0 < sum(piece.documents for piece in weighing.pieces[:-2]) < 3_000
    assert [piece.stretch for piece in weighing.pieces[-2:]] == [short, short]
    assert clock.now <= WEIGH_SECONDS * (1 + 1 / 10)


def test_only_one() -> None:
    """A stretch that is all there is has all the time."""
    clock = Clock()
    weighing = weighed(
        Slow(stored(3_000), clock=clock, seconds=LONGEST * WEIGH_SECONDS),
        Segment(None, key(2_999)),
        clock=clock,
    )

    assert len(weighing.pages) == 4


def test_nothing() -> None:
    """No stretch, and one that has become empty, are no pieces."""
    assert weighed(Stored(stored(5))).pieces == []
    assert weighed(Stored(stored(5)), Segment(key(4), key(9))).pieces == []


def test_held() -> None:
    """Small documents are held all; of large ones some of every piece, so that there is room for them."""
    small, large = Stored(stored(250)), Stored(stored(40, 1_000_000))
    few = weighed(large, Segment(None, key(39))).pieces

    assert [*chain(*held(small, weighed(small, Segment(None, key(249))).pieces, Clock()))] == small.documents
    assert [len(documents) for documents in held(large, few, Clock())] == [1] * len(few)


def test_held_in_time() -> None:
    """Where the server is far away some pieces are left out, here and there."""
    clock = Clock()
    scan = Slow(stored(1_000), clock=clock)
    pieces = weighed(scan, Segment(None, key(999)), clock=clock).pieces
    scan.seconds = HELD_SECONDS / 4
    firsts = [int(bson.decode(documents[0])["_id"]) for documents in held(scan, pieces, clock)]

    assert len(firsts) == 4
    assert firsts == pytest.approx([0, 250, 500, 750], abs=150)


@pytest.mark.parametrize(("each", "taken"), [(0.0, 8), (0.5, 8), (1.0, 4), (2.0, 2), (9.0, 1)])
def test_in_turn(each: float, taken: int) -> None:
    """However long a document takes, what is reached is spread: the time goes to all, or is left to them."""
    places = turns([10] * 8, 4.0, each=each)

    assert len(places) == taken
    assert places == pytest.approx([number * 8 / taken for number in range(taken)], abs=1)
    assert turns([], 4.0, each=each) == []
