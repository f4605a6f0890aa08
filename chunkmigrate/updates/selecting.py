"""Selecting: whether a write's filter finds the document it came from.

Answered where the filter names that document's ``_id`` and asks little else of it; a filter is not worked out
in general.
"""

from __future__ import annotations

from chunkmigrate.updates.comparing import NUMBERS, compare
from chunkmigrate.updates.paths import UnclearError
from chunkmigrate.updates.tree import (
    ARRAY,
    DOCUMENT,
    STRING,
    Fields,
    Mark,
    Node,
    Value,
    collapsed,
    expanded,
    value_of,
)

# Number, string, ObjectId, boolean, date, timestamp: a filter finds these by being equal, and nothing else.
_PLAIN = NUMBERS | {STRING, 0x07, 0x08, 0x09, 0x11}


class ElsewhereError(Exception):
    """The write is about something else than the document it came from."""


def check_id(named: Node, document_id: Node, *, collated: bool = False) -> None:
    """Raise `ElsewhereError` where ``named`` is another ``_id``, `UnclearError` where that cannot be told.

    ``collated`` says that strings may be equal that are not the same.
    """
    mine = collapsed(document_id)
    if not isinstance(named, Value) or not isinstance(mine, Value) or _is_condition(named):
        raise UnclearError("its filter does not name one _id")
    if named == mine:
        return
    if collated and named.type in (STRING, DOCUMENT):
        raise UnclearError("in this collection, different strings may be one _id")
    if compare(named, mine):
        raise ElsewhereError("it is about another document")


def selects(filter_: Fields, document: Node, *, collated: bool) -> bool:
    """Whether a filter that names the ``_id`` of ``document`` finds it; `UnclearError` where that is open."""
    answers = {
        _holds(name, condition, document, collated=collated)
        for name, condition in filter_.named.items()
        if name != "_id"
    }
    if None in answers and False not in answers:
        raise UnclearError("its filter asks for more than _id")
    return False not in answers


def _is_condition(value: Value) -> bool:
    """Whether a filter's value is more than something to be equal to."""
    inside = expanded(value)
    if isinstance(inside, Fields):
        return next(iter(inside.named), "").startswith("$")
    return value.type != DOCUMENT and value.type not in _PLAIN | {0x05, 0x0A}


def _holds(name: str, condition: Node, document: Node, *, collated: bool) -> bool | None:
    """Return whether one condition holds; None where that cannot be told."""
    found = document[name] if isinstance(document, Fields) else Mark.UNKNOWN
    if name.startswith("$") or "." in name or found is Mark.UNKNOWN or not isinstance(condition, Value):
        return None
    for exists in (True, False):
        if condition == value_of({"$exists": exists}):
            return (found is not Mark.MISSING) is exists
    if condition.type not in _PLAIN or (collated and condition.type == STRING):
        return None
    if found is Mark.MISSING:
        return False
    # An array is found by what it holds.
    if not isinstance(found, Value) or found.type == ARRAY:
        return None
    return not compare(found, condition)
