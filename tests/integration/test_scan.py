from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import bson
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Timestamp,
)

from chunkmigrate import scan
from chunkmigrate.errors import UnusableIndexError
from chunkmigrate.pages import PageReader
from chunkmigrate.raw import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

    from chunkmigrate import Scan
    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key

MIXED_IDS = [
    MinKey(),
    None,
    float("nan"),
    float("-inf"),
    -1.5,
    0,
    Int64(2**40),
    Decimal128("7.25"),
    float("inf"),
    "",
    "a",
    "b" * 300,
    {"a": 1},
    {"a": 1, "b": {"c": "x"}},
    {"$ref": "other", "$id": 5},
    DBRef("orders", ObjectId(b"0123456789ab")),
    Binary(b""),
    Binary(b"xyz"),
    Binary.from_uuid(UUID(int=5)),
    ObjectId(b"0" * 12),
    ObjectId(b"z" * 12),
    False,
    True,
    datetime(1950, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    Timestamp(1, 1),
    Code("return 1"),
    Code("return 1", {"a": 1}),
    MaxKey(),
]


def keys(db: Database[Any], page_bytes: int, *, measured: bool, filter_: Any = None) -> Iterator[bytes]:
    """The `_id`s of a collection, read page by page."""
    described = scan(db.c, filter_, fields=[])
    upto = described.upper_bound()
    assert upto is not None
    yield from behind(described, None, upto, page_bytes, measured=measured)


def behind(
    described: Scan, after: Key | None, upto: Key, page_bytes: int, *, measured: bool
) -> Iterator[bytes]:
    """The raw documents behind a position, read page by page."""
    reader = PageReader(described, upto)
    while page := reader.read(after, page_bytes, measured=measured):
        after = page.through
        yield from map(bytes, page)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("page_bytes", [1, 40, 100, 10_000])
def test_mixed_ids(db: Database[Any], page_bytes: int, *, measured: bool) -> None:
    """`_id`s of every type are read once each, in the order of the index, whatever the page size."""
    random.Random(7).shuffle(ids := list(MIXED_IDS))
    db.c.insert_many({"_id": id_} for id_ in ids)

    read = list(keys(db, page_bytes, measured=measured))

    assert len(read) == len(MIXED_IDS)
    assert read == [document.raw for document in raw_documents(db)]


def test_hint_from_any_position(db: Database[Any]) -> None:
    """By another index reading goes on behind any position, up to any bound, as by the one on `_id`.

    Whatever the types of the `_id`s, and where fields hold arrays.
    """
    db.c.create_index([("s", 1), ("_id", 1)])
    states = [["open", "late"], "open", "late", None]
    db.c.insert_many({"_id": id_, "s": states[number % 4]} for number, id_ in enumerate(MIXED_IDS))
    described = scan(db.c, {"s": "open"}, fields=[], hint="s_1__id_1")
    everything = [key_of(document.raw) for document in raw_documents(db)]
    matching = [key_of(bytes(document)) for document in described_by(described, everything[-1])]
    described.check()

    assert len(matching) == len(MIXED_IDS) // 2 + 1
    for number, upto in enumerate(everything):
        for after in (None, *everything[:number]):
            between = everything[0 if after is None else everything.index(after) + 1 : number]
            expected = [key for key in between if key in matching]

            assert described.keys(after, upto, 99) == expected
            assert (
                len(described.page(after, upto, 99)) == len(described.sizes(after, upto, 99)) == len(expected)
            )


def described_by(described: Scan, upto: Key) -> list[memoryview]:
    """What a scan reads by the index on `_id`, its bound included."""
    plain = replace(described, hint=None)
    return [*plain.page(None, upto, 99), *plain.last(upto)]


def test_hint_is_read(db: Database[Any]) -> None:
    """By the index that is named nothing is looked at but what matches, in pages and when counting."""
    db.c.create_index([("s", 1), ("_id", 1)])
    db.c.insert_many({"_id": n, "s": "open" if n % 50 == 0 else "done"} for n in range(1_000))
    described = scan(db.c, {"s": "open"}, fields=["s"], hint="s_1__id_1")
    read = described.explained("executionStats", 100)["executionStats"]

    assert [document["_id"] for document in described] == [*range(0, 1_000, 50)]
    assert read["totalDocsExamined"] == read["nReturned"] == 20
    assert described.count() == 20
    assert described.count(key_of(bson.encode({"_id": 500}))) == 9


UNUSABLE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"s": {"$gt": "a"}}, "in _id order"),
    ({}, {}, "in _id order"),
    ({"sparse": True}, {"s": "open"}, "sparse or partial"),
    ({"partialFilterExpression": {"s": "open"}}, {"s": "open"}, "sparse or partial"),
    ({"collation": {"locale": "fr"}}, {"s": "open"}, "in _id order"),
    ({"name": "other"}, {"s": "open"}, "which has _id_, other"),
]


