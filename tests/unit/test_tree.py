"""Trees and paths: what is known of a document, walked and changed as MongoDB's updates do."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import DBRef, Int64

from chunkmigrate.updates import paths, tree
from chunkmigrate.updates.paths import BlockedError, UnclearError
from chunkmigrate.updates.tree import MOST_INSIDE, Fields, Items, Mark, Value, value_of

DOCUMENT = {"_id": 1, "a": {"b": 2, "c": [3, {"d": 4}]}, "e": None}
MISSING, UNKNOWN = Mark.MISSING, Mark.UNKNOWN


def read(document: dict[str, Any] | bytes, *fields: str) -> tree.Node:
    stored = document if isinstance(document, bytes) else bson.encode(document)
    return tree.read(stored, fields or None)


def found(node: tree.Node, path: str) -> Any:
    """What lies at a path, as Python has it; a mark is itself."""
    held = tree.collapsed(paths.find(node, tuple(path.split("."))))
    return held.decoded() if isinstance(held, Value) else held


@pytest.mark.parametrize(
    ("stored", "path"),
    [
        (DOCUMENT, "a.c.1.d"),
        ({"x": DBRef("c", 1)}, "x.$id"),
        ({"": {"": {}}}, "."),
        ({"a": [[], [[1]]]}, "a.1.0.0"),
    ],
)
def test_collapsed(stored: dict[str, Any], path: str) -> None:
    """A document that is expanded, at any depth, collapses into the bytes it was."""
    steps = tuple(path.split("."))
    node = paths.put(read(stored), steps, paths.find(read(stored), steps))

    assert isinstance(node, Fields)
    assert tree.collapsed(node) == Value(tree.DOCUMENT, bson.encode(stored))


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        (["a"], {"_id": 1, "a.b": 2, "a.x": MISSING, "e": UNKNOWN, "x": UNKNOWN}),
        (["a.b"], {"_id": 1, "a.b": 2, "a.c": UNKNOWN, "a.x.y": UNKNOWN, "e": UNKNOWN}),
        (["a.b", "a.x"], {"a.b": 2, "a.x": MISSING}),
        (["e", "x"], {"e": None, "x": MISSING, "a": UNKNOWN, "a.b": UNKNOWN}),
        (
            ["e.f", "x.f", "a.c.d"],
            {"e": UNKNOWN, "e.f": UNKNOWN, "x": UNKNOWN, "a.c": UNKNOWN, "a.b": UNKNOWN},
        ),
        ([], {"a.c.1.d": 4, "a.c.0": 3, "a.c.2": MISSING, "x": MISSING, "x.y": MISSING}),
    ],
)
def test_read(fields: list[str], known: dict[str, Any]) -> None:
    """What was read is known, and that it is missing; what was not read, or not whole, is not known."""
    read_ = read(DOCUMENT, *fields)

    assert {path: found(read_, path) for path in known} == known


def test_twice() -> None:
    """Of a document that has a field twice nothing is known, but of those around it."""
    element = value_of(1).element("x")
    twice = Value(tree.DOCUMENT, tree.raw.enclosed(element + element))
    outer = read(tree.raw.enclosed(twice.element("a") + element))

    assert found(outer, "a.x") is UNKNOWN
    assert found(outer, "x") == 1


@pytest.mark.parametrize("count", [MOST_INSIDE, MOST_INSIDE + 1])
def test_many(count: int) -> None:
    """What holds more than can be afforded as objects is not looked into."""
    node = read({"a": [0] * count})

    assert (found(node, "a.0") is UNKNOWN) is (count > MOST_INSIDE)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("x", {**DOCUMENT, "x": 9}),
        ("a.b", {**DOCUMENT, "a": {"b": 9, "c": [3, {"d": 4}]}}),
        ("a.c.0", {**DOCUMENT, "a": {"b": 2, "c": [9, {"d": 4}]}}),
        ("a.c.1.d", {**DOCUMENT, "a": {"b": 2, "c": [3, {"d": 9}]}}),
        ("a.c.4", {**DOCUMENT, "a": {"b": 2, "c": [3, {"d": 4}, None, None, 9]}}),
        ("x.0.y", {**DOCUMENT, "x": {"0": {"y": 9}}}),
    ],
)
def test_put(path: str, expected: dict[str, Any]) -> None:
    """What is missing on the way is created as documents, in arrays as nulls in front."""
    changed = paths.put(read(DOCUMENT), tuple(path.split(".")), value_of(9))

    assert tree.collapsed(changed) == Value(tree.DOCUMENT, bson.encode(expected))


@pytest.mark.parametrize("path", ["e.x", "a.b.x", "a.c.x", "a.c.0.x", "a.c.-1"])
def test_blocked(path: str) -> None:
    """Nothing lies inside a value that is no document, nor behind a name inside an array."""
    with pytest.raises(BlockedError):
        paths.put(read(DOCUMENT), tuple(path.split(".")), value_of(9))
    with pytest.raises(BlockedError):
        paths.find(read(DOCUMENT), tuple(path.split(".")))


@pytest.mark.parametrize("path", ["a.c.01", "a.c.99999999999", "a.c.2000"])
def test_unclear_place(path: str) -> None:
    """Places in an array that servers take for different ones, or far behind its end, are unclear."""
    with pytest.raises(UnclearError):
        paths.put(read(DOCUMENT), tuple(path.split(".")), value_of(9))


def test_put_beside_what_was_not_read() -> None:
    """Where the way to a path was not read, nothing is known of what comes of it."""
    changed = paths.put(read(DOCUMENT, "e"), ("a", "b"), value_of(9))

    assert found(changed, "a.b") is UNKNOWN
    assert found(paths.put(read(DOCUMENT, "e"), ("a",), value_of(9)), "a") == 9


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b", {"_id": 1, "a": {"c": [3, {"d": 4}]}, "e": None}),
        ("a.c.0", {"_id": 1, "a": {"b": 2, "c": [None, {"d": 4}]}, "e": None}),
        ("a.c.2", DOCUMENT),
        ("x.y", DOCUMENT),
    ],
)
def test_remove(path: str, expected: dict[str, Any]) -> None:
    """In an array null stays where something was removed; what is missing is not created for it."""
    changed = paths.remove(read(DOCUMENT), tuple(path.split(".")))

    assert tree.collapsed(changed) == Value(tree.DOCUMENT, bson.encode(expected))


@pytest.mark.parametrize(
    ("path", "unknown", "known"),
    [
        ("a.b", "a.b", "a.c.0"),
        ("a.x.y", "a.x", "a.b"),
        ("a.c.0", "a.c.0", "a.c.1.d"),
        ("a.c.7", "a.c", "a.b"),
    ],
)
def test_obscured(path: str, unknown: str, known: str) -> None:
    """What is obscured hides what would be created for it, too, and nothing beside it."""
    changed = paths.obscured(read(DOCUMENT), tuple(path.split(".")))

    assert found(changed, unknown) is UNKNOWN
    assert found(changed, known) == found(read(DOCUMENT), known)


def test_order() -> None:
    """Where a field stands that was not known is not known later on either, nor what it lies in."""
    hidden = paths.obscured(read(DOCUMENT), ("a", "b"))
    later = paths.put(hidden, ("a", "b"), value_of(9))

    assert found(later, "a.b") == 9
    assert found(later, "a") is UNKNOWN


def test_crosses_array() -> None:
    """A path crosses the arrays in front of its end."""
    crossing = {
        path: paths.crosses_array(read(DOCUMENT), tuple(path.split("."))) for path in ("a.c", "a.c.0", "x.y")
    }

    assert crossing == {"a.c": False, "a.c.0": True, "x.y": False}


def test_nothing_changes_in_place() -> None:
    """A tree that was changed is another one."""
    before = Fields({"a": Items((value_of(Int64(1)),))})
    paths.put(before, ("a", "0"), value_of(2))

    assert found(before, "a.0") == 1
