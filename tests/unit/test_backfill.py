"""Backfill: its arguments, and a transform's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo import DeleteMany, DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateMany, UpdateOne

from chunkmigrate import Backfill, scan
from chunkmigrate.backfill import NotAWriteError, writes_of

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = MongoClient[dict[str, Any]](connect=False)["db"]
READ = scan(DATABASE["a"])
ONE, TWO = UpdateOne({"_id": 1}, {"$set": {"a": 1}}), DeleteOne({"_id": 2})
NEEDS = "Backfill needs a function: Backfill(scan(...), fn) or Backfill(scan(...), each_chunk=fn)"


def nothing(_: Any) -> None:
    """A transform."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Backfill(DATABASE, nothing), "Backfill reads what scan(...) describes, not a Database"),
        (
            lambda: Backfill(DATABASE["a"], nothing),
            "Backfill reads what scan(...) describes, not a Collection",
        ),
        (lambda: Backfill([], nothing), "Backfill reads what scan(...) describes, not a list"),
        (lambda: Backfill(READ), NEEDS),
        (lambda: Backfill(READ, 5), NEEDS),
        (lambda: Backfill(READ, None, each_chunk=[]), NEEDS),
        (lambda: Backfill(READ, ONE), NEEDS),
        (
            lambda: Backfill(READ, nothing, each_chunk=nothing),
            "Backfill takes a transform or each_chunk, not both",
        ),
    ],
)
def test_arguments(make: Callable[[], Backfill], message: str) -> None:
    """Wrong arguments are refused where they are written, with what to write."""
    with pytest.raises(TypeError) as caught:
        make()

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "update",
    [
        [{"$set": {"a": 1}}, {"$unset": "b"}],
        ({"$replaceWith": "$a"},),
        {"$unset": {"a": ""}},
        {"$set": {"a": 1}, "$inc": {"b": 1}},
    ],
)
def test_server_update(update: Any) -> None:
    """A pipeline or an update document stands in the place of a function."""
    assert Backfill(READ, server=update).server == update


@pytest.mark.parametrize(
    ("update", "options", "message"),
    [
        ("$set", {}, "not a str"),
        (nothing, {}, "not a function"),
        ([], {}, "it is empty"),
        ({}, {}, "it is empty"),
        ({"a": 1}, {}, "'a' is no operator"),
        ([{"a": 1, "b": 1}], {}, "a stage of server= has one name"),
        (["$set"], {}, "a stage of server= has one name"),
        (
            [{"$match": {}}],
            {},
            "$match cannot stand in server=: an update's pipeline has only $addFields, $set",
        ),
        ([{"$out": "b"}], {}, "$out cannot stand in server="),
        ({"$set": {"a": 1}}, {"transform": nothing}, "Backfill takes a function or server=, not both"),
        ({"$set": {"a": 1}}, {"each_chunk": nothing}, "Backfill takes a function or server=, not both"),
        ({"$set": {"a": 1}}, {"into": DATABASE["b"]}, "into= another collection needs a function"),
        ({"$set": {"a": 1}}, {"if_unchanged": True}, "nobody can edit one in between"),
    ],
)
def test_server_refused(update: Any, options: dict[str, Any], message: str) -> None:
    """What no server can do to many documents, or alone, is refused where it is written."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Backfill(READ, server=update, **options)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"on_error": "skip"}, ValueError, 'on_error is "stop" or "quarantine", not \'skip\''),
        ({"on_error": None}, ValueError, 'on_error is "stop" or "quarantine", not None'),
        (
            {"quarantine_limit": 0},
            ValueError,
            "quarantine_limit is a number of documents, 1 or more, not 0",
        ),
        (
            {"quarantine_limit": 0.5},
            ValueError,
            "quarantine_limit is a number of documents, 1 or more, not 0.5",
        ),
        (
            {"quarantine_limit": True},
            ValueError,
            "quarantine_limit is a number of documents, 1 or more, not True",
        ),
        ({"throttle": 5}, TypeError, "throttle is a function without arguments, not a int"),
    ],
)
def test_options(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    """Options that mean nothing are refused where they are written, too."""
    with pytest.raises(kind) as caught:
        Backfill(READ, nothing, **options)

    assert str(caught.value) == message


def test_defaults() -> None:
    """Unless asked for, a document that fails stops the run, and nothing is compared or throttled."""
    backfill = Backfill(READ, nothing)

    assert (backfill.on_error, backfill.quarantine_limit) == ("stop", 1_000)
    assert (backfill.if_unchanged, backfill.throttle) == (False, None)


def test_chosen() -> None:
    """What was asked for is kept."""
    backfill = Backfill(
        READ, nothing, on_error="quarantine", quarantine_limit=1, if_unchanged=True, throttle=bool
    )

    assert (backfill.on_error, backfill.quarantine_limit) == ("quarantine", 1)
    assert (backfill.if_unchanged, backfill.throttle) == (True, bool)


def test_target() -> None:
    """Writes go to the scanned collection, or where into says."""
    assert Backfill(READ, nothing).target == DATABASE["a"]
    assert Backfill(READ, each_chunk=nothing, into=DATABASE["b"]).target == DATABASE["b"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, []),
        (ONE, [ONE]),
        (TWO, [TWO]),
        (UpdateMany({}, {"$set": {"a": 1}}), [UpdateMany({}, {"$set": {"a": 1}})]),
        (ReplaceOne({}, {}), [ReplaceOne({}, {})]),
        (InsertOne({"_id": 1}), [InsertOne({"_id": 1})]),
        (DeleteMany({}), [DeleteMany({})]),
        ([], []),
        ([ONE, TWO], [ONE, TWO]),
        ((TWO, ONE), [TWO, ONE]),
        ((write for write in (ONE, TWO)), [ONE, TWO]),
        (map(UpdateOne, [{}], [{"$unset": {"a": ""}}]), [UpdateOne({}, {"$unset": {"a": ""}})]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_writes(answer: Any, expected: list[Any]) -> None:
    """A transform may answer with nothing, with one write, or with any iterable of them, in order."""
    assert list(writes_of(answer)) == expected


@pytest.mark.parametrize(
    ("answer", "kind", "before"),
    [
        ({"$set": {"a": 1}}, "dict", []),
        ({}, "dict", []),
        ("UpdateOne", "str", []),
        ("", "str", []),
        (b"", "bytes", []),
        (b"x", "bytes", []),
        (True, "bool", []),
        (0, "int", []),
        (UpdateOne, "type", []),
        ([ONE, {"a": 1}], "dict", [ONE]),
        ([None], "NoneType", []),
        ((ONE, [TWO]), "list", [ONE]),
    ],
    ids=repr,
)
def test_no_write(answer: Any, kind: str, before: list[Any]) -> None:
    """Anything else is refused with what it was and what to return; what came before it was a write."""
    writes, found = writes_of(answer), []
    with pytest.raises(NotAWriteError) as caught:
        found.extend(writes)

    assert str(caught.value) == (
        f"returned a {kind}, which is no write; return UpdateOne(...) or another pymongo operation, "
        "an iterable of them, or None"
    )
    assert found == before
