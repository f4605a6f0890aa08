"""Building: documents become writes in a chunk, and a chunk ends where it should."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson.codec_options import CodecOptions
from pymongo import InsertOne, UpdateOne

from chunkmigrate.backfill import Backfill
from chunkmigrate.building import LOOK_BYTES, Builder
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import TooLargeError, TransformError
from chunkmigrate.raw import key_of
from chunkmigrate.sizing import MAX_CHUNK_DOCUMENTS, MAX_CHUNK_SECONDS, Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGE = Sizes(chunk_bytes=4 << 20, page_bytes=1 << 20)
GROUP = 1 << 20
SIZE = 24  # of each document


@dataclass
class Orders:
    """What a chunk is built for: a collection that is only a name."""

    full_name: str = "shop.orders"
    codec_options: CodecOptions[dict[str, Any]] = field(default_factory=CodecOptions)


class OrdersScan:
    """A scan that reads nothing: these tests hand the documents over themselves."""

    collection = Orders()

    def upper_bound(self) -> None:
        """Say that there is no document."""


@dataclass
class Hand:
    """A watch set by hand."""

    stop: bool = False
    guard: bool = False
    looks: int = 0

    def stopped(self) -> bool:
        return self.stop

    def over_guard(self) -> bool:
        self.looks += 1
        return self.guard


def builder_of(
    transform: Any = None, *, watch: Hand | None = None, group_bytes: int = GROUP, **options: Any
) -> Builder:
    backfill = Backfill(OrdersScan(), transform, **options)  # type: ignore[arg-type]
    return Builder(backfill, Chunk(0, None), watch or Hand(), group_bytes=group_bytes, stored_size=0)


def document(number: int) -> dict[str, Any]:
    return {"_id": number, "pad": b""}


def set_a(order: dict[str, Any]) -> UpdateOne:
    return UpdateOne({"_id": order["_id"]}, {"$set": {"a": 1}})


def add(builder: Builder, numbers: range, sizes: Sizes = LARGE, size: int = SIZE) -> list[bool]:
    return [builder.add(document(number), size, sizes) for number in numbers]


def through(number: int) -> Any:
    return key_of(bson.encode({"_id": number}))


def statements(chunk: Chunk) -> list[tuple[str, Any]]:
    return [(group.namespace, one) for group in chunk.groups for one in bson.decode_all(group.statements)]


def test_chunk() -> None:
    """A chunk holds the writes in order, covers what was taken, and the next one begins behind it."""
    builder = builder_of(lambda order: set_a(order) if order["_id"] != 2 else None)
    assert not builder.pending
    add(builder, range(1, 4))
    assert builder.pending
    chunk = builder.cut(through(3))

    assert (chunk.number, chunk.after, chunk.through) == (0, None, through(3))
    assert (chunk.read, chunk.written, chunk.writes) == (3, 2, 2)
    assert [one["q"]["_id"] for _, one in statements(chunk)] == [1, 3]
    assert (builder.chunk.number, builder.chunk.after, builder.chunk.read) == (1, through(3), 0)
    assert not builder.pending


def test_full_of_documents() -> None:
    """A chunk is full with its thousandth document, writes or none."""
    builder = builder_of(lambda _: None)
    full = add(builder, range(MAX_CHUNK_DOCUMENTS))

    assert full == [False] * (MAX_CHUNK_DOCUMENTS - 1) + [True]
    assert builder.cut_by == "documents"


def test_full_of_bytes() -> None:
    """A chunk is full once its writes weigh what they may, not what was read for them."""
    builder = builder_of(set_a)
    each = len(bson.encode({"q": {"_id": 1}, "u": {"$set": {"a": 1}}}))
    full = add(builder, range(3), Sizes(chunk_bytes=3 * each, page_bytes=1))

    assert (full, builder.cut_by) == ([False, False, True], "bytes")
    assert builder.chunk.size == 3 * each


def test_guard() -> None:
    """Memory is looked at once per half a megabyte handled; at the guard the chunk ends."""
    watch = Hand()
    builder = builder_of(set_a, watch=watch)
    full = add(builder, range(9), size=LOOK_BYTES // 4)
    looks, watch.guard = watch.looks, True
    full += add(builder, range(9, 12), size=LOOK_BYTES // 4)

    assert looks == 2
    assert full == [False] * 11 + [True]
    assert builder.cut_by == "memory"


def test_guard_counts_writes() -> None:
    """What a transform writes counts as handled too: small documents may grow."""
    watch = Hand(guard=True)
    builder = builder_of(lambda order: InsertOne({"_id": order["_id"], "x": bytes(LOOK_BYTES)}), watch=watch)

    assert add(builder, range(1)) == [True]
    assert builder.cut_by == "memory"


def test_stop() -> None:
    """A stop ends the chunk after the document at hand, which is part of it."""
    watch = Hand()
    builder = builder_of(set_a, watch=watch)
    before, watch.stop = add(builder, range(2)), True

    assert (before, add(builder, range(2, 3))) == ([False, False], [True])
    assert (builder.cut_by, builder.chunk.read) == ("stop", 3)


def test_age() -> None:
    """A chunk begun five seconds ago ends, and the next one is young again."""
    builder = builder_of(set_a)
    builder._due -= MAX_CHUNK_SECONDS

    assert add(builder, range(1)) == [True]
    assert builder.cut_by == "age"
    builder.cut(through(0))
    assert add(builder, range(1, 2)) == [False]


def later(order: dict[str, Any]) -> Iterator[Any]:
    yield set_a(order)
    raise KeyError("price")


def fails(order: dict[str, Any]) -> None:
    raise KeyError("price")


def ends_badly(_: Any) -> None:
    raise TypeError("no number.")


@pytest.mark.parametrize(
    ("transform", "what"),
    [
        (fails, "fails raised KeyError: 'price'"),
        (ends_badly, "ends_badly raised TypeError: no number"),
        (later, "later raised KeyError: 'price'"),
        (lambda _: (int("x") for _ in "a"), "<lambda> raised ValueError: invalid literal"),
        (lambda _: (1 + "" for _ in "a"), "<lambda> raised TypeError: unsupported operand"),  # type: ignore[operator]
        (lambda order: order, "<lambda> returned a dict, which is no write; return UpdateOne(...)"),
        (lambda _: [1], "<lambda> returned a int, which is no write"),
        (
            lambda _: UpdateOne({}, {"a": 1}),
            "<lambda> answered with a write that cannot be sent: UpdateOne needs",
        ),
        (lambda _: UpdateOne({}, 5), "<lambda> answered with a write that cannot be sent: 'int'"),  # type: ignore[arg-type]
        (
            lambda _: UpdateOne({}, {"$set": {"a": {1}}}),
            "<lambda> answered with a write that cannot be sent: Invalid document",
        ),
    ],
)
def test_blame(transform: Callable[[Any], Any], what: str) -> None:
    """A failing transform and an answer that is no write name the document, and end the chunk before it."""
    builder = builder_of(lambda order: set_a(order) if order["_id"] < 7 else transform(order))
    builder._transform = lambda order: set_a(order) if order["_id"] < 7 else transform(order)
    builder._transform.__name__ = transform.__name__
    add(builder, range(5, 7))
    with pytest.raises(TransformError) as caught:
        add(builder, range(7, 8))

    assert str(caught.value).startswith(what)
    assert str(caught.value).endswith(
        ". It was given document _id 7. Nothing of this chunk was written; everything before it is "
        "committed. Correct the migration and run again."
    )
    assert ".." not in str(caught.value).replace("(...)", "")
    assert caught.value.document_id == 7
    assert caught.value.__cause__ is not None
    assert builder.chunk.read == 2
    assert [one["q"]["_id"] for _, one in statements(builder.chunk)][:2] == [5, 6]


def test_nothing_past_a_failure() -> None:
    """After a failing document the chunk is as it was before it."""
    builder = builder_of(lambda order: set_a(order) if order["_id"] < 7 else fails(order))
    add(builder, range(5, 7))
    before = statements(builder.chunk), builder.chunk.size, builder.chunk.writes
    with pytest.raises(TransformError):
        add(builder, range(7, 8))

    assert (statements(builder.chunk), builder.chunk.size, builder.chunk.writes) == before


def test_too_large() -> None:
    """A write over 16 MiB names its document."""
    builder = builder_of(lambda _: InsertOne({"x": bytes(16 << 20)}))
    with pytest.raises(TooLargeError) as caught:
        add(builder, range(7, 8))

    assert str(caught.value) == (
        "The write for document _id 7 is too large: 16.0 MiB are to be written; a MongoDB document may have "
        "16 MiB. Nothing of its chunk was written."
    )
    assert caught.value.document_id == 7


def hollow(order: dict[str, Any]) -> UpdateOne:
    write = set_a(order)
    order.clear()
    return write


def test_hollowed() -> None:
    """A transform may take its document apart, even its _id: the chunk knows whose writes are whose."""
    builder = builder_of(hollow)
    add(builder, range(5, 8))
    chunk = builder.cut(through(7))

    assert [chunk.owner(number) for number in range(3)] == [5, 6, 7]
    assert (chunk.read, chunk.written, chunk.through) == (3, 3, through(7))


def test_hollowed_list() -> None:
    """A function of a list may empty the list and its documents."""

    def take(orders: list[dict[str, Any]]) -> list[UpdateOne]:
        writes = [hollow(order) for order in orders]
        orders.clear()
        return writes

    builder = builder_of(each_chunk=take)
    add(builder, range(5, 8))
    chunk = builder.cut(through(7))

    assert [chunk.owner(number) for number in range(3)] == [5, 6, 7]
    assert (chunk.read, chunk.written, chunk.writes) == (3, 3, 3)


@pytest.mark.parametrize(("group_bytes", "length"), [(1, 1), (96, 4), (97, 5), (10**9, 1000)])
def test_each_chunk(group_bytes: int, length: int) -> None:
    """Lists are handed out whole, full at their bytes or at a thousand documents; nothing is left over."""
    lists: list[list[int]] = []
    builder = builder_of(
        each_chunk=lambda orders: lists.append([order["_id"] for order in orders]), group_bytes=group_bytes
    )
    for number in range(2 * length + 1):
        if builder.add(document(number), SIZE, LARGE):
            chunk = builder.cut(through(number))

            assert (chunk.read, chunk.written, builder.pending) == (length, 0, False)
            assert builder.cut_by == ("documents" if length == 1000 else "bytes")
    if builder.pending:
        builder.cut(through(2 * length))

    assert [len(one) for one in lists] == [length, length, 1]
    assert [number for one in lists for number in one] == list(range(2 * length + 1))


def test_each_chunk_stops() -> None:
    """A list under construction is cut short by a stop too, and handed out."""
    lists: list[int] = []
    builder = builder_of(each_chunk=lambda orders: lists.append(len(orders)), watch=Hand(stop=True))

    assert add(builder, range(1)) == [True]
    builder.cut(through(0))
    assert (lists, builder.cut_by) == ([1], "stop")


def test_each_chunk_blames() -> None:
    """Where a list was given, the sentence names its first document and says that it was a list."""
    builder = builder_of(each_chunk=fails)
    add(builder, range(5, 8))
    with pytest.raises(TransformError, match="was given the chunk of documents from _id 5") as caught:
        builder.cut(through(7))

    assert caught.value.document_id == 5


def test_namespaces() -> None:
    """A write goes where it says itself, else to into, else to the scanned collection."""
    own = InsertOne({"_id": 1}, namespace="log.entries")
    writes = [UpdateOne({"_id": 1}, {"$set": {"a": 1}}), own]
    scanned, into = builder_of(lambda _: writes), builder_of(lambda _: writes, into=Orders("shop.archive"))
    for builder in (scanned, into):
        add(builder, range(1))

    assert [name for name, _ in statements(scanned.chunk)] == ["shop.orders", "log.entries"]
    assert [name for name, _ in statements(into.chunk)] == ["shop.archive", "log.entries"]
