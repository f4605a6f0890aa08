"""Values: what an expression is worth as far as its text tells, and which function a name stands for.

A dict or list is known even where what is in it is not: what cannot be told is an `Unknown`, and a key that
cannot be told is `ANY`. Nothing is evaluated.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.linting.scopes import Function, Scope

ANY = object()

# Names may stand for names, even in a circle; where values hold them, each step multiplies what there is.
ALIASES = 3
STEPS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """An expression whose value the text does not tell."""

    node: ast.expr
    scope: Scope


def value_of(node: ast.expr, scope: Scope, depth: int = ALIASES) -> Any:
    """Return what an expression is worth: constants, dicts and lists of them, `Unknown` for all else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Dict):
        return _dict(node, scope, depth)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [value_of(item, scope, depth) for item in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = value_of(node.operand, scope, depth)
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.Name) and depth:
        found = assigned(node, scope)
        if found is not None:
            value = value_of(*found, depth - 1)
            # What one call returned is one value, by whichever name: the name tells more than the call.
            return Unknown(node, scope) if isinstance(value, Unknown) else value
    return Unknown(node, scope)


def _dict(node: ast.Dict, scope: Scope, depth: int) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        value = value_of(item, scope, depth)
        if key is None:
            found |= value if isinstance(value, dict) else {ANY: value}
            continue
        name = value_of(key, scope, depth)
        found[name if isinstance(name, str) else ANY] = value
    return found


def is_known(value: Any) -> bool:
    """Whether the text tells all of a value."""
    if isinstance(value, dict):
        return ANY not in value and all(map(is_known, value.values()))
    if isinstance(value, list):
        return all(map(is_known, value))
    return not isinstance(value, Unknown)


def assigned(name: ast.Name, scope: Scope) -> tuple[ast.expr, Scope] | None:
    """Return the only expression a name is assigned, and the scope that stands in; None where it has none."""
    owner = scope.owner(name.id)
    if owner is None or name.id not in owner.once:
        return None
    return owner.once[name.id], owner


def resolved(node: ast.expr, scope: Scope) -> tuple[ast.expr, Scope]:
    """Return the expression that ``node`` stands for: its own, or what the name was assigned."""
    for _ in range(STEPS):
        found = assigned(node, scope) if isinstance(node, ast.Name) else None
        if found is None:
            break
        node, scope = found
    return node, scope


def function_of(node: ast.expr, scope: Scope) -> tuple[Function, Scope] | None:
    """Return the function of this file that an expression stands for, and the scope it is defined in."""
    node, scope = resolved(node, scope)
    if isinstance(node, ast.Lambda):
        return node, scope
    owner = scope.owner(node.id) if isinstance(node, ast.Name) else None
    if isinstance(node, ast.Name) and owner is not None and node.id in owner.functions:
        return owner.functions[node.id], owner
    return None


def dotted(node: ast.AST, scope: Scope) -> str:
    """Return the full name an expression stands for, ``datetime.datetime.now``; empty if it is not imported.

    What nobody binds is a builtin, or comes by ``from ... import *``: it goes by its own name.
    """
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    owner = scope.owner(node.id)
    first = node.id if owner is None else owner.imports.get(node.id, "")
    return ".".join([first, *parts]) if first else ""


def made_by(call: ast.Call, scope: Scope) -> str:
    """Return what of chunkmigrate's or pymongo's a call makes, ``UpdateOne``; empty where it is another's."""
    name = dotted(call.func, scope)
    package, _, _ = name.partition(".")
    if package in ("chunkmigrate", "pymongo"):
        return name.rpartition(".")[2]
    starred = {module.partition(".")[0] for module in scope.module.starred}
    return name if "." not in name and starred & {"chunkmigrate", "pymongo"} else ""


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """Return an argument of a call by its position or name; None where it has none, or ``*`` hides it."""
    plain = call.args[: position + 1]
    if len(plain) > position and not any(isinstance(item, ast.Starred) for item in plain):
        return plain[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def is_open(call: ast.Call) -> bool:
    """Whether a call may have more arguments than its text shows."""
    return any(isinstance(item, ast.Starred) for item in call.args) or any(
        keyword.arg is None for keyword in call.keywords
    )


def chain(node: ast.expr, scope: Scope) -> Iterator[tuple[ast.Call, Scope]]:
    """Yield the method calls of ``a.b(...).c(...)`` from the last to the first, through names."""
    for _ in range(STEPS):
        node, scope = resolved(node, scope)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return
        yield node, scope
        node = node.func.value
