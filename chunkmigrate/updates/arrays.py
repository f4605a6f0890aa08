"""Arrays: what ``$push``, ``$addToSet``, ``$pull`` and ``$pop`` make of one.

``$pull`` by a condition and ``$push`` with ``$sort`` are not worked out: they are unclear. Where in a
document the array lies is ``operators``' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from chunkmigrate.updates.comparing import NUMBERS, compare
from chunkmigrate.updates.paths import RefusedError, UnclearError
from chunkmigrate.updates.tree import (
    ARRAY,
    DOCUMENT,
    INT,
    LONG,
    MOST_INSIDE,
    REFERENCE,
    Fields,
    Items,
    Mark,
    Node,
    Value,
    expanded,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_REGEX = 0x0B
_CLAUSES = {"$each", "$position", "$slice"}


def pushed(before: Value | Mark, operand: Value) -> Node:
    """Return what ``$push`` makes of an array, or of a field that is missing."""
    items = _items(before)
    clauses = expanded(operand)
    if not _has_clauses(clauses):
        return _array([*items, operand])
    if not clauses.named.keys() <= _CLAUSES:
        raise UnclearError(
            f"$push with {', '.join(sorted(clauses.named.keys() - _CLAUSES))} is not worked out"
        )
    new, position = _each(clauses), _whole(clauses["$position"], len(items))
    start = max(0, len(items) + position) if position < 0 else position
    return _array(_sliced([*items[:start], *new, *items[start:]], clauses["$slice"]))


def added_to_set(before: Value | Mark, operand: Value) -> Node:
    """Return what ``$addToSet`` makes of an array, or of a field that is missing."""
    items = _items(before)
    clauses = expanded(operand)
    if not _has_clauses(clauses):
        return _array([*items, *_not_among(items, [operand])])
    if len(clauses.named) > 1:
        raise UnclearError("$addToSet with more than $each is not worked out")
    return _array([*items, *_not_among(items, _each(clauses))])


def pulled(before: Value | Mark, operand: Value) -> Node:
    """Return what ``$pull`` makes of an array, where what is pulled is a plain value."""
    if operand.type in (DOCUMENT, _REGEX):
        raise UnclearError("$pull by a condition is not worked out")
    if before is Mark.MISSING:
        return before
    return _array([item for item in _items(before) if compare(item, operand)])


def popped(before: Value | Mark, operand: Value) -> Node:
    """Return what ``$pop`` makes of an array: without its last item, or for -1 without its first."""
    end = operand.decoded() if operand.type in NUMBERS else None
    if end not in (1, -1):
        raise UnclearError("$pop takes 1 or -1")
    if before is Mark.MISSING:
        return before
    items = _items(before)
    return _array(items[:-1] if end == 1 else items[1:])


def _has_clauses(operand: Node) -> TypeGuard[Fields]:
    """Whether an operand says more than which value is to be added."""
    return isinstance(operand, Fields) and any(
        name.startswith("$") and name not in REFERENCE for name in operand.named
    )


def _items(value: Value | Mark) -> list[Value]:
    if not isinstance(value, Value):
        return []
    if value.type != ARRAY:
        raise RefusedError("it is not an array")
    array = expanded(value)
    if not isinstance(array, Items):
        raise UnclearError(f"an array of more than {MOST_INSIDE:,} items is not looked into")
    return [item for item in array.nodes if isinstance(item, Value)]


def _array(items: Iterable[Value]) -> Items:
    return Items(tuple(items))


def _each(clauses: Fields) -> list[Value]:
    each = clauses["$each"]
    if each is Mark.MISSING:
        raise UnclearError("servers differ on names that begin with $")
    if not isinstance(each, Value) or each.type != ARRAY:
        raise RefusedError("$each is not an array")
    return _items(each)


def _whole(node: Node, default: int) -> int:
    """Return the whole number of a clause. Servers take some doubles for one, too."""
    if node is Mark.MISSING:
        return default
    if not isinstance(node, Value) or node.type not in (INT, LONG):
        raise UnclearError("$position and $slice take whole numbers")
    return int(node.decoded())


def _sliced(items: list[Value], slice_: Node) -> list[Value]:
    most = _whole(slice_, len(items))
    return items[most:] if most < 0 else items[:most]


def _not_among(items: list[Value], new: list[Value]) -> list[Value]:
    added: list[Value] = []
    for value in new:
        if all(compare(value, other) for other in (*items, *added)):
            added.append(value)
    return added
