"""What of a filter an index can have in front of `_id`, and how a plan is read."""

from __future__ import annotations

import doctest
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo import MongoClient

from chunkmigrate import indexes, scan
from chunkmigrate.hints import stages
from chunkmigrate.indexes import FEW_VALUES, fields_with_values


@pytest.mark.parametrize(
    "asked",
    ["x", 1, 1.5, True, Int64(1), ObjectId(), datetime.now(UTC), b"x", {"$exists": False}, {"$in": [1, 2]}],
)
def test_value(asked: Any) -> None:
    """A field that is to have a value, one of a few, or none at all, may stand in front of `_id`."""
    assert fields_with_values({"a": asked, "_id": 5, "$or": [{"b": 1}]}) == {"a"}


@pytest.mark.parametrize(
    "asked",
    [
        None,
        [1],
        re.compile("x"),
        {"b": 1},
        {"$gt": 1},
        {"$exists": True},
        {"$ne": 1},
        {"$in": []},
        {"$in": [*range(FEW_VALUES + 1)]},
        {"$in": [1], "$ne": 2},
    ],
)
def test_no_value(asked: Any) -> None:
    """A field that may have many values, or is found in several places of an index, may not."""
    assert fields_with_values({"a": asked}) == set()


def test_stages() -> None:
    """Of a plan the stages that were chosen are read, on all shards, whatever lies between them."""
    chosen = {"stage": "LIMIT", "inputStage": {"stage": "SORT", "inputStages": [{"stage": "IXSCAN"}]}}
    shards = [
        {"winningPlan": {"queryPlan": chosen, "slotBasedPlan": {"stages": "..."}}},
        {"winningPlan": chosen},
    ]
    plan = {"queryPlanner": {"winningPlan": {"shards": shards}, "rejectedPlans": [{"stage": "COLLSCAN"}]}}

    assert [stage["stage"] for stage in stages(plan)] == ["LIMIT", "SORT", "IXSCAN"] * 2


def test_hint_is_a_name() -> None:
    """A hint that is no index's name is refused where it is written, with what it should be."""
    with pytest.raises(TypeError, match="the name of an index, such as 'status_1__id_1'"):
        scan(MongoClient[Any](connect=False)["shop"]["orders"], hint={"status": 1})  # type: ignore[arg-type]


def test_examples() -> None:
    """The examples in the docstrings are true."""
    assert doctest.testmod(indexes).failed == 0
