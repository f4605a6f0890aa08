"""Writes: pymongo's operations as statements, and what is refused before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateMany, UpdateOne
from pymongo.collation import Collation
from pymongo.synchronous.bulk import _Bulk

from chunkmigrate.writes import MAX_DOCUMENT_BYTES, OversizeError, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkmigrate.backfill import Write

OPTIONS = CodecOptions[dict[str, Any]]()
KINDS = ("insert", "update", "delete")
FRENCH = Collation(locale="fr", strength=2)
Q, S = {"_id": 1}, {"$set": {"a": 1}}


def pymongos_own(write: Write) -> tuple[str, Mapping[str, Any]]:
    """The statement pymongo's bulk machinery would send; this client never connects."""
    collection = MongoClient[dict[str, Any]](connect=False)["db"]["c"]
    bulk = _Bulk(collection, ordered=True, bypass_document_validation=None)
    write._add_to_bulk(bulk)
    [(kind, statement)] = bulk.ops
    return KINDS[kind], statement


def without_defaults(statement: Mapping[str, Any]) -> dict[str, Any]:
    """A statement without the options that the server takes for granted."""
    return {
        name: value
        for name, value in statement.items()
        if (name, value) not in (("multi", False), ("upsert", False))
    }


OPERATIONS = [
    UpdateOne(Q, S),
    UpdateOne(Q, [{"$set": {"a": "$b"}}]),
    UpdateOne(Q, S, upsert=True),
    UpdateOne(Q, S, upsert=False),
    UpdateOne(Q, S, collation=FRENCH),
    UpdateOne(Q, S, collation={"locale": "de"}),
    UpdateOne(Q, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 2}]),
    UpdateOne(Q, S, array_filters=[]),
    UpdateOne(Q, S, hint="_id_"),
    UpdateOne(Q, S, hint=[("a", 1), ("b", -1)]),
    UpdateOne(Q, S, sort={"a": -1}),
    UpdateOne(Q, S, namespace="other.things"),
    UpdateOne({"b": 1}, S, upsert=True, collation=FRENCH, hint={"b": 1}, sort={"b": 1}, array_filters=[]),
    UpdateOne(Q, RawBSONDocument(bson.encode(S))),
    UpdateMany(Q, S),
    UpdateMany(Q, [{"$unset": "a"}]),
    UpdateMany(Q, S, upsert=True),
    UpdateMany(Q, S, collation=FRENCH),
    UpdateMany(Q, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 2}]),
    UpdateMany(Q, S, hint="_id_"),
    UpdateMany(Q, S, namespace="other.things"),
    ReplaceOne(Q, {"a": 1}),
    ReplaceOne(Q, {}),
    ReplaceOne(Q, {"a": 1}, upsert=True),
    ReplaceOne(Q, {"a": 1}, collation=FRENCH),
    ReplaceOne(Q, {"a": 1}, hint=[("a", 1)]),
    ReplaceOne(Q, {"a": 1}, sort={"a": 1}),
    ReplaceOne(Q, {"a": 1}, namespace="other.things"),
    ReplaceOne(Q, RawBSONDocument(bson.encode({"a": 1}))),
    InsertOne({"_id": 1, "a": 1}),
    InsertOne({"a": 1, "_id": 1}),
    InsertOne({"_id": 1}, namespace="other.things"),
    InsertOne(RawBSONDocument(bson.encode({"_id": 1}))),
    DeleteOne(Q),
    DeleteOne({}),
    DeleteOne(Q, collation=FRENCH),
    DeleteOne(Q, hint="_id_"),
    DeleteOne(Q, hint=[("a", 1)]),
    DeleteOne(Q, namespace="other.things"),
    DeleteMany(Q),
    DeleteMany({}),
    DeleteMany(Q, collation=FRENCH),
    DeleteMany(Q, hint=[("a", 1)]),
    DeleteMany(Q, namespace="other.things"),
]


@pytest.mark.parametrize("write", OPERATIONS, ids=repr)
def test_as_pymongo_sends_it(write: Write) -> None:
    """Every operation with every option becomes the statement that pymongo's own bulk_write would send."""
    kind, encoded = encode(write, OPTIONS)
    expected_kind, expected = pymongos_own(write)

    assert kind == expected_kind
    assert bson.decode(encoded) == bson.decode(bson.encode(without_defaults(expected)))


