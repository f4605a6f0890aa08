"""Arithmetic: what MongoDB's ``$inc`` and ``$mul`` make of two numbers, types included.

A result is of the wider type of the two; an int that overflows becomes a long, and a long that does is
refused. Knows nothing of documents.
"""

from __future__ import annotations

import operator
from decimal import Decimal, localcontext
from math import isfinite
from typing import TYPE_CHECKING, Any

from bson import Decimal128, Int64
from bson.decimal128 import create_decimal128_context

from chunkmigrate.updates.comparing import NUMBERS, compare
from chunkmigrate.updates.paths import RefusedError
from chunkmigrate.updates.tree import DECIMAL, DOUBLE, INT, Value, value_of

if TYPE_CHECKING:
    from collections.abc import Callable

_INT_BITS, _LONG_BITS = 31, 63


def added(before: Value, operand: Value) -> Value:
    """Return what ``$inc`` by ``operand`` makes of a number; `RefusedError` where the server refuses."""
    return _calculated(operator.add, before, operand)


def multiplied(before: Value, operand: Value) -> Value:
    """Return what ``$mul`` by ``operand`` makes of a number; `RefusedError` where the server refuses."""
    return _calculated(operator.mul, before, operand)


def _calculated(operation: Callable[[Any, Any], Any], before: Value, operand: Value) -> Value:
    result = _result(operation, before, operand)
    # What is equal stays as it was stored: 0.0 is not made -0.0, nor 1.50 made 1.500.
    return before if result.type == before.type and not compare(result, before) else result


def _result(operation: Callable[[Any, Any], Any], before: Value, operand: Value) -> Value:
    types = {before.type, operand.type}
    if not types <= NUMBERS:
        raise RefusedError("only a number can be calculated with")
    if DECIMAL in types:
        with localcontext(create_decimal128_context()):
            return value_of(Decimal128(operation(_decimal(before), _decimal(operand))))
    if DOUBLE in types:
        return value_of(float(operation(float(before.decoded()), float(operand.decoded()))))
    result = operation(before.decoded(), operand.decoded())
    if types == {INT} and _fits(result, _INT_BITS):
        return value_of(int(result))
    if not _fits(result, _LONG_BITS):
        raise RefusedError("the result has more than 64 bits")
    return value_of(Int64(result))


def _decimal(value: Value) -> Decimal:
    number = value.decoded()
    if isinstance(number, Decimal128):
        return number.to_decimal()
    if value.type == DOUBLE and number and isfinite(number):
        # A double has fifteen digits that can be relied on, and the server takes no more.
        return Decimal(f"{number:.14e}")
    return Decimal(f"{number:.0f}" if value.type == DOUBLE else number)


def _fits(number: int, bits: int) -> bool:
    return -(1 << bits) <= number < 1 << bits