@pytest.mark.parametrize(("options", "filter_", "reason"), UNUSABLE)
def test_unusable_hint(
    db: Database[Any], options: dict[str, Any], filter_: dict[str, Any], reason: str
) -> None:
    """An index that is not there, leaves out documents or is in another order is refused at the start."""
    db.c.insert_many({"_id": n, "s": "open"} for n in range(10))
    db.c.create_index([("s", 1), ("_id", 1)], **options)
    described = scan(db.c, filter_, hint="s_1__id_1")

    with pytest.raises(UnusableIndexError, match=reason) as raised:
        next(iter(described))
    assert (raised.value.namespace, raised.value.index) == (described.namespace, "s_1__id_1")


def test_hint_in_an_empty_collection(db: Database[Any]) -> None:
    """Where there is nothing to read, by whatever index, nothing is read."""
    db.c.create_index([("s", 1), ("_id", 1)])

    assert [*scan(db.c, {"s": "open"}, hint="s_1__id_1")] == []


def raw_documents(db: Database[Any]) -> list[Any]:
    from chunkmigrate.scan import RAW

    return list(db.c.with_options(RAW).find({}, {"_id": 1}).sort("_id", 1).hint("_id_"))


def test_mixed_ids_from_any_position(db: Database[Any]) -> None:
    """Reading goes on behind any position, of any type, without skipping or repeating a document."""
    db.c.insert_many({"_id": id_} for id_ in MIXED_IDS)
    described = scan(db.c, fields=[])
    upto = described.upper_bound()
    everything = [document.raw for document in raw_documents(db)]
    assert upto is not None

    for number, document in enumerate(everything):
        position = key_of(document)

        assert list(behind(described, position, upto, 100, measured=False)) == everything[number + 1 :]


def test_filter_with_id_conditions(db: Database[Any]) -> None:
    """A filter of the author's on `_id` holds beside the position."""
    db.c.insert_many({"_id": n, "even": n % 2 == 0} for n in range(100))

    read = list(keys(db, 60, measured=False, filter_={"_id": {"$gte": 10, "$ne": 50}, "even": True}))

    assert len(read) == 44


def test_inserted_behind_the_bound(db: Database[Any]) -> None:
    """Documents inserted behind the upper bound while reading are not read."""
    db.c.insert_many({"_id": n} for n in range(50))
    reading = keys(db, 60, measured=False)
    next(reading)
    db.c.insert_many({"_id": n} for n in range(1_000, 1_100))

    assert len(list(reading)) == 49


def test_bound_deleted(db: Database[Any]) -> None:
    """The read ends where it should when the document at the upper bound is gone by then."""
    db.c.insert_many({"_id": n} for n in range(50))
    reading = keys(db, 60, measured=False)
    next(reading)
    db.c.delete_one({"_id": 49})
    db.c.insert_one({"_id": 60})

    assert len(list(reading)) == 48


def test_sizes_are_those_of_pages(db: Database[Any]) -> None:
    """The sizes asked for beforehand are those of the documents a page then has."""
    db.c.insert_many({"_id": n, "a": "x" * n, "b": {"c": n, "d": "y" * 50}} for n in range(1, 90))
    for fields in (None, [], ["a"], ["a", "b"]):
        described = scan(db.c, fields=fields)
        upto = described.upper_bound()
        assert upto is not None
        page = described.page(None, upto, 60)

        assert described.sizes(None, upto, 60) == [len(document) for document in page]


def test_measured_pages_keep_their_size(db: Database[Any]) -> None:
    """A measured page is never heavier than asked for, unless one document alone is."""
    sizes = [random.Random(3).choice([10, 200, 70_000]) for _ in range(300)]
    db.c.insert_many({"_id": n, "a": "x" * size} for n, size in enumerate(sizes))
    described = scan(db.c)
    upto = described.upper_bound()
    assert upto is not None
    reader, after, read = PageReader(described, upto), None, 0
    while page := reader.read(after, 100_000, measured=True):
        after, read = page.through, read + len(page)

        assert page.size <= 100_000 or len(page) == 1

    assert read == 300


