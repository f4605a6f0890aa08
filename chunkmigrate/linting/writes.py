"""Writes: the operations a file makes or sends, as pymongo spells them, and the fields they write."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.linting.source import filter_of
from chunkmigrate.linting.values import Unknown, argument, is_open, made_by, value_of

if TYPE_CHECKING:
    from chunkmigrate.linting.scopes import Scope

# By the name of the operation: which of its arguments is what it writes, and what that is called.
_MADE = {
    "UpdateOne": (1, "update"),
    "UpdateMany": (1, "update"),
    "ReplaceOne": (1, "replacement"),
    "InsertOne": (0, "document"),
    "DeleteOne": (None, ""),
    "DeleteMany": (None, ""),
}
_SENT = {
    "update_one": "UpdateOne",
    "update_many": "UpdateMany",
    "replace_one": "ReplaceOne",
    "insert_one": "InsertOne",
    "delete_one": "DeleteOne",
    "delete_many": "DeleteMany",
    "find_one_and_update": "UpdateOne",
    "find_one_and_replace": "ReplaceOne",
    "find_one_and_delete": "DeleteOne",
}
# What a collection's method sends; insert_many and bulk_write take many at a time.
SENDING = (*_SENT, "insert_many", "bulk_write")


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """An operation: ``kind`` is pymongo's name for it, ``what`` the update or document, as far as known.

    ``options`` are the arguments beside those. ``sent`` is whether a method sends it at once.
    """

    call: ast.Call
    scope: Scope
    kind: str
    filter: Any
    what: Any
    options: frozenset[str]
    is_open: bool
    sent: bool

    @property
    def line(self) -> int:
        """The line it begins in."""
        return self.call.lineno


def write_of(node: ast.AST, scope: Scope) -> Write | None:
    """Return the operation a node makes or sends; None if it is no such call, or of many at a time."""
    if not isinstance(node, ast.Call):
        return None
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    kind = _SENT.get(method) or made_by(node, scope)
    if kind not in _MADE:
        return None
    position, name = _MADE[kind]
    what = None if position is None else argument(node, position, name)
    return Write(
        call=node,
        scope=scope,
        kind=kind,
        filter=None if kind == "InsertOne" else filter_of(argument(node, 0, "filter"), scope),
        what=None if what is None else value_of(what, scope),
        options=frozenset(keyword.arg for keyword in node.keywords if keyword.arg),
        is_open=is_open(node),
        sent=method in _SENT,
    )


def is_sending(node: ast.AST) -> bool:
    """Whether a node is a call of a collection's method that writes."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDING


def written(what: Any) -> dict[str, tuple[str, Any]] | None:
    """Return what an update does to each field: its operator and value; None where not all of it is known.

    Of a pipeline's stages those that set and unset fields are known.
    """
    if isinstance(what, list):
        return _by_stages(what)
    if not isinstance(what, dict):
        return None
    found: dict[str, tuple[str, Any]] = {}
    for operator, fields in what.items():
        if not isinstance(operator, str) or not isinstance(fields, dict):
            return None
        if not all(isinstance(name, str) for name in fields):
            return None
        found |= {name: (operator, value) for name, value in fields.items()}
        if operator == "$rename":
            found |= {name: ("$set", None) for name in fields.values() if isinstance(name, str)}
    return found


def _by_stages(stages: list[Any]) -> dict[str, tuple[str, Any]] | None:
    found: dict[str, tuple[str, Any]] = {}
    for stage in stages:
        if not isinstance(stage, dict) or len(stage) != 1:
            return None
        [(name, body)] = stage.items()
        if name == "$unset":
            removed = body if isinstance(body, list) else [body]
            if not all(isinstance(field, str) for field in removed):
                return None
            found |= dict.fromkeys(removed, ("$unset", ""))
        elif (
            name in ("$set", "$addFields")
            and isinstance(body, dict)
            and all(isinstance(f, str) for f in body)
        ):
            found |= {field: ("$expression", value) for field, value in body.items()}
        else:
            return None
    return found


def unknowns(value: Any) -> list[Unknown]:
    """Return all that is unknown inside a value."""
    if isinstance(value, Unknown):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [unknown for item in inner for unknown in unknowns(item)]
