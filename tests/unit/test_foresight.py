"""Which writes are foreseen, and which are shown as they are, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Int64, Timestamp
from bson.codec_options import CodecOptions
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.collation import Collation

from chunkmigrate.foresight import Foresight, Reading, Statement, foresee
from chunkmigrate.updates import tree
from chunkmigrate.updates.tree import Mark, Value
from chunkmigrate.writes import encode

if TYPE_CHECKING:
    from chunkmigrate.backfill import Write

DOCUMENT = {"_id": 7, "n": 1, "s": "x", "tags": ["x"]}
OPTIONS = CodecOptions[dict[str, Any]]()
SET = {"$set": {"n": 2}}


def foreseen(*writes: Write, document: dict[str, Any] | None = None, **reading: Any) -> Foresight:
    given = [Statement(write._namespace or "shop.orders", *encode(write, OPTIONS)) for write in writes]
    return foresee(bson.encode(document or DOCUMENT), Reading("shop.orders", **reading), given)


def after(seen: Foresight) -> Any:
    value = tree.collapsed(seen.after)
    return value.decoded() if isinstance(value, Value) else value


def reasons(seen: Foresight) -> list[str]:
    return [apart.reason for apart in seen.apart]


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([], DOCUMENT),
        ([UpdateOne({"_id": 7}, SET)], {**DOCUMENT, "n": 2}),
        ([UpdateOne({"_id": 7.0}, SET, upsert=True)], {**DOCUMENT, "n": 2}),
        ([UpdateMany({"_id": 7}, SET)], {**DOCUMENT, "n": 2}),
        ([UpdateOne({"_id": 7}, {"$inc": {"n": 1}})] * 3, {**DOCUMENT, "n": 4}),
        ([ReplaceOne({"_id": 7}, {"a": 1})], {"_id": 7, "a": 1}),
        ([ReplaceOne({"_id": 7}, {"a": 1, "_id": 7})], {"_id": 7, "a": 1}),
        ([ReplaceOne({"_id": 7}, {})], {"_id": 7}),
        ([DeleteOne({"_id": 7})], Mark.MISSING),
        ([DeleteMany({"_id": 7})], Mark.MISSING),
        ([DeleteOne({"_id": 7}), UpdateOne({"_id": 7}, SET), DeleteOne({"_id": 7})], Mark.MISSING),
        ([DeleteOne({"_id": 7}), InsertOne({"a": 1, "_id": 7})], {"_id": 7, "a": 1}),
        ([UpdateOne({"_id": 7, "n": 1, "s": "x"}, SET)], {**DOCUMENT, "n": 2}),
        ([UpdateOne({"_id": 7, "n": 1.0, "new": {"$exists": False}}, SET)], {**DOCUMENT, "n": 2}),
        ([UpdateOne({"_id": 7, "n": 9, "tags": "x"}, SET)], DOCUMENT),
        ([UpdateOne({"_id": 7, "n": {"$exists": False}}, SET)], DOCUMENT),
        ([UpdateOne({"_id": 7, "new": 1}, SET)], DOCUMENT),
        (
            [UpdateOne({"_id": 7}, SET), UpdateOne({"_id": 7, "n": 2}, {"$set": {"n": 3}})],
            {**DOCUMENT, "n": 3},
        ),
    ],
)
def test_foreseen(writes: list[Write], expected: Any) -> None:
    """Writes that name the document's `_id` are foreseen, one after the other."""
    seen = foreseen(*writes)

    assert after(seen) == expected
    assert not seen.apart
    assert not seen.refused


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (UpdateMany({"parent": 7}, SET), "does not name one _id"),
        (UpdateOne({}, SET), "does not name one _id"),
        (UpdateOne({"_id": {"$in": [7]}}, SET), "does not name one _id"),
        (UpdateOne({"_id": 7}, [{"$set": {"n": 2}}]), "pipeline"),
        (UpdateOne({"_id": 7}, SET, collation=Collation("en")), "collation"),
        (UpdateOne({"_id": 7, "tags": "x"}, SET), "more than _id"),
        (UpdateOne({"_id": 7, "n": {"$gt": 0}}, SET), "more than _id"),
        (UpdateOne({"_id": 7, "$or": [{"n": 1}]}, SET), "more than _id"),
        (UpdateOne({"_id": 7, "n": None}, SET), "more than _id"),
        (UpdateOne({"_id": 7, "s.x": 1}, SET), "more than _id"),
        (UpdateOne({"_id": 7, "n": 9}, SET, upsert=True), "inserts"),
        (ReplaceOne({"_id": 7}, {"_id": 7.0}), "another type"),
        (ReplaceOne({"_id": 7}, {"a.b": 1}), "servers differ"),
        (ReplaceOne({"_id": 7}, {"a": {"$b": 1}}), "servers differ"),
        (DeleteMany({}), "does not name one _id"),
    ],
)
def test_apart(write: Write, reason: str) -> None:
    """A write of which it cannot be told what it does is kept apart, and so are those behind it."""
    seen = foreseen(write, UpdateOne({"_id": 7}, {"$set": {"n": 5}}), UpdateOne({"_id": 8}, SET))

    assert [apart.statement.kind for apart in seen.apart] == [
        *map(kind, [write, UpdateOne({}, SET), UpdateOne({}, SET)])
    ]
    first, behind, other = reasons(seen)
    assert reason in first
    assert behind == "it comes behind a write that is not foreseen"
    assert other == "it is about another document"
    assert after(seen) == DOCUMENT


