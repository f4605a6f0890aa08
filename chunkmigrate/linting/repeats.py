"""Repeats: what becomes of a write when it is done again, and whether its filter still matches then.

In doubt it does not: a filter or an update that is not all known is taken for one that guards itself.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from chunkmigrate.linting.values import ANY, Unknown
from chunkmigrate.linting.writes import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

_GROWING = {"$inc", "$mul", "$push", "$pop"}
# Of a pipeline: what makes another value of the field's own each time. To ask what is there first is a guard.
_ADDING = {"$add", "$subtract", "$multiply", "$divide", "$concat", "$concatArrays", "$pow"}
_ASKING = {"$cond", "$switch", "$ifNull"}
# Of Python's operators those that, applied again, give the same again (%, &, |) are no danger.
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow)

# Conditions that still hold for a field that was added to, multiplied or appended to.
_LASTING = {"$gt", "$gte", "$exists", "$ne"}


def grown(what: Any, documents: AbstractSet[str] = frozenset()) -> str:
    """Return the field that an update changes further each time it is done, or an empty text.

    ``documents`` are the names of a document that was read: ``{"$set": {"a": order["a"] * 2}}``.
    """
    for name, (operator, value) in (written(what) or {}).items():
        if operator in _GROWING and not _is_nothing(operator, value):
            return name
        if operator == "$set" and _computes(value, name, documents):
            return name
        if operator == "$expression" and _adds(value, f"${name}"):
            return name
    return ""


def stays(filters: Iterable[Any], fields: Mapping[str, tuple[str, Any]], documents: AbstractSet[str]) -> bool:
    """Whether it is certain that a document matches ``filters`` after it was written as it did before."""
    return all(_stays(filter_, fields, documents) for filter_ in filters)


def _stays(filter_: Any, fields: Mapping[str, tuple[str, Any]], documents: AbstractSet[str]) -> bool:
    if not isinstance(filter_, dict) or ANY in filter_:
        return False
    for name, condition in filter_.items():
        if name == "$and" and isinstance(condition, list):
            if not stays(condition, fields, documents):
                return False
        elif name.startswith("$"):
            return False
        touching = [(field, *how) for field, how in fields.items() if _overlap(field, name)]
        if not all(_outlives(condition, name, touch, documents) for touch in touching):
            return False
    return True


def _outlives(condition: Any, name: str, touch: tuple[str, str, Any], documents: AbstractSet[str]) -> bool:
    """Whether a condition on ``name`` still holds after a field was written: only where that is certain."""
    field, operator, value = touch
    computed = operator == "$set" and _computes(value, field, documents)
    adding = (
        operator in ("$inc", "$mul", "$push")
        or computed
        or (operator == "$expression" and _adds(value, f"${field}"))
    )
    if field != name or not adding or isinstance(condition, Unknown):
        return False
    if not isinstance(condition, dict):
        # An array that holds a value still does with one more; a number is another one.
        return operator == "$push" and not isinstance(condition, list) and condition is not None
    return bool(condition) and all(_lasts(*asked) for asked in condition.items())


def _lasts(operator: Any, value: Any) -> bool:
    if operator == "$exists":
        return value is True or value == 1
    return operator in _LASTING and (operator != "$ne" or value is None)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _is_nothing(operator: str, value: Any) -> bool:
    return (operator, value) in (("$inc", 0), ("$mul", 1)) if isinstance(value, int | float) else False


def _computes(value: Any, field: str, documents: AbstractSet[str]) -> bool:
    """Whether a value is made by adding to or multiplying the same field of a document that was read."""
    if not isinstance(value, Unknown) or any(isinstance(node, ast.IfExp) for node in ast.walk(value.node)):
        return False
    return any(
        _reads(inner, field, documents)
        for node in ast.walk(value.node)
        if (isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC)) or _is_longer(node)
        for inner in ast.walk(node)
    )


def _is_longer(node: ast.AST) -> bool:
    """Whether a node is an f-string with some text of its own."""
    return isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.Constant) for part in node.values)


def _reads(node: ast.AST, field: str, documents: AbstractSet[str]) -> bool:
    """Whether a node is ``order["a"]`` or ``order.get("a")``."""
    if isinstance(node, ast.Subscript):
        read, key = node.value, node.slice
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and node.args
    ):
        read, key = node.func.value, node.args[0]
    else:
        return False
    is_document = isinstance(read, ast.Name) and read.id in documents
    return is_document and isinstance(key, ast.Constant) and key.value == field


def _adds(value: Any, path: str) -> bool:
    """Whether an expression of a pipeline adds to, multiplies or appends to the field at ``path``."""
    return not _has(value, _ASKING) and any(_mentions(body, path) for body in _bodies(value, _ADDING))


def _bodies(value: Any, operators: AbstractSet[str]) -> list[Any]:
    if isinstance(value, list):
        return [body for item in value for body in _bodies(item, operators)]
    if not isinstance(value, dict):
        return []
    here = [body for name, body in value.items() if name in operators]
    return here + [body for item in value.values() for body in _bodies(item, operators)]


def _has(value: Any, operators: AbstractSet[str]) -> bool:
    return bool(_bodies(value, operators))


def _mentions(value: Any, path: str) -> bool:
    if isinstance(value, dict):
        return any(_mentions(item, path) for item in value.values())
    if isinstance(value, list):
        return any(_mentions(item, path) for item in value)
    return bool(isinstance(value, str) and value == path)
