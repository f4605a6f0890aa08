"""Operators: what an update's ``$set``, ``$inc`` and the like would do to one document.

Said only where it is certain: what follows from something that was not read, or from an operator that is not
worked out here, is not known, and is listed with the reason. That validators, unique indexes and the limit of
a document's size let the write pass is taken for granted. Whether a write is about this document at all is
``foresight``'s business.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate.updates import arithmetic, arrays
from chunkmigrate.updates.changes import Change, changes_of, has_dollars, plain
from chunkmigrate.updates.comparing import NUMBERS, compare
from chunkmigrate.updates.paths import (
    BlockedError,
    Path,
    RefusedError,
    UnclearError,
    crosses_array,
    find,
    obscured,
    put,
    remove,
)
from chunkmigrate.updates.tree import (
    ARRAY,
    DOCUMENT,
    INT,
    REFERENCE,
    STRING,
    Fields,
    Mark,
    Node,
    Value,
    collapsed,
    expanded,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_KNOWN = "what is there now was not read, or is not known"

# What these take beside a plain value.
_CLAUSES = {
    "$push": REFERENCE | {"$each", "$position", "$slice", "$sort"},
    "$addToSet": REFERENCE | {"$each"},
    "$currentDate": frozenset({"$type"}),
}
_COMPARING = frozenset(("$min", "$max", "$addToSet", "$pull"))
_WITH_STRINGS = frozenset((STRING, DOCUMENT, ARRAY))


@dataclass(frozen=True, slots=True)
class Unclear:
    """A change of which it is not known what comes of it, and why."""

    change: Change
    reason: str


def updated(document: Node, operators: Value, *, collated: bool = False) -> tuple[Node, list[Unclear]]:
    """Return the document as an update leaves it, and the changes of which that is not known.

    The document is there, so ``$setOnInsert`` does nothing. ``collated`` says that its collection compares
    strings by a collation of its own.

    Raises `RefusedError` where the server refuses the update, and `UnclearError` where nothing of it is
    known.
    """
    after, unclear = _applied(document, operators, collated=collated)
    was, becomes = (collapsed(find(tree, ("_id",))) for tree in (document, after))
    if becomes is not Mark.UNKNOWN and becomes != was:
        raise RefusedError("it changes _id, which cannot be changed")
    return after, unclear


def check(operators: Value) -> None:
    """Raise `RefusedError` where the server refuses an update even if it finds no document."""
    _applied(Fields({}), operators, collated=False)


def _applied(document: Node, operators: Value, *, collated: bool) -> tuple[Node, list[Unclear]]:
    changes = [change for change in changes_of(operators) if change.operator != "$setOnInsert"]
    after, reasons = document, dict.fromkeys(changes, NOT_KNOWN)
    for change in changes:
        try:
            _check(change, collated=collated)
            after = _ACTS.get(change.operator, _changed)(after, change)
        except UnclearError as unclear:
            reasons[change] = str(unclear)
            after = obscured(after, plain(change.path))
    return after, [Unclear(change, why) for change, why in reasons.items() if _is_unclear(after, change)]


def _is_unclear(after: Node, change: Change) -> bool:
    with suppress(BlockedError):
        return find(after, plain(change.path)) is Mark.UNKNOWN
    return False


def _check(change: Change, *, collated: bool) -> None:
    """Raise `UnclearError` where it is not worked out what a change makes of any document."""
    if change.operator not in _ACTS and change.operator not in _LAWS:
        raise UnclearError(f"{change.operator} is not worked out")
    if any(plain(path) != path for path in change.paths):
        raise UnclearError("its path is that of many places, or of none")
    if has_dollars(change.operand, _CLAUSES.get(change.operator, REFERENCE)):
        raise UnclearError("servers differ on names that begin with $")
    if collated and change.operator in _COMPARING and change.operand.type in _WITH_STRINGS:
        raise UnclearError("strings are compared by the collation of the collection")


def _set(document: Node, change: Change) -> Node:
    return put(document, change.path, change.operand)


def _unset(document: Node, change: Change) -> Node:
    return _without(document, change.path)


def _without(document: Node, path: Path) -> Node:
    with suppress(BlockedError):
        return remove(document, path)
    return document


def _renamed(document: Node, change: Change) -> Node:
    new, old = change.paths
    moved = find(document, old)
    if moved is Mark.MISSING:
        return document
    rest = _without(document, old)
    if collapsed(moved) is Mark.UNKNOWN:
        return obscured(rest, new)
    if crosses_array(document, old) or crosses_array(document, new):
        raise RefusedError("$rename does not reach into arrays")
    return put(rest, new, moved)


def _dated(document: Node, change: Change) -> Node:
    kind = expanded(change.operand)
    wanted = kind["$type"] if isinstance(kind, Fields) else None
    if wanted == value_of("timestamp"):
        return put(document, change.path, Mark.TIMESTAMP)
    if wanted == value_of("date") or change.operand in map(value_of, (True, False)):
        return put(document, change.path, Mark.DATE)
    raise RefusedError("$currentDate takes true, or the $type date or timestamp")


def _changed(document: Node, change: Change) -> Node:
    before = find(document, change.path)
    value = before if before is Mark.MISSING else collapsed(before)
    if isinstance(value, Mark) and value is not Mark.MISSING:
        raise UnclearError(NOT_KNOWN)
    after = _LAWS[change.operator](value, change.operand)
    return document if after is Mark.MISSING else put(document, change.path, after)


def _increased(before: Value | Mark, operand: Value) -> Node:
    if isinstance(before, Value):
        return arithmetic.added(before, operand)
    if operand.type not in NUMBERS:
        raise RefusedError("only a number can be added")
    return operand


def _multiplied(before: Value | Mark, operand: Value) -> Node:
    return arithmetic.multiplied(before if isinstance(before, Value) else Value(INT, bytes(4)), operand)


def _least(before: Value | Mark, operand: Value) -> Node:
    return before if isinstance(before, Value) and compare(before, operand) <= 0 else operand


def _most(before: Value | Mark, operand: Value) -> Node:
    return before if isinstance(before, Value) and compare(before, operand) >= 0 else operand


_LAWS: dict[str, Callable[[Value | Mark, Value], Node]] = {
    "$inc": _increased,
    "$mul": _multiplied,
    "$min": _least,
    "$max": _most,
    "$push": arrays.pushed,
    "$addToSet": arrays.added_to_set,
    "$pull": arrays.pulled,
    "$pop": arrays.popped,
}
_ACTS: dict[str, Callable[[Node, Change], Node]] = {
    "$set": _set,
    "$unset": _unset,
    "$rename": _renamed,
    "$currentDate": _dated,
}
