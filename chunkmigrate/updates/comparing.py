"""Comparing: which of two stored values comes first for MongoDB, whatever their types.

As an index without a collation has them. Knows nothing of documents that are only partly known.
"""

from __future__ import annotations

import struct
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from bson import Decimal128

from chunkmigrate.updates.paths import UnclearError
from chunkmigrate.updates.tree import ARRAY, DECIMAL, DOCUMENT, DOUBLE, INT, LONG, STRING, Value, inside

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = frozenset((DOUBLE, INT, LONG, DECIMAL))

# https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
_RANKS = {
    0xFF: 0,  # MinKey
    0x06: 1,  # undefined
    0x0A: 2,  # null
    **dict.fromkeys(NUMBERS, 3),
    **dict.fromkeys((STRING, 0x0E), 4),  # string, symbol
    DOCUMENT: 5,
    ARRAY: 6,
    0x05: 7,  # binary
    0x07: 8,  # ObjectId
    0x08: 9,  # boolean
    0x09: 10,  # date
    0x11: 11,  # timestamp
    0x0B: 12,  # regular expression
    0x0C: 13,  # DBPointer
    0x0D: 14,  # code
    0x0F: 15,  # code with scope
    0x7F: 16,  # MaxKey
}

_INT64, _UINT64 = struct.Struct("<q").unpack, struct.Struct("<Q").unpack
_SUBTYPE = 4  # where a binary value has it, behind its length


def compare(one: Value, other: Value) -> int:
    """Return below, at or above 0 as ``one`` comes before, with or behind ``other``.

    Equal is what MongoDB calls equal: 1 and 1.0 are. Raises `UnclearError` for values of a rare type that
    are not the same.
    """
    if one == other:
        return 0
    if _RANKS[one.type] != _RANKS[other.type]:
        return _RANKS[one.type] - _RANKS[other.type]
    if one.type in (DOCUMENT, ARRAY):
        return _compare_inside(one, other)
    key = _key(one.type)
    mine, theirs = key(one), key(other)
    return int(mine > theirs) - int(mine < theirs)


def _compare_inside(one: Value, other: Value) -> int:
    """Compare field by field: the type first, then the name, then the value; the shorter one is less."""
    for mine, theirs in zip_longest(inside(one), inside(other)):
        if mine is None or theirs is None:
            return 1 if theirs is None else -1
        (name, value), (their_name, their_value) = mine, theirs
        order = _RANKS[value.type] - _RANKS[their_value.type]
        if not order and one.type == DOCUMENT and name != their_name:
            order = 1 if name.encode() > their_name.encode() else -1
        if order := order or compare(value, their_value):
            return order
    return 0


def _key(kind: int) -> Callable[[Value], Any]:
    if kind in NUMBERS:
        return _number
    if kind in (STRING, 0x0E):
        return lambda value: value.stored[4:-1]
    if kind in (0x07, 0x08):
        return lambda value: value.stored
    if kind in _INTEGERS:
        return lambda value: _INTEGERS[kind](value.stored)
    if kind == 0x05:
        return lambda value: (len(value.stored), value.stored[_SUBTYPE:])
    if kind in (0x06, 0x0A, 0x7F, 0xFF):
        return lambda _: 0
    raise UnclearError("values of a rare type are compared")


_INTEGERS: dict[int, Callable[[bytes], Any]] = {0x09: _INT64, 0x11: _UINT64}


def _number(value: Value) -> tuple[bool, Any]:
    """Return what numbers of all types are compared by, exactly; NaN comes before any other."""
    number = value.decoded()
    if isinstance(number, Decimal128):
        number = number.to_decimal()
    return (False, 0) if number != number else (True, number)  # noqa: PLR0124 - NaN is not itself
