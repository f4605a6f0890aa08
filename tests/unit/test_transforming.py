"""Transforming: documents become writes, or stop the run, or go into quarantine, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo import InsertOne, UpdateOne

from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import (
    DocumentError,
    QuarantineFullError,
    TooLargeError,
    TransformError,
    WriteRefusedError,
)
from chunkmigrate.records import Counts
from tests.unit.making import (
    Orders,
    aside,
    quarantine_of,
    set_a,
    statements,
    transformer_of,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkmigrate.transforming import Transformer


def fill(transformer: Transformer, numbers: Sequence[int], **fields: Any) -> Chunk:
    """A chunk of the documents with these _ids."""
    chunk = Chunk(0, None, joined=transformer.joined)
    documents = [{"_id": number, **fields} for number in numbers]
    if transformer.joined:
        transformer.add_joined(chunk, documents, [*map(bson.encode, documents)])
    else:
        for document in documents:
            transformer.add(chunk, document)
    return chunk


def later(order: dict[str, Any]) -> Iterator[Any]:
    yield set_a(order)
    raise KeyError("price")


def fails(_: Any) -> None:
    raise KeyError("price")


def ends_badly(_: Any) -> None:
    raise TypeError("no number.")


def leaves(_: Any) -> None:
    raise SystemExit(3)


FAILURES = [
    (fails, "fails raised KeyError: 'price'"),
    (ends_badly, "ends_badly raised TypeError: no number"),
    (leaves, "leaves raised SystemExit: 3"),
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
]


def of_seven(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The transform for document 7; others get their field."""
    chosen = lambda order: transform(order) if order["_id"] == 7 else set_a(order)  # noqa: E731
    chosen.__name__ = transform.__name__
    return chosen


@pytest.mark.parametrize(("transform", "what"), FAILURES)
def test_blame(transform: Callable[[Any], Any], what: str) -> None:
    """A failing transform and an answer that is no write name the document, and stop the run before it."""
    transformer = transformer_of(of_seven(transform), quarantine=quarantine_of(enabled=False))
    chunk = fill(transformer, [5, 6])
    with pytest.raises(TransformError) as caught:
        transformer.add(chunk, {"_id": 7})

    assert str(caught.value).startswith(what)
    assert str(caught.value).endswith(
        ". It was given document _id 7. Nothing of this chunk was written; everything before it is "
        "committed. Correct the migration and run again."
    )
    assert caught.value.aside(show_values=True).endswith(". It was given document _id 7.")
    assert caught.value.aside(show_values=False).endswith(". It was given document _id 7.")
    assert ".." not in str(caught.value).replace("(...)", "")
    assert caught.value.document_id == 7
    assert caught.value.__cause__ is not None
    assert (chunk.read, written(chunk)) == (2, [5, 6])


@pytest.mark.parametrize(("transform", "what"), FAILURES)
def test_aside(transform: Callable[[Any], Any], what: str) -> None:
    """With a quarantine the same documents are set aside, with the same sentence, and nothing of their
    writes is kept; the others are written.
    """
    chunk = fill(transformer_of(of_seven(transform)), [5, 7, 8])

    assert (written(chunk), aside(chunk)) == ([5, 8], {7: "transform"})
    assert chunk.counts == Counts(read=3, written=2, writes=2, quarantined=1)
    assert chunk.aside is not None
    assert chunk.aside.owners == [1]
    assert bson.decode(chunk.aside.statements)["u"]["$set"]["message"].startswith(what)


def test_interrupt() -> None:
    """An interrupt is nobody's failure: it is not taken for the document's."""

    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(transformer_of(interrupted), [1])


def large(order: dict[str, Any]) -> Any:
    return InsertOne({"_id": order["_id"], "x": bytes(16 << 20)})


def test_too_large() -> None:
    """A write over 16 MiB names its document."""
    with pytest.raises(TooLargeError) as caught:
        fill(transformer_of(large, quarantine=quarantine_of(enabled=False)), [7])

    assert str(caught.value) == (
        "The write for document _id 7 is too large: 16.0 MiB are to be written; a MongoDB document may have "
        "16 MiB. Nothing of its chunk was written."
    )
    assert caught.value.document_id == 7


def test_too_large_aside() -> None:
    """A write over 16 MiB sets its document aside, with the writes it had before."""
    chunk = fill(transformer_of(of_seven(lambda order: [set_a(order), large(order)])), [6, 7, 8])

    assert (written(chunk), aside(chunk)) == ([6, 8], {7: "too large"})


def test_limit() -> None:
    """One document more than may be set aside stops the run, which says what failed."""
    transformer = transformer_of(fails, quarantine=quarantine_of(limit=2))
    chunk = fill(transformer, [1, 2])
    with pytest.raises(QuarantineFullError, match="fails raised KeyError: 'price'") as caught:
        transformer.add(chunk, {"_id": 3})

    assert caught.value.last.document_id == 3
    assert list(aside(chunk)) == [1, 2]


