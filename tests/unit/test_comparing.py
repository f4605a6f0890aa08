"""The order of values of all types, and what arithmetic makes of numbers, as MongoDB has them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from chunkmigrate.updates.arithmetic import added, multiplied
from chunkmigrate.updates.comparing import compare
from chunkmigrate.updates.paths import RefusedError, UnclearError
from chunkmigrate.updates.tree import value_of

NAN, INFINITY = float("nan"), float("inf")

IN_ORDER: list[Any] = [
    MinKey(),
    None,
    NAN,
    -INFINITY,
    Int64(-(2**63)),
    -1.5,
    0,
    Decimal128("0.1"),
    0.1,
    2**53,
    Int64(2**53 + 1),
    INFINITY,
    "",
    "B",
    "a",
    "ä",
    {},
    {"a": 1},
    {"a": 1, "b": 0},
    {"b": 0},
    {"a": "x"},
    [],
    [1],
    [1, 0],
    [2],
    Binary(b"z"),
    Binary(b"aa", 0),
    Binary(b"aa", 4),
    ObjectId(b"0" * 12),
    ObjectId(b"z" * 12),
    False,
    True,
    datetime(1950, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    Timestamp(1, 1),
    Timestamp(2**32 - 1, 0),
    Regex("a"),
    Code("a"),
    Code("a", {}),
    MaxKey(),
]


def test_order() -> None:
    """Values of all types are in one order, the same from both sides."""
    for one, other in combinations(map(value_of, IN_ORDER), 2):
        assert compare(one, other) < 0 < compare(other, one), (one.decoded(), other.decoded())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, Int64(1)),
        (0.5, Decimal128("0.50")),
        (0.0, -0.0),
        (NAN, Decimal128("NaN")),
        ([1, {"a": 2}], [1.0, {"a": Int64(2)}]),
    ],
)
def test_equal(one: Any, other: Any) -> None:
    """Numbers are equal by what they are worth, whatever their type, inside arrays and documents, too."""
    assert compare(value_of(one), value_of(other)) == 0


def test_rare_types() -> None:
    """Two values of a rare type are the same, or it is not said which comes first."""
    assert compare(value_of(Regex("a")), value_of(Regex("a"))) == 0
    with pytest.raises(UnclearError):
        compare(value_of(Regex("a")), value_of(Regex("b")))


@pytest.mark.parametrize(
    ("before", "by", "sum_", "product"),
    [
        (2, 3, 5, 6),
        (2**31 - 1, 1, Int64(2**31), 2**31 - 1),
        (2, Int64(3), Int64(5), Int64(6)),
        (2, 0.5, 2.5, 1.0),
        (Int64(2**53 + 1), 1.0, float(2**53), float(2**53)),
        (1, Decimal128("0.10"), Decimal128("1.10"), Decimal128("0.10")),
        (Decimal128("1.50"), 0.1, Decimal128("1.600000000000000"), Decimal128("0.15000000000000000")),
        (Decimal128("1.50"), 0, Decimal128("1.50"), Decimal128("0.00")),
        (0.0, -1, -1.0, 0.0),
        (5, 0, 5, 0),
        (5, Int64(0), Int64(5), Int64(0)),
    ],
)
def test_arithmetic(before: Any, by: Any, sum_: Any, product: Any) -> None:
    """A result is of the wider type, an int overflows into a long, and what stays equal stays as stored."""
    assert added(value_of(before), value_of(by)) == value_of(sum_)
    assert multiplied(value_of(before), value_of(by)) == value_of(product)


@pytest.mark.parametrize(
    ("before", "by"), [(Int64(2**63 - 1), 2), (1, "1"), (None, 1), ([1], 1), (True, 1), (1, None)]
)
def test_refused(before: Any, by: Any) -> None:
    """What overflows a long is refused, and so is what is no number."""
    for calculate in (added, multiplied):
        with pytest.raises(RefusedError):
            calculate(value_of(before), value_of(by))
