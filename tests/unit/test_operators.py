"""Update operators: what they make of one document, what they are refused for, and what stays open."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import DBRef, Decimal128, Int64, Regex

from chunkmigrate.updates import operators, paths, tree
from chunkmigrate.updates.paths import RefusedError, UnclearError
from chunkmigrate.updates.tree import Mark, Value, value_of

DOCUMENT = {"_id": 1, "n": 5, "s": "b", "a": [1, 2, 3], "d": {"x": 1, "y": [{"z": 1}]}, "null": None}
UNKNOWN = Mark.UNKNOWN


def changed(update: dict[str, Any], fields: list[str] | None = None, *, collated: bool = False) -> Any:
    """The document after an update, and the paths of which that is not known."""
    document = tree.read(bson.encode(DOCUMENT), fields)
    after, unclear = operators.updated(document, value_of(update), collated=collated)
    return after, {".".join(one.change.path): one.reason for one in unclear}


def held(node: tree.Node, path: str) -> Any:
    value = tree.collapsed(paths.find(node, tuple(path.split("."))))
    return value.decoded() if isinstance(value, Value) else value


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"$set": {"n": "x", "d.x": 2, "new.er": 1}}, {"n": "x", "d.x": 2, "new": {"er": 1}}),
        (
            {"$unset": {"n": "", "a.0": 1, "d.q.r": 1, "s.t": 1}},
            {"n": Mark.MISSING, "a": [None, 2, 3], "s": "b"},
        ),
        ({"$inc": {"n": 1, "new": Int64(2)}}, {"n": 6, "new": Int64(2)}),
        ({"$mul": {"n": 1.5, "new": Decimal128("2")}}, {"n": 7.5, "new": Decimal128("0")}),
        ({"$min": {"n": 4, "s": 7, "new": 1}}, {"n": 4, "s": 7, "new": 1}),
        ({"$min": {"n": 5.0, "null": 1}}, {"n": 5, "null": None}),
        ({"$max": {"n": 6, "s": 7, "null": 0}}, {"n": 6, "s": "b", "null": 0}),
        ({"$rename": {"n": "d.n", "nothing": "s"}}, {"n": Mark.MISSING, "d.n": 5, "s": "b"}),
        ({"$push": {"a": 4, "new": {"k": 1}}}, {"a": [1, 2, 3, 4], "new": [{"k": 1}]}),
        ({"$push": {"a": {"$each": [8, 9], "$position": 1}}}, {"a": [1, 8, 9, 2, 3]}),
        ({"$push": {"a": {"$each": [8, 9], "$position": -1}}}, {"a": [1, 2, 8, 9, 3]}),
        ({"$push": {"a": {"$each": [8, 9], "$slice": -3}}}, {"a": [3, 8, 9]}),
        ({"$push": {"a": {"$each": [], "$slice": 1}, "new": {"$each": []}}}, {"a": [1], "new": []}),
        ({"$push": {"a": DBRef("c", 1)}}, {"a": [1, 2, 3, DBRef("c", 1)]}),
        ({"$addToSet": {"a": 2.0, "new": 1}}, {"a": [1, 2, 3], "new": [1]}),
        ({"$addToSet": {"a": {"$each": [4, 4.0, 1]}}}, {"a": [1, 2, 3, 4]}),
        ({"$pull": {"a": 2.0, "new": 1}}, {"a": [1, 3], "new": Mark.MISSING}),
        ({"$pop": {"a": 1, "d.y": -1.0, "new": 1}}, {"a": [1, 2], "d.y": [], "new": Mark.MISSING}),
        (
            {"$currentDate": {"n": True, "new": {"$type": "timestamp"}}},
            {"n": Mark.DATE, "new": Mark.TIMESTAMP},
        ),
        ({"$setOnInsert": {"n": 9, "new": 1}}, {"n": 5, "new": Mark.MISSING}),
        ({"$set": {"_id": 1}, "$inc": {"_id.x": 0}}, None),
        ({"$set": {"_id": 1}}, {"_id": 1}),
    ],
)
def test_known(update: dict[str, Any], expected: dict[str, Any] | None) -> None:
    """What operators make of a document that was read whole is known, types included."""
    if expected is None:
        with pytest.raises(RefusedError):
            changed(update)
        return
    after, unclear = changed(update)

    assert {path: held(after, path) for path in expected} == expected
    assert [type(held(after, path)) for path in expected] == [*map(type, expected.values())]
    assert not unclear


def test_order() -> None:
    """New fields come last, in the order of their names, in which 2 comes before 10."""
    after, _ = changed({"$set": {"z": 1, "10": 1, "2": 1}, "$inc": {"b": 1}})

    assert [*after.named][-4:] == ["2", "10", "b", "z"]


@pytest.mark.parametrize(
    "update",
    [
        {"$set": {"n.x": 1}},
        {"$set": {"null.x": 1}},
        {"$set": {"a.x": 1}},
        {"$set": {"_id": 2}},
        {"$unset": {"_id": ""}},
        {"$set": {"n": 1}, "$inc": {"n": 1}},
        {"$set": {"d.x": 1, "d": 1}},
        {"$set": {"x": 1}, "$setOnInsert": {"x.y": 1}},
        {"$inc": {"s": 1}},
        {"$inc": {"null": 1}},
        {"$inc": {"new": "1"}},
        {"$mul": {"new": "1"}},
        {"$inc": {"n.x": 1}},
        {"$push": {"n": 1}},
        {"$push": {"a": {"$each": 1}}},
        {"$addToSet": {"null": 1}},
        {"$pull": {"n": 1}},
        {"$pull": {"n.x": 1}},
        {"$pop": {"n": 1}},
        {"$rename": {"n": 5}},
        {"$rename": {"n": "n"}},
        {"$rename": {"n": "s.x"}},
        {"$rename": {"n": "a.0"}},
        {"$rename": {"a.0": "new"}},
        {"$rename": {"n": "_id"}},
        {"$currentDate": {"n": 1}},
        {"$inc": {"version": 1, "s": 1}},
    ],
)
def test_refused(update: dict[str, Any]) -> None:
    """What the server refuses for this document is refused."""
    with pytest.raises(RefusedError):
        changed(update)


@pytest.mark.parametrize(
    ("update", "path", "hidden"),
    [
        ({"$set": {"a.$[]": 1, "n": 6}}, "a.$[]", "a"),
        ({"$set": {"a.$": 1, "n": 6}}, "a.$", "a"),
        ({"$set": {"d.y.$[q].z": 1, "n": 6}}, "d.y.$[q].z", "d.y"),
        ({"$set": {"d..x": 1, "n": 6}}, "d..x", "d"),
        ({"$set": {"s": {"$x": 1}, "n": 6}}, "s", "s"),
        ({"$set": {"a.01": 1, "n": 6}}, "a.01", "a"),
        ({"$bit": {"s": {"and": 1}}, "$set": {"n": 6}}, "s", "s"),
        ({"$pull": {"a": {"$gt": 1}}, "$set": {"n": 6}}, "a", "a"),
        ({"$pull": {"a": Regex("x")}, "$set": {"n": 6}}, "a", "a"),
        ({"$push": {"a": {"$each": [1], "$sort": 1}}, "$set": {"n": 6}}, "a", "a"),
        ({"$push": {"a": {"$each": [1], "$slice": 1.0}}, "$set": {"n": 6}}, "a", "a"),
        ({"$push": {"a": {"$position": 1}}, "$set": {"n": 6}}, "a", "a"),
        ({"$pop": {"a": True}, "$set": {"n": 6}}, "a", "a"),
    ],
)
def test_unclear(update: dict[str, Any], path: str, hidden: str) -> None:
    """What is not worked out is said to be so, hides what it may change, and nothing beside it."""
    after, unclear = changed(update)

    assert [*unclear] == [path]
    assert held(after, hidden) is UNKNOWN
    assert held(after, "n") == 6


def test_not_read() -> None:
    """Without what was not read, that is known which does not depend on it."""
    update = {
        "$set": {"n": 1, "new": 1, "d.x": 1},
        "$unset": {"a": ""},
        "$inc": {"version": 1},
        "$rename": {"null": "renamed", "s": "t"},
    }
    after, unclear = changed(update, ["s"])

    assert set(unclear) == {"d.x", "version", "renamed"}
    known = {"n": 1, "new": 1, "a": Mark.MISSING, "null": Mark.MISSING, "t": "b", "s": Mark.MISSING}
    assert {path: held(after, path) for path in known} == known
    assert held(after, "renamed") is held(after, "version") is held(after, "other") is UNKNOWN


def test_not_read_but_set_on_insert() -> None:
    """What is only set on inserting is not unclear because it was not read."""
    assert changed({"$setOnInsert": {"created": 1}, "$set": {"n": 1}}, ["s"])[1] == {}


def test_follows_from_the_time() -> None:
    """What follows from the time of writing is not known before it."""
    dated, _ = changed({"$currentDate": {"n": True}})
    after, [unclear] = operators.updated(dated, value_of({"$min": {"n": 1}}))

    assert unclear.change.path == ("n",)
    assert held(after, "n") is UNKNOWN


@pytest.mark.parametrize("operand", ["c", ["c"], {"k": "c"}])
@pytest.mark.parametrize("operator", ["$min", "$max", "$addToSet", "$pull"])
def test_collated(operator: str, operand: Any) -> None:
    """Where strings are compared by a collation, what compares them is unclear; numbers are not."""
    path = "s" if operator in ("$min", "$max") else "a"

    assert path in changed({operator: {path: operand}}, collated=True)[1]
    assert not changed({operator: {path: 1}}, collated=True)[1]


@pytest.mark.parametrize("update", [{"$set": {}}, {"$set": 1}])
def test_no_fields(update: dict[str, Any]) -> None:
    """Of an operator without fields nothing is said: servers differ on it."""
    with pytest.raises(UnclearError):
        changed(update)


def test_check() -> None:
    """An update that is refused whatever it finds is refused without a document, another one is not."""
    operators.check(value_of({"$inc": {"n": 1, "a.b": 2}, "$unset": {"_id": 1}}))
    for update in ({"$inc": {"n": "1"}}, {"$set": {"n": 1, "n.x": 1}}, {"$currentDate": {"n": 1}}):
        with pytest.raises(RefusedError):
            operators.check(value_of(update))