def hollow(order: dict[str, Any]) -> UpdateOne:
    write = set_a(order)
    order.clear()
    return write


def take(orders: list[dict[str, Any]]) -> list[UpdateOne]:
    """Take the documents apart, then the list."""
    writes = [hollow(order) for order in orders]
    orders.clear()
    return writes


@pytest.mark.parametrize("options", [{"transform": hollow}, {"each_chunk": take}], ids=["each", "joined"])
def test_hollowed(options: dict[str, Any]) -> None:
    """A transform may take its document apart, even its _id, or its list: the chunk knows whose writes are
    whose.
    """
    chunk = fill(transformer_of(**options), [5, 6, 7])

    assert [chunk.owner(number) for number in range(3)] == written(chunk) == [5, 6, 7]
    assert chunk.counts == Counts(read=3, written=3, writes=3)


def test_joined_blames() -> None:
    """Where a list was given, it is divided until the document is found that stops the run."""
    given: list[list[int]] = []

    def shares(orders: list[dict[str, Any]]) -> list[UpdateOne]:
        given.append([order["_id"] for order in orders])
        return [set_a(order) for order in orders if 1 / (order["_id"] - 5)]

    with pytest.raises(TransformError, match="shares raised ZeroDivisionError") as caught:
        fill(transformer_of(each_chunk=shares, quarantine=quarantine_of(enabled=False)), range(1, 9))

    assert caught.value.document_id == 5
    assert given == [[*range(1, 9)], [1, 2, 3, 4], [5, 6, 7, 8], [5, 6], [5]]


@pytest.mark.parametrize(
    "bad", [[], [0], [12], [6], [0, 12], [5, 6, 7], [0, 1, 2, 11, 12], [*range(13)]], ids=str
)
def test_joined_divides(bad: list[int]) -> None:
    """Of a list that fails exactly the documents at fault are set aside; the others are written, in order."""

    def checks(orders: list[dict[str, Any]]) -> list[UpdateOne]:
        assert not [order for order in orders if order["_id"] in bad]
        return [set_a(order) for order in orders]

    chunk = fill(transformer_of(each_chunk=checks), range(13))
    good = [number for number in range(13) if number not in bad]

    assert (written(chunk), aside(chunk)) == (good, dict.fromkeys(bad, "transform"))
    assert chunk.counts == Counts(read=13, written=len(good), writes=len(good), quarantined=len(bad))
    assert [chunk.owner(number) for number in range(13)] == [*range(13)]
    assert chunk.aside is None or chunk.aside.owners == bad


def test_joined_afresh() -> None:
    """A list that is divided is given as it was read, whatever the first try has done to its documents."""

    def doubles(orders: list[dict[str, Any]]) -> Iterator[UpdateOne]:
        for order in orders:
            order["price"] *= 2
            yield UpdateOne({"_id": order["_id"]}, {"$set": {"price": order["price"]}})
            assert order.pop("_id") != 5

    chunk = fill(transformer_of(each_chunk=doubles), range(8), price=10)

    assert [one["u"]["$set"]["price"] for _, one in statements(chunk)] == [20] * 7
    assert aside(chunk) == {5: "transform"}


def test_joined_nothing() -> None:
    """Of a list that needs no write no document counts as written."""
    assert fill(transformer_of(each_chunk=lambda _: None), range(3)).counts == Counts(read=3)


def test_refuse() -> None:
    """A document that the server refuses loses its writes and is set aside; without a quarantine it stops
    the run.
    """
    error = WriteRefusedError(6, "MongoDB refused the write.", 121)
    two = lambda order: [set_a(order), set_a(order)] if order["_id"] != 7 else None  # noqa: E731
    transformer = transformer_of(two)
    chunk = fill(transformer, [5, 6, 7])
    transformer.refuse(chunk, 1, error)
    strict = transformer_of(two, quarantine=quarantine_of(enabled=False))
    with pytest.raises(DocumentError) as caught:
        strict.refuse(fill(strict, [5, 6, 7]), 1, error)

    assert caught.value is error
    assert (written(chunk), aside(chunk)) == ([5, 5], {6: "refused"})
    assert chunk.counts == Counts(read=3, written=1, writes=2, quarantined=1)


def test_namespaces() -> None:
    """A write goes where it says itself, else to into, else to the scanned collection."""
    own = InsertOne({"_id": 1}, namespace="log.entries")
    writes = lambda order: [set_a(order), own]  # noqa: E731
    scanned = fill(transformer_of(writes), [1])
    into = fill(transformer_of(writes, into=Orders("shop.archive")), [1])

    assert [name for name, _ in statements(scanned)] == ["shop.orders", "log.entries"]
    assert [name for name, _ in statements(into)] == ["shop.archive", "log.entries"]