@pytest.mark.parametrize("operation", [UpdateOne, UpdateMany, ReplaceOne, InsertOne, DeleteOne, DeleteMany])
def test_subclass(operation: type) -> None:
    """A subclass of an operation, as an object mapper may have, is written as what it derives from."""
    derived = type("Derived", (operation,), {"__slots__": ()})
    arguments = [Q, {"a": 1} if operation is ReplaceOne else S][: 1 if operation.__name__[0] in "DI" else 2]

    assert encode(derived(*arguments), OPTIONS) == encode(operation(*arguments), OPTIONS)


@pytest.mark.parametrize("write", [w for w in OPERATIONS if w._namespace], ids=repr)
def test_namespace(write: Write) -> None:
    """Where pymongo keeps an operation's namespace is where it is read."""
    assert write._namespace == "other.things"


@pytest.mark.parametrize("change", [{"a": 1}, {}, {"a": 1, "$set": {"b": 1}}])
@pytest.mark.parametrize("operation", [UpdateOne, UpdateMany])
def test_update_without_operators(operation: type, change: dict[str, Any]) -> None:
    """An update without operators, which would replace the document, is refused with what to write."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        encode(operation(Q, change), OPTIONS)

    assert str(caught.value) == (
        f"{operation.__name__} needs update operators such as $set; a whole document is ReplaceOne's"
    )


def test_replacement_with_operators() -> None:
    """A replacement with operators is refused with what to write."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        encode(ReplaceOne(Q, S), OPTIONS)

    assert str(caught.value) == (
        "ReplaceOne needs a whole document; update operators such as $set are UpdateOne's"
    )


@pytest.mark.parametrize(
    "write", [UpdateOne(Q, {"$set": {"a": object()}}), UpdateOne({"a": {1}}, S), InsertOne({"_id": 1, 2: 3})]
)
def test_not_bson(write: Write) -> None:
    """A value that BSON does not have raises the driver's own exception."""
    with pytest.raises(InvalidDocument):
        encode(write, OPTIONS)


def test_insert_gets_an_id() -> None:
    """An insert without an _id gets one, first, and the author's document stays as it was."""
    document = {"a": 1}
    found = bson.decode(encode(InsertOne(document), OPTIONS)[1])

    assert list(found) == ["_id", "a"]
    assert isinstance(found["_id"], ObjectId)
    assert document == {"a": 1}


def test_insert_keeps_an_id() -> None:
    """An _id that is given is kept, None included."""
    assert bson.decode(encode(InsertOne({"a": 1, "_id": None}), OPTIONS)[1]) == {"_id": None, "a": 1}


def of_size(size: int) -> dict[str, Any]:
    document = {"_id": 1, "a": b""}
    return document | {"a": bytes(size - len(bson.encode(document)))}


LARGEST, TOO_LARGE = of_size(MAX_DOCUMENT_BYTES), of_size(MAX_DOCUMENT_BYTES + 1)


@pytest.mark.parametrize("write", [InsertOne(LARGEST), ReplaceOne(Q, LARGEST)], ids=["insert", "replace"])
def test_largest(write: Write) -> None:
    """A document of exactly 16 MiB is accepted, whatever its statement adds around it."""
    assert len(encode(write, OPTIONS)[1]) >= MAX_DOCUMENT_BYTES


@pytest.mark.parametrize(
    "write",
    [
        InsertOne(TOO_LARGE),
        ReplaceOne(Q, TOO_LARGE),
        UpdateOne(Q, {"$set": TOO_LARGE}),
        UpdateMany(Q, [{"$set": TOO_LARGE}]),
    ],
    ids=["insert", "replace", "update", "pipeline"],
)
def test_too_large(write: Write) -> None:
    """One byte more is refused before it is sent, with its size."""
    with pytest.raises(
        OversizeError, match=r"^16\.0 MiB are to be written; a MongoDB document may have 16 MiB$"
    ):
        encode(write, OPTIONS)
