"""Contents: how two are told apart, and in which words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bson
import pytest

from chunkmigrate.contents import CollectionContents, Contents

if TYPE_CHECKING:
    from collections.abc import Sequence


def contents(*documents: dict[str, Any], name: str = "c") -> Contents:
    stored = [bson.encode(document) for document in documents]
    return Contents({name: CollectionContents(documents=stored, indexes=[], options={})})


def differences(before: Contents, after: Contents, ignoring: Sequence[str] = ()) -> list[str]:
    return list(before.differences(after, ignoring))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"n": 1}, {"n": 2}, "n: 1 -> 2"),
        ({"n": 1}, {"n": 1.0}, "n: 1 -> 1.0"),
        ({"n": None}, {}, "n: None -> missing"),
        ({}, {"n": None}, "n: missing -> None"),
        ({"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 2}}, "a: 1 -> 2, b: {'c': 1} -> {'c': 2}"),
        ({"n": "x" * 500}, {"n": 1}, f"n: '{'x' * 27}...{'x' * 28}' -> 1"),
    ],
)
def test_fields(before: dict[str, Any], after: dict[str, Any], said: str) -> None:
    """A document that differs is named with its fields, before and after, by the types of the server."""
    one = {"_id": 1}

    assert differences(contents(one | before), contents(one | after)) == [f"c, _id 1: {said}"]


@pytest.mark.parametrize(
    ("before", "after"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({"n": math.nan}, {"n": math.nan}), ({"n": 1, "at": 1}, {"n": 1})],
)
def test_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The order of fields, NaN, and a field that is to be ignored are no difference."""
    one = {"_id": 1}

    assert differences(contents(one | before), contents(one | after), ["at"]) == []


def test_documents() -> None:
    """Documents that came or went are named, in whatever collection."""
    assert differences(contents({"_id": 1}), contents({"_id": "a"})) == [
        "c, _id 1: is gone",
        "c, _id 'a': is new",
    ]
    assert differences(contents({"_id": 1}), contents({"_id": 1}, name="d")) == [
        "c, _id 1: is gone",
        "d, _id 1: is new",
    ]