def kind(write: Write) -> str:
    return encode(write, OPTIONS)[0]


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (InsertOne({"a": 1}), "it is a document of its own"),
        (UpdateOne({"_id": 8}, SET, upsert=True), "it is about another document"),
        (DeleteOne({"_id": "7"}), "it is about another document"),
        (UpdateOne({"_id": 7}, SET, namespace="shop.audit"), "it goes to another collection"),
        (InsertOne({"_id": 7}, namespace="shop.audit"), "it goes to another collection"),
    ],
)
def test_elsewhere(write: Write, reason: str) -> None:
    """A write that is about something else is kept apart, and those behind it are foreseen all the same."""
    seen = foreseen(write, UpdateOne({"_id": 7}, SET))

    assert reasons(seen) == [reason]
    assert after(seen) == {**DOCUMENT, "n": 2}


@pytest.mark.parametrize(
    "write",
    [
        InsertOne({"_id": 7}),
        InsertOne({"_id": 7.0}),
        ReplaceOne({"_id": 7}, {"_id": 8}),
        UpdateOne({"_id": 7}, {"$inc": {"s": 1}}),
        UpdateOne({"_id": 7, "n": 9}, {"$inc": {"s": "1"}}),
        UpdateOne({"_id": 7}, {"$set": {"_id": 8}}),
    ],
)
def test_refused(write: Write) -> None:
    """What the server would refuse ends what is foreseen: none of the document's writes would be done."""
    seen = foreseen(UpdateOne({"_id": 7}, SET), write, DeleteOne({"_id": 7}))

    assert seen.refused
    assert seen.refused.statement == Statement("shop.orders", *encode(write, OPTIONS))
    assert not seen.apart


def test_refused_behind_what_is_not_foreseen() -> None:
    """Behind a write that is not foreseen only that is refused which the server refuses in any case."""
    pipeline = UpdateOne({"_id": 7}, [{"$set": {"s": 1}}])

    assert not foreseen(pipeline, UpdateOne({"_id": 7}, {"$inc": {"s": 1}})).refused
    assert not foreseen(pipeline, InsertOne({"_id": 7})).refused
    assert not foreseen(pipeline, ReplaceOne({"_id": 7}, {"_id": 8})).refused
    assert foreseen(pipeline, UpdateOne({"_id": 7}, {"$inc": {"s": "1"}})).refused


def test_projection() -> None:
    """A document that replaces one of which only some fields were read takes the others away, too."""
    seen = foreseen(ReplaceOne({"_id": 7}, {"n": 1}), document={"_id": 7, "n": 1}, fields=("n",))

    assert after(seen) == {"_id": 7, "n": 1}
    assert tree.collapsed(seen.before) is Mark.UNKNOWN


def test_projected_conditions() -> None:
    """Whether a condition on what was not read holds is not known."""
    seen = foreseen(UpdateOne({"_id": 7, "v": 1}, SET), document={"_id": 7, "n": 1}, fields=("n",))

    assert reasons(seen) == ["its filter asks for more than _id"]


def test_collation() -> None:
    """In a collection with a collation, strings that differ may be one `_id`, and may match a condition."""
    document = {"_id": "a", "s": "x"}
    same = foreseen(UpdateOne({"_id": "a"}, SET), document=document, collated=True)
    other = foreseen(UpdateOne({"_id": "A"}, SET), document=document, collated=True)
    condition = foreseen(UpdateOne({"_id": "a", "s": "X"}, SET), document=document, collated=True)

    assert after(same) == document | {"n": 2}
    assert reasons(other) == ["in this collection, different strings may be one _id"]
    assert reasons(condition) == ["its filter asks for more than _id"]


def test_time_in_whole_documents() -> None:
    """In a whole document an empty timestamp becomes the time of writing, unless it is further inside."""
    seen = foreseen(ReplaceOne({"_id": 7}, {"at": Timestamp(0, 0), "in": {"at": Timestamp(0, 0)}}))

    assert isinstance(seen.after, tree.Fields)
    assert seen.after["at"] is Mark.TIMESTAMP
    assert tree.collapsed(seen.after["in"]) == tree.value_of({"at": Timestamp(0, 0)})


def test_ids_of_all_types() -> None:
    """An `_id` is the one it is compared as; one that looks like a condition is not taken for a value."""
    for id_, named in (
        ({"a": 1}, {"a": 1}),
        (None, None),
        (float("nan"), float("nan")),
        (Int64(2), 2),
        (b"x", b"x"),
    ):
        assert not foreseen(UpdateOne({"_id": named}, SET), document={"_id": id_}).apart
    assert foreseen(UpdateOne({"_id": {"$gt": 1}}, SET), document={"_id": {"$gt": 1}}).apart
