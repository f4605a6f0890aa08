"""The oracle itself: what it must notice, or the tests that trust it could not fail."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.kinds import KINDS, Kind
from tests.faults.oracle import Document, difference, insert

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "lost": (lambda c: c.delete_one({"_id": 7}), "1 missing: {'_id': 7"),
    "too many": (lambda c: c.insert_one({"_id": 10, "n": 1}), "1 unexpected: {'_id': 10"),
    "other type of _id": (
        lambda c: (c.delete_one({"_id": 7}), c.insert_one({"_id": 7.0, "n": 1})),
        "missing",
    ),
    "twice": (lambda c: c.update_one({"_id": 3}, {"$inc": {"n": 1}}), "1 wrong: {'_id': 3, 'n': 2}"),
    "never": (lambda c: c.update_one({"_id": 3}, {"$unset": {"n": 1}}), "1 wrong: {'_id': 3}"),
    "other type": (lambda c: c.update_one({"_id": 3}, {"$set": {"n": 1.0}}), "1 wrong"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_notices(db: Database[Any], change: Callable[[Any], Any], told: str) -> None:
    """A document lost, added, changed twice, never or to another type is told with its `_id`."""
    expected = {"c": [{"_id": n, "n": 1} for n in range(10)]}
    insert(db, expected)
    db.chunkmigrate_runs.insert_one({"_id": 1})
    same = difference(db, expected)
    change(db.c)

    assert same == ""
    assert told in difference(db, expected)


@pytest.mark.parametrize(
    ("change", "told"), [(1, "1 unexpected: {'line': 2}"), (-1, "1 missing: {'line': 2}")]
)
def test_notices_in_what_was_inserted(db: Database[Any], change: int, told: str) -> None:
    """What was inserted without an `_id` is counted: one too many or too few of equal documents is told."""
    expected: dict[str, list[Document]] = {"lines": [{"line": n % 3} for n in range(9)]}
    db.lines.insert_many(dict(line) for line in expected["lines"])
    same = difference(db, expected)
    if change > 0:
        db.lines.insert_one({"line": 2})
    else:
        db.lines.delete_one({"line": 2})

    assert same == ""
    assert difference(db, expected) == f"lines: {told}"


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_tells_before_from_after(db: Database[Any], kind: Kind) -> None:
    """Data of any kind that were not migrated differ from what is expected."""
    data = kind.seed(random.Random(1), 100)
    insert(db, data)

    assert difference(db, kind.expected(data)) != ""
    assert difference(db, data) == ""
