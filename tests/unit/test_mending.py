"""Mending: documents that somebody edited between being read and being written are transformed again."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from pymongo import UpdateOne

from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import TransformError
from chunkmigrate.records import Counts
from chunkmigrate.transforming import CHANGED_TRIES, Transformer
from chunkmigrate.unchanged import print_of
from tests.unit.making import aside, key, quarantine_of, statements, transformer_of, undecodable, written


def stored(number: int, price: Any = 1) -> bytes:
    return bson.encode({"_id": number, "price": price})


def print_at(number: int, price: Any = 1) -> tuple[Any, bytes]:
    return key(number), print_of(stored(number, price))


def double(order: dict[str, Any]) -> UpdateOne | None:
    """The transform: nothing to do for a price of 0."""
    if not order["price"]:
        return None
    return UpdateOne({"_id": order["_id"]}, {"$set": {"double": 2 * order.pop("price")}})


def read(transformer: Transformer, count: int) -> Chunk:
    """A chunk of as many documents, with what they were."""
    chunk, documents = Chunk(0, None, joined=transformer.joined), [stored(n) for n in range(count)]
    if transformer.joined:
        transformer.add_joined(chunk, [*map(bson.decode, documents)], documents)
    for number, document in enumerate(documents):
        if not transformer.joined:
            transformer.add(chunk, bson.decode(document))
        chunk.remember(number, (key(number), print_of(document)))
    return chunk


def doubles(chunk: Chunk) -> dict[int, Any]:
    """What is to be written, by _id."""
    return {one["q"]["_id"]: one["u"]["$set"]["double"] for _, one in statements(chunk)}


def test_again() -> None:
    """Edited documents are written as what they have become, once; the others are left as they were."""
    transformer = transformer_of(double)
    chunk = read(transformer, 4)
    transformer.mend(chunk, {1: stored(1, 10), 3: stored(3, 30)})

    assert doubles(chunk) == {0: 2, 1: 20, 2: 2, 3: 60}
    assert sorted(written(chunk)) == [0, 1, 2, 3]
    assert chunk.counts == Counts(read=4, written=4, writes=4, changed=2)
    assert chunk.prints == [print_at(0), print_at(1, 10), print_at(2), print_at(3, 30)]
    assert {owner for group in chunk.groups for owner in group.owners} == {0, 1, 2, 3}


def test_no_more() -> None:
    """A document that needs nothing after the edit is no longer written, nor counted as written; and back."""
    transformer = transformer_of(double)
    chunk = read(transformer, 2)
    transformer.mend(chunk, {1: stored(1, 0)})
    nothing = written(chunk), chunk.counts
    transformer.mend(chunk, {1: stored(1, 5)})

    assert nothing == ([0], Counts(read=2, written=1, writes=1, changed=1))
    assert doubles(chunk) == {0: 2, 1: 10}
    assert chunk.counts == Counts(read=2, written=2, writes=2, changed=2)


def test_gone() -> None:
    """A document that is gone, or no longer matches, is not written, and not compared any more."""
    transformer = transformer_of(double)
    chunk = read(transformer, 3)
    transformer.mend(chunk, {1: None})

    assert written(chunk) == [0, 2]
    assert chunk.counts == Counts(read=3, written=2, writes=2, changed=1)
    assert chunk.prints == [print_at(0), None, print_at(2)]


@pytest.mark.parametrize("enabled", [True, False])
def test_conflict(*, enabled: bool) -> None:
    """A document edited again after each of three tries goes into quarantine, whether one was asked for or
    not: nobody chose the conflict.
    """
    transformer = transformer_of(double, quarantine=quarantine_of(enabled=enabled))
    chunk = read(transformer, 2)
    for price in range(2, CHANGED_TRIES + 2):
        transformer.mend(chunk, {1: stored(1, price)})
        assert doubles(chunk) == {0: 2, 1: 2 * price}
    transformer.mend(chunk, {1: stored(1, 99)})

    assert (written(chunk), aside(chunk)) == ([0], {1: "conflict"})
    assert chunk.counts == Counts(read=2, written=1, writes=1, quarantined=1, changed=CHANGED_TRIES + 1)
    assert chunk.prints == [print_at(0), None]


def test_tries_of_each() -> None:
    """Each document has its own three tries."""
    transformer = transformer_of(double)
    chunk = read(transformer, 2)
    for price in range(2, CHANGED_TRIES + 2):
        transformer.mend(chunk, {0: stored(0, price)})
        transformer.mend(chunk, {1: stored(1, price)})

    assert chunk.quarantined == 0
    assert doubles(chunk) == dict.fromkeys((0, 1), 2 * (CHANGED_TRIES + 1))


def test_fails_now() -> None:
    """A document that cannot be transformed after the edit is set aside, or stops the run."""
    for price, reason in (("dear", "transform"), (None, "transform")):
        kind = lambda order: double(order | {"price": order["price"] + 0})  # noqa: E731
        transformer, strict = (
            transformer_of(kind),
            transformer_of(kind, quarantine=quarantine_of(enabled=False)),
        )
        chunk = read(transformer, 2)
        transformer.mend(chunk, {1: stored(1, price)})

        assert (written(chunk), aside(chunk)) == ([0], {1: reason})
        with pytest.raises(TransformError):
            strict.mend(read(strict, 2), {1: stored(1, price)})


@pytest.mark.parametrize("options", [{"transform": double}, {"each_chunk": lambda all_: map(double, all_)}])
def test_undecodable_now(options: dict[str, Any]) -> None:
    """A document that somebody made undecodable is set aside like one that was found so."""
    transformer = transformer_of(**options)
    chunk = read(transformer, 3)
    fresh = {0: stored(0), 1: undecodable({"_id": 1}), 2: stored(2)}
    transformer.mend(chunk, fresh if transformer.joined else {1: fresh[1]})

    assert (sorted(written(chunk)), aside(chunk)) == ([0, 2], {1: "undecodable"})
    assert chunk.counts == Counts(read=3, written=2, writes=2, quarantined=1, changed=1)


def joined() -> tuple[Transformer, list[list[int]]]:
    """A transformer of lists, and the lists it is given."""
    given: list[list[int]] = []

    def doubled(orders: list[dict[str, Any]]) -> list[Any]:
        given.append([order["_id"] for order in orders])
        return [write for order in orders if (write := double(order))]

    return transformer_of(each_chunk=doubled), given


def test_joined() -> None:
    """Documents that are transformed together are so again, all of them: those that are gone left out, those
    nobody edited given as they were.
    """
    transformer, given = joined()
    chunk = read(transformer, 4)
    transformer.mend(chunk, {0: stored(0), 1: None, 2: stored(2, 7), 3: stored(3)})

    assert given == [[0, 1, 2, 3], [0, 2, 3]]
    assert doubles(chunk) == {0: 2, 2: 14, 3: 2}
    assert chunk.counts == Counts(read=4, written=3, writes=3, changed=2)
    assert chunk.prints == [print_at(0), None, print_at(2, 7), print_at(3)]


def test_joined_gone() -> None:
    """Where all documents are gone, nothing is transformed or written."""
    transformer, given = joined()
    chunk = read(transformer, 2)
    transformer.mend(chunk, {0: None, 1: None})

    assert (given, chunk.groups) == ([[0, 1]], [])
    assert chunk.counts == Counts(read=2, changed=2)


def test_joined_conflict() -> None:
    """Of documents that are transformed together only the one that is edited again and again is set aside."""
    transformer, _ = joined()
    chunk = read(transformer, 3)
    for price in range(2, CHANGED_TRIES + 3):
        transformer.mend(chunk, {0: stored(0), 1: stored(1, price), 2: stored(2)})

    assert (doubles(chunk), aside(chunk)) == ({0: 2, 2: 2}, {1: "conflict"})
    assert chunk.counts == Counts(read=3, written=2, writes=2, quarantined=1, changed=CHANGED_TRIES + 1)


def test_joined_fails_now() -> None:
    """A list that fails after an edit is divided, too, until the document at fault is found."""
    transformer = transformer_of(
        each_chunk=lambda orders: [double(order | {"price": order["price"] + 0}) for order in orders]
    )
    chunk = read(transformer, 5)
    fresh = {number: stored(number) for number in range(5)} | {3: stored(3, "dear")}
    transformer.mend(chunk, fresh)

    assert (sorted(written(chunk)), aside(chunk)) == ([0, 1, 2, 4], {3: "transform"})
    assert chunk.counts == Counts(read=5, written=4, writes=4, quarantined=1, changed=1)
    assert chunk.prints[3] is None
