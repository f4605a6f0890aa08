"""Building: documents go into a chunk, and a chunk ends where it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo import InsertOne, UpdateOne

from chunkmigrate.building import Builder
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import TransformError, UndecodableError
from chunkmigrate.sizing import (
    LOOK_BYTES,
    MAX_CHUNK_DOCUMENTS,
    MAX_CHUNK_SECONDS,
    MAX_TOUCHED_BYTES,
    MIB,
    Sizes,
)
from tests.unit.making import aside, key, quarantine_of, set_a, transformer_of, written

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGE = Sizes(chunk_bytes=4 << 20, page_bytes=1 << 20)
GROUP = 1 << 20
SIZE = 24  # of each document
FAR = 900 * MIB


@dataclass
class Hand:
    """What may end a chunk, set by hand."""

    stop: bool = False
    left: int = FAR
    looks: int = 0

    def stopped(self) -> bool:
        return self.stop

    def room(self) -> int:
        self.looks += 1
        return self.left


def builder_of(
    transform: Any = None,
    *,
    hand: Hand | None = None,
    group_bytes: int = GROUP,
    stored_size: int = 0,
    **options: Any,
) -> Builder:
    transformer = transformer_of(transform, **options)
    return Builder(
        transformer, Chunk(0, None), hand or Hand(), group_bytes=group_bytes, stored_size=stored_size
    )


def document(number: int) -> dict[str, Any]:
    return {"_id": number, "pad": b""}


def add(builder: Builder, numbers: Iterable[int], sizes: Sizes = LARGE, size: int = SIZE) -> list[bool]:
    return [
        builder.add(document(number), size, sizes, stored=bson.encode(document(number))) for number in numbers
    ]


def test_chunk() -> None:
    """A chunk holds the writes in order, covers what was taken, and the next one begins behind it."""
    builder = builder_of(lambda order: set_a(order) if order["_id"] != 2 else None)
    assert not builder.pending
    add(builder, range(1, 4))
    assert builder.pending
    chunk = builder.cut(key(3))

    assert (chunk.number, chunk.after, chunk.through) == (0, None, key(3))
    assert (chunk.read, chunk.written, chunk.writes, chunk.bytes_read) == (3, 2, 2, 3 * SIZE)
    assert written(chunk) == [1, 3]
    assert (builder.chunk.number, builder.chunk.after, builder.chunk.read) == (1, key(3), 0)
    assert not builder.pending


@pytest.mark.parametrize("most", [1, 7, MAX_CHUNK_DOCUMENTS])
def test_full_of_documents(most: int) -> None:
    """A chunk is full with the last document it may have, writes or none."""
    builder = builder_of(lambda _: None)
    full = add(builder, range(most), Sizes(chunk_bytes=4 << 20, page_bytes=1, chunk_documents=most))

    assert full == [False] * (most - 1) + [True]
    assert builder.cut_by == "documents"


def test_full_of_bytes() -> None:
    """A chunk is full once its writes weigh what they may, not what was read for them."""
    builder = builder_of(set_a)
    each = len(bson.encode({"q": {"_id": 1}, "u": {"$set": {"a": 1}}}))
    full = add(builder, range(3), Sizes(chunk_bytes=3 * each, page_bytes=1))

    assert (full, builder.cut_by) == ([False, False, True], "bytes")
    assert builder.chunk.size == 3 * each


@pytest.mark.parametrize(
    ("size", "stored_size"), [(SIZE, MAX_TOUCHED_BYTES // 4), (MAX_TOUCHED_BYTES // 4, 0)]
)
def test_full_of_touched(size: int, stored_size: int) -> None:
    """A chunk is full once the documents it changes weigh what the server may hold of them, read or not."""
    builder = builder_of(set_a, stored_size=stored_size)
    full = add(builder, range(4), size=size)
    again = builder.cut(key(3)) and add(builder, range(4, 8), size=size)

    assert (full, builder.cut_by) == ([False, False, False, True], "bytes")
    assert again == full


def looked_at(builder: Builder, hand: Hand, documents: int, size: int) -> list[int]:
    """How many documents went by, each time memory was looked at."""
    found = []
    for number in range(1, documents + 1):
        before = hand.looks
        builder.add(document(number), size, LARGE)
        found += [number] * (hand.looks - before)
    return found


def test_looks() -> None:
    """Memory is looked at after the first document, ever more rarely while it stays calm, and at least once
    in 64 documents or half a megabyte handled.
    """
    few, many = Hand(), Hand()

    assert looked_at(builder_of(set_a, hand=few), few, 21, LOOK_BYTES // 4) == [1, 3, 7, 11, 15, 19]
    assert looked_at(builder_of(set_a, hand=many), many, 260, 1) == [1, 3, 7, 15, 31, 63, 127, 191, 255]


def test_leak() -> None:
    """Where a transform keeps what it makes, the chunk ends with the document that reaches the guard."""
    hand = Hand(left=64 * MIB)

    def keep(_: Any) -> None:
        hand.left -= MIB

    builder, taken = builder_of(keep, hand=hand), 1
    while add(builder, [taken]) == [False]:
        taken += 1

    assert (taken, hand.left, builder.cut_by) == (64, 0, "memory")
    assert hand.looks < 40


def test_guard() -> None:
    """At the guard the chunk ends with the document at hand."""
    hand = Hand()
    builder = builder_of(set_a, hand=hand)
    full = add(builder, range(9), size=LOOK_BYTES // 4)
    hand.left = 0
    full += add(builder, range(9, 11), size=LOOK_BYTES // 4)

    assert full == [False] * 10 + [True]
    assert (builder.cut_by, builder.chunk.read) == ("memory", 11)


def test_guard_counts_writes() -> None:
    """What a transform writes counts as handled too: small documents may grow."""
    hand = Hand()
    grows = lambda order: InsertOne({"_id": order["_id"], "x": bytes(LOOK_BYTES * (order["_id"] >= 20))})  # noqa: E731
    builder = builder_of(grows, hand=hand)
    before = add(builder, range(20), size=1)
    hand.left = 0

    assert add(builder, [20], size=1) == [True]
    assert (before, builder.cut_by) == ([False] * 20, "memory")


def test_stop() -> None:
    """A stop ends the chunk after the document at hand, which is part of it."""
    hand = Hand()
    builder = builder_of(set_a, hand=hand)
    before, hand.stop = add(builder, range(2)), True

    assert (before, add(builder, [2])) == ([False, False], [True])
    assert (builder.cut_by, builder.chunk.read) == ("stop", 3)


def test_age() -> None:
    """A chunk begun five seconds ago ends, and the next one is young again."""
    builder = builder_of(set_a)
    builder._due -= MAX_CHUNK_SECONDS

    assert add(builder, [0]) == [True]
    assert builder.cut_by == "age"
    builder.cut(key(0))
    assert add(builder, [1]) == [False]


def test_aside() -> None:
    """A document that is set aside is part of the chunk in its place, and ends it like any other."""
    builder = builder_of(set_a)
    sizes = Sizes(chunk_bytes=4 << 20, page_bytes=1, chunk_documents=3)
    full = add(builder, [1], sizes)
    full.append(builder.set_aside(key(2), UndecodableError("2", "It is no BSON."), sizes))
    full += add(builder, [3], sizes)
    chunk = builder.cut(key(3))

    assert (full, builder.cut_by) == ([False, False, True], "documents")
    assert (chunk.read, chunk.written, chunk.quarantined) == (3, 2, 1)
    assert (written(chunk), aside(chunk)) == ([1, 3], {2: "undecodable"})
    assert [chunk.owner(0), chunk.owner(2)] == [1, 3]


def test_prints() -> None:
    """What a document was when it was read stands at its place; of one that was set aside nothing does."""
    prints = [(key(number), bytes([number])) for number in range(5)]
    for options in ({"transform": set_a}, {"each_chunk": lambda orders: map(set_a, orders)}):
        builder = builder_of(**options)
        for number, print_ in enumerate(prints):
            if number == 2:
                builder.set_aside(key(2), UndecodableError("2", "It is no BSON."), LARGE)
            else:
                builder.add(document(number), SIZE, LARGE, print_)
        chunk = builder.cut(key(4))

        assert chunk.prints == [*prints[:2], None, *prints[3:]]
        assert written(chunk) == [0, 1, 3, 4]


def test_nothing_past_a_failure() -> None:
    """After a document that stops the run the chunk is as it was before it."""
    builder = builder_of(
        lambda order: [set_a(order), order["price"]] if order["_id"] == 7 else set_a(order),
        quarantine=quarantine_of(enabled=False),
    )
    add(builder, range(5, 7))
    before = written(builder.chunk), builder.chunk.size, builder.chunk.counts
    with pytest.raises(TransformError) as caught:
        add(builder, [7])

    assert caught.value.document_id == 7
    assert (written(builder.chunk), builder.chunk.size, builder.chunk.counts) == before
    assert before[0] == [5, 6]


@pytest.mark.parametrize(("group_bytes", "length"), [(1, 1), (96, 4), (97, 5), (10**9, 1000)])
def test_each_chunk(group_bytes: int, length: int) -> None:
    """Lists are handed out whole, full at their bytes or at a thousand documents; nothing is left over."""
    lists: list[list[int]] = []
    builder = builder_of(
        each_chunk=lambda orders: lists.append([order["_id"] for order in orders]), group_bytes=group_bytes
    )
    for number in range(2 * length + 1):
        if add(builder, [number]) == [True]:
            chunk = builder.cut(key(number))

            assert (chunk.read, chunk.written, builder.pending) == (length, 0, False)
            assert builder.cut_by == ("documents" if length == 1000 else "bytes")
    if builder.pending:
        builder.cut(key(2 * length))

    assert [len(one) for one in lists] == [length, length, 1]
    assert [number for one in lists for number in one] == list(range(2 * length + 1))


def test_each_chunk_joined() -> None:
    """Chunks of documents that are transformed together say so, the first one and those behind it."""
    joined, plain = builder_of(each_chunk=lambda _: None), builder_of(set_a)
    for builder, expected in ((joined, True), (plain, False)):
        add(builder, [1])

        assert (builder.cut(key(1)).joined, builder.chunk.joined) == (expected, expected)


def test_each_chunk_stops() -> None:
    """A list under construction is cut short by a stop too, and handed out."""
    lists: list[int] = []
    builder = builder_of(each_chunk=lambda orders: lists.append(len(orders)), hand=Hand(stop=True))

    assert add(builder, [1]) == [True]
    builder.cut(key(1))
    assert (lists, builder.cut_by) == ([1], "stop")


def test_each_chunk_writes() -> None:
    """The writes of a list belong to its first document, and all of its documents count as written."""
    builder = builder_of(each_chunk=lambda orders: UpdateOne({"_id": orders[-1]["_id"]}, {"$set": {"a": 1}}))
    add(builder, range(3))
    builder.set_aside(key(3), UndecodableError("3", "It is no BSON."), LARGE)
    add(builder, range(4, 6))
    chunk = builder.cut(key(5))

    assert [group.owners for group in chunk.groups] == [[0, 4]]
    assert (chunk.read, chunk.written, chunk.writes, chunk.quarantined) == (6, 5, 2, 1)
