from __future__ import annotations

import doctest
from datetime import UTC, datetime
from typing import Any

import pytest

from chunkmigrate.kubernetes import fields

FIRST = datetime(2026, 11, 22, 2, 27, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"a": [{"b": 1}]}, ("a", 0, "b"), 1),
        ({"a": [{"b": 1}]}, ("a", 1, "b"), None),
        ({"a": [{"b": 1}]}, ("a", "b"), None),
        ({"a": "text"}, ("a", 0), None),
        (None, ("a",), None),
        ([], (0,), None),
    ],
)
def test_at(value: Any, path: tuple[str | int, ...], found: Any) -> None:
    """A path leads to a value, or to nothing, through whatever stands there."""
    assert fields.at(value, *path) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("2026-11-22T02:27:01Z", FIRST),
        ("2026-11-22T02:27:01.500000Z", FIRST.replace(microsecond=500_000)),
        ("2026-11-22T02:27", None),
        ("2026-11-22", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_moment(written: Any, found: datetime | None) -> None:
    """A time that is cut off is none: it would be an earlier one."""
    assert fields.moment({"at": written}, "at") == found


@pytest.mark.parametrize("value", [True, "1", 1.0, None, [1]])
def test_whole(value: Any) -> None:
    """What is no whole number is none, and neither is a truth."""
    assert fields.whole({"n": value}, "n") is None


def test_items() -> None:
    """Of a list only its objects are read."""
    assert fields.items({"list": [{"a": 1}, None, "b", []]}, "list") == [{"a": 1}]
    assert fields.items({"list": "no list"}, "list") == []


def test_doctests() -> None:
    """The examples in the docstrings are true."""
    assert doctest.testmod(fields).failed == 0
