"""The frontier: positions, ranges ahead of a hole, and what is left to read."""

from __future__ import annotations

import random
import struct
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from chunkmigrate.chunks import Chunk
from chunkmigrate.frontier import Frontier, Range, Reach, Segment, merged
from chunkmigrate.raw import Key

if TYPE_CHECKING:
    from collections.abc import Iterable


def key(number: int) -> Key:
    return Key(0x10, struct.pack("<i", number))


def number_of(place: Key | None) -> int:
    return 0 if place is None else int(struct.unpack("<i", place.value)[0])


def chunk(number: int) -> Chunk:
    """The chunk of the documents behind ten times the number, ten of them."""
    return Chunk(number, key(10 * number) if number else None, key(10 * number + 10))


def run_of(number: int) -> Range:
    made = chunk(number)
    assert made.through is not None
    return Range(number, made.after, made.through)


def truth(done: Iterable[int]) -> Reach:
    """Where a run stands once these chunks are done, found the slow way."""
    left, number = set(done), 0
    while number in left:
        left.remove(number)
        number += 1
    position = key(10 * number) if number else None
    return Reach(position, number, tuple(run_of(n) for n in sorted(left)))


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_unbroken(order: tuple[int, ...]) -> None:
    """The position moves only over an unbroken run, in whatever order chunks are acknowledged."""
    frontier = Frontier(key(99), Reach())
    for count, number in enumerate(order, start=1):
        preview, _ = frontier.preview(0, chunk(number))
        frontier.acknowledge(0, chunk(number))

        assert frontier.reach == preview == truth(order[:count])


def test_preview_only_looks() -> None:
    """A preview says what acknowledging would bring, and changes nothing: the transaction may still fail."""
    frontier = Frontier(key(99), Reach())
    reach, own = frontier.preview(1, chunk(1))

    assert (reach, own) == (truth([1]), [run_of(1)])
    assert frontier.reach == Reach()


def test_own_ranges() -> None:
    """A slot's record holds the ranges ahead that it wrote itself, not those of others."""
    frontier = Frontier(key(99), Reach())
    for slot, number in ((0, 1), (1, 2), (0, 3)):
        frontier.acknowledge(slot, chunk(number))

    assert frontier.preview(0, chunk(5))[1] == [run_of(1), run_of(3), run_of(5)]
    assert frontier.preview(1, chunk(5))[1] == [run_of(2), run_of(5)]
    assert frontier.preview(1, chunk(0)) == (truth(range(4)), [])


def test_end_needed() -> None:
    """A chunk that was never cut cannot be acknowledged."""
    with pytest.raises(ValueError, match="chunk 3 has no end"):
        Frontier(key(9), Reach()).acknowledge(0, Chunk(3, None))


@pytest.mark.parametrize("writers", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(25))
def test_records_add_up(writers: int, seed: int) -> None:
    """The slots' records add up to the truth after every commit, while others commit and acknowledge."""
    chance = random.Random(seed)
    frontier = Frontier(key(999), Reach())
    records = dict.fromkeys(range(writers), Reach())
    waiting, done = list(range(30)), list[int]()
    prepared, stored = dict[int, tuple[Chunk, Reach]](), dict[int, Chunk]()
    while waiting or prepared or stored:
        idle = set(records) - set(prepared) - set(stored)
        actions = ["prepare"] * bool(idle and waiting) + ["store"] * bool(prepared) + ["tell"] * bool(stored)
        match chance.choice(actions):
            case "prepare":
                slot, taken = chance.choice(sorted(idle)), chunk(waiting.pop(0))
                reach, own = frontier.preview(slot, taken)
                prepared[slot] = taken, Reach(reach.position, reach.number, tuple(own))
            case "store":
                slot = chance.choice(sorted(prepared))
                stored[slot], records[slot] = prepared.pop(slot)
                done.append(stored[slot].number)

                assert merged(list(records.values())) == truth(done)
            case "tell":
                slot = chance.choice(sorted(stored))
                frontier.acknowledge(slot, stored.pop(slot))

    assert frontier.reach == truth(range(30))


def test_duplicates() -> None:
    """A range that several slots hold counts once; one that the furthest has passed does not count."""
    old = Reach(key(10), 1, (run_of(2), run_of(4)))
    other = Reach(None, 0, (run_of(2), run_of(4), run_of(1)))

    assert merged([old, other]) == truth([0, 1, 2, 4])
    assert merged([other, old]) == truth([0, 1, 2, 4])
    assert merged([old, truth(range(4))]) == truth([0, 1, 2, 3, 4])


def test_first_counts() -> None:
    """Of records that reach equally far the first counts."""
    first, second = Reach(key(70), 3), Reach(key(20), 3, (run_of(5),))

    assert merged([first, second]) == Reach(key(70), 3, (run_of(5),))
    assert merged([second, first]) == Reach(key(20), 3, (run_of(5),))


def test_segments() -> None:
    """Gaps come first, each up to its island, then the tail behind the last island."""
    islands = [Range(0, key(3), key(5)), Range(1, key(5), key(7)), Range(2, key(8), key(9))]
    frontier = Frontier(key(20), Reach(key(1), 4), islands)
    found = list(frontier.segments())

    assert found == [
        Segment(key(1), key(3), key(5)),
        Segment(key(7), key(8), key(9)),
        Segment(key(9), key(20)),
    ]
    assert [segment.gap for segment in found] == [True, True, False]
    assert frontier.reach == Reach(key(9), 4)
    assert frontier.islands == []


def test_island_is_passed_late() -> None:
    """The position passes an island only when the next segment is asked for, its gap being written then."""
    frontier = Frontier(key(20), Reach(key(1)), [Range(0, key(3), key(5))])
    segments = frontier.segments()
    next(segments)

    assert (frontier.reach.position, len(frontier.islands)) == (key(1), 1)
    next(segments)
    assert (frontier.reach.position, len(frontier.islands)) == (key(5), 0)


@pytest.mark.parametrize("seed", range(100))
def test_everything_once(seed: int) -> None:
    """What was done and what segments say is left cover each document exactly once."""
    chance = random.Random(seed)
    last = chance.randrange(1, 60)
    cuts = sorted(chance.sample(range(1, last + 1), chance.randrange(min(last, 12) + 1)))
    bounds = [0, *cuts]
    chunks = [
        Chunk(n, key(a) if a else None, key(b)) for n, (a, b) in enumerate(zip(bounds, cuts, strict=False))
    ]
    frontier = Frontier(key(last), Reach())
    for committed in chance.sample(chunks, chance.randrange(len(chunks) + 1)):
        frontier.acknowledge(0, committed)
    left = frontier.reach
    resumed = Frontier(key(last), Reach(left.position), list(left.ahead))
    done = list(range(1, number_of(left.position) + 1))
    for island in left.ahead:
        done += range(number_of(island.after) + 1, number_of(island.through) + 1)
    for segment in resumed.segments():
        done += range(number_of(segment.after) + 1, number_of(segment.upto) + 1)

    assert sorted(done) == list(range(1, last + 1))
