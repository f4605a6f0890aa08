"""What a statement says of the documents it can change."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import DBRef, Decimal128, Int64, ObjectId, Regex
from bson.codec_options import CodecOptions
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.collation import Collation

from chunkmigrate import raw
from chunkmigrate.touched import Statement, identity, statement_of
from chunkmigrate.writes import encode

OPTIONS = CodecOptions[dict[str, Any]]()


def read(write: Any) -> Statement:
    return statement_of(*encode(write, OPTIONS), owner=0)


def key(id_: Any) -> raw.Key:
    return raw.key_of(bson.encode({"_id": id_}))


@pytest.mark.parametrize("id_", [1, None, "a", {"a": 1}, ObjectId(), DBRef("c", 1).as_doc().to_dict()])
def test_named(id_: Any) -> None:
    """A filter on an `_id` names it, beside whatever else it asks for."""
    named = read(UpdateOne({"_id": id_, "n": {"$gt": 1}}, {"$set": {"a": 1}}))

    assert named.key == (None if isinstance(id_, dict) and "$ref" in id_ else key(id_))


@pytest.mark.parametrize(
    "write",
    [
        UpdateOne({"_id": {"$gt": 1}}, {"$set": {"a": 1}}),
        UpdateOne({"_id": Regex("^a")}, {"$set": {"a": 1}}),
        UpdateOne({"_id": "a"}, {"$set": {"a": 1}}, collation=Collation("en")),
        DeleteOne({"n": 1}),
        UpdateMany({}, {"$set": {"a": 1}}),
    ],
)
def test_not_named(write: Any) -> None:
    """What may match other documents names none."""
    assert read(write).key is None


@pytest.mark.parametrize(
    ("write", "fields"),
    [
        (UpdateOne({"_id": 1}, {"$set": {"a.b": 1, "c": 1}, "$push": {"d.0.e": 1}}), {b"a", b"c", b"d"}),
        (UpdateOne({"_id": 1}, {"$unset": {"a.b": 1}}), {b"a"}),
        (UpdateOne({"_id": 1}, {"$unset": {"a": 1}}), None),
        (UpdateOne({"_id": 1}, {"$set": {"b": 1}, "$rename": {"a": "c"}}), None),
        (UpdateOne({"_id": 1}, [{"$set": {"a": 1}}]), None),
        (UpdateOne({"_id": 1}, {"$set": {"a": 1}}, upsert=True), None),
        (UpdateOne({"_id": 1}, {"$set": {"_id": 1}}), None),
        (ReplaceOne({"_id": 1}, {"a": 1}), None),
        (InsertOne({"_id": 1}), None),
        (DeleteOne({"_id": 1}), None),
    ],
)
def test_fields(write: Any, fields: set[bytes] | None) -> None:
    """The fields are known where all others keep their place; else the whole document is to be looked at."""
    assert read(write).fields == fields


def test_many() -> None:
    """Statements that may change several documents say so."""
    many = [read(write).many for write in (UpdateMany({}, {"$set": {"a": 1}}), DeleteMany({}))]

    assert many == [True, True]
    assert not read(DeleteOne({})).many
    assert not read(UpdateOne({}, {"$set": {"a": 1}})).many


def test_narrowed() -> None:
    """A statement for some of the documents it matches is the same otherwise."""
    write = UpdateMany({"n": 1}, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 2}], hint="n_1")
    statement = read(write)

    narrow = bson.decode(statement.narrowed([key(1), key("b")]))

    assert narrow.pop("q") == {"$and": [{"n": 1}, {"_id": {"$in": [1, "b"]}}]}
    assert narrow == {name: value for name, value in bson.decode(statement.encoded).items() if name != "q"}


def test_inserted_without_id() -> None:
    """What is inserted without an `_id` gets one, in front, so that it can be found again."""
    statement = statement_of("insert", bson.encode({"a": 1}), 0)

    assert [*bson.decode(statement.encoded)] == ["_id", "a"]
    assert statement.key == raw.key_of(statement.encoded)


@pytest.mark.parametrize(
    "equal",
    [
        [1, 1.0, Int64(1), Decimal128("1.00")],
        [float("nan"), Decimal128("NaN")],
        [{"a": [1, 2]}, {"a": [1.0, Int64(2)]}],
    ],
)
def test_identity(equal: list[Any]) -> None:
    """An _id is one to us where it is one to the server: numbers by their value, inside documents too."""
    assert len({identity(key({"": one})) for one in equal}) == 1
    others = [2, 1.5, "1", {"a": [2, 1]}, {"b": [1, 2]}, True, None]
    assert identity(key({"": equal[0]})) not in {identity(key({"": one})) for one in others}