def test_keys_are_those_of_pages(db: Database[Any]) -> None:
    """The `_id`s alone are those of the documents a page has, of any type, the filter heeded."""
    db.c.insert_many({"_id": id_, "a": number % 3} for number, id_ in enumerate(MIXED_IDS))
    for described in (scan(db.c), scan(db.c, {"a": 1}, fields=["b"])):
        upto = described.upper_bound()
        assert upto is not None
        after = None
        while page := described.page(after, upto, 4):
            found = [page.key(index) for index in range(len(page))]

            assert described.keys(after, upto, 4) == found
            assert described.keys(after, upto, 2, skip=1) == found[1:3]
            after = page.through
        assert described.keys(after, upto, 4) == []
        assert described.last_size(upto) == [len(document) for document in described.last(upto)]


def test_ahead(db: Database[Any]) -> None:
    """A number of documents ahead is that many steps in the index, over all types, whatever the filter."""
    db.c.insert_many({"_id": id_} for id_ in MIXED_IDS)
    described = scan(db.c, {"nothing": 1}, fields=["a"])
    everything = [key_of(document.raw) for document in raw_documents(db)]
    upto = everything[-1]
    for start, after in enumerate([None, *everything[:-2]]):
        ahead = [described.ahead(after, upto, count) for count in range(1, len(everything) - start + 1)]

        assert ahead == [*everything[start:-1], None]


def test_in_a_transaction(db: Database[Any]) -> None:
    """With a session everything is read as its transaction sees it: its own writes, and no later ones."""
    db.c.insert_many({"_id": n, "a": 1} for n in range(4))
    described = scan(db.c, {"a": 1})
    upto = described.upper_bound()
    assert upto is not None
    with db.client.start_session() as session, session.start_transaction():
        db.c.delete_one({"_id": 0}, session=session)
        db.c.update_one({"_id": 3}, {"$set": {"b": "x" * 100}}, session=session)
        db.c.delete_one({"_id": 1})

        assert [found["_id"] for found in decoded(described.page(None, upto, 9, session=session))] == [1, 2]
        assert described.keys(None, upto, 9, session=session) == [
            key_of(bson.encode({"_id": n})) for n in (1, 2)
        ]
        assert len(described.sizes(None, upto, 9, session=session)) == 2
        assert "b" in decoded(described.last(upto, session=session))[0]
        assert "b" not in decoded(described.last(upto))[0]
        assert [found["_id"] for found in decoded(described.page(None, upto, 9))] == [0, 2]


def decoded(page: Page) -> list[Any]:
    return [bson.decode(document) for document in page]


def test_reply_cut_by_the_server(db: Database[Any]) -> None:
    """A reply that the server cuts at 16 MiB is not taken for the end."""
    db.c.insert_many({"_id": n, "a": "x" * 3_000_000} for n in range(12))
    described = scan(db.c)
    upto = described.upper_bound()
    assert upto is not None
    first = described.page(None, upto, 1_000)

    assert 0 < len(first) < 11
    assert len(list(described)) == 12


def test_plain_iteration(db: Database[Any]) -> None:
    """Iterating a scan yields decoded documents with the named fields only."""
    db.c.insert_many({"_id": n, "a": n, "b": 1} for n in range(2_500))

    assert list(scan(db.c, fields=["a"])) == [{"_id": n, "a": n} for n in range(2_500)]


def test_empty_and_missing(db: Database[Any]) -> None:
    """A collection without documents, or that does not exist, yields nothing."""
    assert list(scan(db.missing)) == []
    assert scan(db.missing).upper_bound() is None
    assert scan(db.missing).count() == 0


def test_collection_with_a_collation(db: Database[Any]) -> None:
    """Where a collection sorts its `_id`s by a collation, every document is still read once."""
    db.create_collection("c", collation={"locale": "en", "strength": 3, "numericOrdering": True})
    db.c.insert_many({"_id": id_} for id_ in ["a10", "a9", "B", "b", "É", "z", "a2"])

    assert len(list(keys(db, 40, measured=False))) == 7


def test_clustered_collection(db: Database[Any]) -> None:
    """A clustered collection, which has no index on `_id`, is read like any other."""
    db.create_collection("c", clusteredIndex={"key": {"_id": 1}, "unique": True})
    db.c.insert_many({"_id": n} for n in range(100))

    assert len(list(keys(db, 200, measured=False))) == 100
