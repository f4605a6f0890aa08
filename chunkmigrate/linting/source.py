"""Source: a migration's file as the rules see it: what acts, which backfills it has, and what they read.

It is read, never imported. What a file writes is ``writes``' business, whether that is right the rules'.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chunkmigrate.linting.scopes import FUNCTIONS, Scope, own, scopes_of
from chunkmigrate.linting.values import (
    Unknown,
    argument,
    dotted,
    function_of,
    is_open,
    made_by,
    resolved,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from chunkmigrate.linting.scopes import Function

ENTRIES = ("upgrade", "downgrade")

# What pymongo-migrate and everybody else calls a database that is handed on.
_DATABASES = {"db", "database"}


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A call of ``scan``: its filter, and the fields it names; None where it names none."""

    call: ast.Call
    scope: Scope
    collection: str | None
    filter: Any
    fields: Any
    hint: Any
    is_open: bool


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A call of ``Backfill``: what it reads and its function, None where that is not in this file.

    ``each_chunk`` is whether its function gets a list. ``options`` are its other arguments.
    """

    call: ast.Call
    scope: Scope
    read: Read | None
    function: Function | None
    each_chunk: bool
    options: dict[str, ast.expr]
    is_open: bool

    def documents(self, scopes: dict[ast.AST, Scope]) -> set[str]:
        """Return the names a document has in the function."""
        if self.function is None or not (parameters := scopes[self.function].parameters):
            return set()
        if not self.each_chunk:
            return {parameters[0]}
        return {
            node.target.id
            for node in ast.walk(self.function)
            if isinstance(node, ast.For | ast.comprehension)
            and isinstance(node.iter, ast.Name)
            and node.iter.id == parameters[0]
            and isinstance(node.target, ast.Name)
        }


@dataclass(frozen=True)
class Source:
    """A file: ``path`` as it is shown, and its tree."""

    path: Path
    tree: ast.Module

    @cached_property
    def scopes(self) -> dict[ast.AST, Scope]:
        """The names of the module and of each function."""
        return scopes_of(self.tree)

    @property
    def module(self) -> Scope:
        """The names of the module."""
        return self.scopes[self.tree]

    def entry(self, name: str) -> Function | None:
        """Return ``upgrade`` or ``downgrade``, where it is a function of this file."""
        found = function_of(ast.Name(name, ast.Load()), self.module)
        return found[0] if found else None

    def reachable(self, function: Function) -> list[Function]:
        """Return a function and those of this file it calls, at any depth."""
        found: list[Function] = [function]
        for caller in found:
            for node in own(caller):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    called = function_of(node.func, self.scopes[caller])
                    if called and called[0] not in found:
                        found.append(called[0])
        return found

    @cached_property
    def acting(self) -> list[Function]:
        """The functions that act by themselves: ``upgrade``, ``downgrade`` and what they call."""
        entries = [entry for entry in map(self.entry, ENTRIES) if entry is not None]
        found = dict.fromkeys(function for entry in entries for function in self.reachable(entry))
        return [function for function in found if isinstance(function, FUNCTIONS)]

    @cached_property
    def steps(self) -> list[Step]:
        """The backfills of the file, in the order of its text."""
        return [self._step(node, scope) for node, scope in self.calls() if made_by(node, scope) == "Backfill"]

    @property
    def ahead(self) -> list[Step]:
        """The backfills that ``upgrade`` makes, and not ``downgrade``: their documents are there already."""
        upgrade = self.entry("upgrade")
        functions = [self.tree, *(self.reachable(upgrade) if upgrade is not None else ())]
        return [step for step in self.steps if step.scope.node in functions]

    @cached_property
    def transforms(self) -> list[Function]:
        """The functions that are given documents, and those they call."""
        functions = [step.function for step in self.steps if step.function is not None]
        return list(dict.fromkeys(inner for function in functions for inner in self.reachable(function)))

    def calls(self) -> Iterator[tuple[ast.Call, Scope]]:
        """Yield each call of the file, with the scope it stands in, in the order of its text."""
        found = [
            (node, scope)
            for scope in self.scopes.values()
            for node in own(scope.node)
            if isinstance(node, ast.Call)
        ]
        yield from sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset))

    def _step(self, call: ast.Call, scope: Scope) -> Step:
        transform, each_chunk = argument(call, 1, "transform"), argument(call, len(call.args), "each_chunk")
        named = transform or each_chunk
        function = function_of(named, scope) if named is not None else None
        read = argument(call, 0, "scan")
        return Step(
            call=call,
            scope=scope,
            read=_read(*resolved(read, scope)) if read else None,
            function=function[0] if function else None,
            each_chunk=transform is None,
            options={keyword.arg: keyword.value for keyword in call.keywords if keyword.arg},
            is_open=is_open(call),
        )


def _read(call: ast.expr, scope: Scope) -> Read | None:
    if not isinstance(call, ast.Call) or made_by(call, scope) != "scan":
        return None
    collection, filter_ = argument(call, 0, "collection"), argument(call, 1, "filter")
    fields, hint = argument(call, len(call.args), "fields"), argument(call, len(call.args), "hint")
    return Read(
        call=call,
        scope=scope,
        collection=collection_of(collection, scope) if collection else None,
        filter=filter_of(filter_, scope),
        fields=None if fields is None else value_of(fields, scope),
        hint=None if hint is None else value_of(hint, scope),
        is_open=is_open(call),
    )


def filter_of(node: ast.expr | None, scope: Scope) -> Any:
    """Return what a filter is worth; where there is none it matches everything."""
    found = {} if node is None else value_of(node, scope)
    return {} if found is None else found


def collection_of(node: ast.expr, scope: Scope) -> str | None:
    """Return which collection of its database an expression is: ``db.a.b``, ``db["a"]``; None if none."""
    parts: list[str] = []
    node, scope = resolved(node, scope)
    while not isinstance(node, ast.Name):
        part, inner = _part(node, scope)
        if inner is None or not isinstance(part, str):
            return None
        parts.insert(0, part)
        node, scope = resolved(inner, scope)
    return ".".join(parts) if parts and is_database(node, scope) else None


def _part(node: ast.expr, scope: Scope) -> tuple[Any, ast.expr | None]:
    if isinstance(node, ast.Attribute):
        return node.attr, node.value
    if isinstance(node, ast.Subscript):
        return value_of(node.slice, scope), node.value
    method = node.func if isinstance(node, ast.Call) else None
    if isinstance(node, ast.Call) and isinstance(method, ast.Attribute) and method.attr == "get_collection":
        return (value_of(node.args[0], scope) if node.args else None), method.value
    return None, None


def is_database(node: ast.expr, scope: Scope) -> bool:
    """Whether a name is the database that ``upgrade`` was given."""
    owner = scope.owner(node.id) if isinstance(node, ast.Name) else None
    if not isinstance(node, ast.Name) or owner is None or node.id not in owner.parameters:
        return False
    name = getattr(owner.node, "name", "")
    return node.id in _DATABASES or (name in ENTRIES and owner.parameters[0] == node.id)


def is_called(node: ast.AST, scope: Scope, names: Sequence[str]) -> bool:
    """Whether a node is a call of one of the functions that have these full names."""
    return isinstance(node, ast.Call) and dotted(node.func, scope) in names


def literal(node: ast.expr | None, scope: Scope) -> Any:
    """Return the constant an expression is; None for any other."""
    found = None if node is None else value_of(node, scope)
    return None if isinstance(found, Unknown) else found
