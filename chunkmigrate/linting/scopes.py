"""Scopes: which names a module and its functions bind, and to what.

A name counts as known only where it is bound once, plainly: what is bound twice, in a loop, or changed in
place may be anything. What an expression is worth then is ``values``' business.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(slots=True, eq=False)
class Scope:
    """The names of a module, or of a function in it.

    ``once`` are those with one plain assignment, ``functions`` those of one ``def``, ``imports`` stand for a
    dotted name; ``bound`` are all. ``parameters`` are in order, without ``*args``.
    """

    node: ast.Module | Function
    parent: Scope | None = None
    bound: set[str] = field(default_factory=set)
    once: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    starred: set[str] = field(default_factory=set)
    parameters: tuple[str, ...] = ()

    def owner(self, name: str) -> Scope | None:
        """Return the scope that binds ``name``, as seen from here; None for a builtin."""
        if name in self.bound:
            return self
        return self.parent.owner(name) if self.parent else None

    @property
    def module(self) -> Scope:
        """The outermost scope."""
        return self.parent.module if self.parent else self


def scopes_of(tree: ast.Module) -> dict[ast.AST, Scope]:
    """Return the scope of the module and of each function in it, by its node."""
    found: dict[ast.AST, Scope] = {}
    waiting: list[tuple[ast.Module | Function, Scope | None]] = [(tree, None)]
    while waiting:
        node, parent = waiting.pop()
        scope = found[node] = _scope(node, parent)
        waiting += [(inner, scope) for inner in own(node) if isinstance(inner, FUNCTIONS)]
    for scope in found.values():
        _forget_globals(scope)
    return found


def own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is inside a module or function, but not in a function in it, in the order of the text."""
    if isinstance(node, FUNCTIONS):
        body = node.body if isinstance(node.body, list) else [node.body]
        waiting: list[ast.AST] = list(reversed(body))
    else:
        waiting = [node]
    while waiting:
        inner = waiting.pop()
        yield inner
        if isinstance(inner, FUNCTIONS):
            waiting += reversed(_outside(inner))
        else:
            waiting += reversed(list(ast.iter_child_nodes(inner)))


def _outside(function: Function) -> list[ast.AST]:
    """Return what of a function belongs to where it is defined: decorators and default values."""
    defaults = [default for default in (*function.args.defaults, *function.args.kw_defaults) if default]
    return [*getattr(function, "decorator_list", ()), *defaults]


def _scope(node: ast.Module | Function, parent: Scope | None) -> Scope:
    scope = Scope(node, parent)
    counts: dict[str, int] = {}
    for inner in own(node):
        for name in _bound_by(inner):
            counts[name] = counts.get(name, 0) + 1
        _note(scope, inner)
    if isinstance(node, FUNCTIONS):
        arguments = node.args
        scope.parameters = tuple(
            a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        )
        rest = [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
        for name in (*scope.parameters, *rest):
            counts[name] = counts.get(name, 0) + 1
            scope.once.pop(name, None)
    scope.bound = set(counts)
    unsure = {name for name, count in counts.items() if count > 1} | _changed(node)
    scope.once = {name: value for name, value in scope.once.items() if name not in unsure}
    scope.functions = {name: value for name, value in scope.functions.items() if counts[name] == 1}
    others = {name for inner in own(node) if not _is_import(inner) for name in _bound_by(inner)}
    scope.imports = {name: full for name, full in scope.imports.items() if name not in others}
    return scope


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _note(scope: Scope, node: ast.AST) -> None:
    """Note what a node binds, if that is of use."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        scope.once[node.targets[0].id] = node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        scope.once[node.target.id] = node.value
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        scope.functions[node.name] = node
    elif isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            scope.imports[name] = alias.name if alias.asname else name
    elif isinstance(node, ast.ImportFrom):
        _note_from(scope, node)


def _note_from(scope: Scope, node: ast.ImportFrom) -> None:
    module = "." * node.level + (node.module or "")
    for alias in node.names:
        if alias.name == "*":
            scope.starred.add(module)
        else:
            scope.imports[alias.asname or alias.name] = f"{module}.{alias.name}"


def _changed(node: ast.AST) -> set[str]:
    """Return the names whose values are changed in place: ``name[...] = ...``, ``name.update()``."""
    changed = set[str]()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Subscript) and not isinstance(inner.ctx, ast.Load):
            changed |= _root(inner.value)
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            if inner.func.attr in _CHANGING:
                changed |= _root(inner.func.value)
        elif isinstance(inner, ast.Delete):
            changed |= {target.id for target in inner.targets if isinstance(target, ast.Name)}
    return changed


_CHANGING = {
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "reverse",
    "setdefault",
    "update",
}


def _root(node: ast.AST) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _forget_globals(scope: Scope) -> None:
    """What a function declares ``global`` or ``nonlocal`` is another's, and may be changed at any time."""
    for node in own(scope.node):
        if isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                scope.bound.discard(name)
                scope.once.pop(name, None)
                owner = scope.owner(name)
                if owner is not None:
                    owner.once.pop(name, None)
