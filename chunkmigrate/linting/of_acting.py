"""Rules of acting: what ``upgrade`` and ``downgrade`` do by themselves, beside the steps they return.

It is not fenced, has no checkpoint, and is done again by each run that is started: also by the one that goes
on with the steps. What stands under a condition is taken for guarded by it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from chunkmigrate.linting import of_loops
from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.repeats import grown, stays
from chunkmigrate.linting.scopes import own
from chunkmigrate.linting.source import ENTRIES, collection_of, is_database
from chunkmigrate.linting.values import ANY, chain, function_of, value_of
from chunkmigrate.linting.writes import Write, write_of, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkmigrate.linting.scopes import Function, Scope
    from chunkmigrate.linting.source import Source

# What asks before it acts, and a transaction, whose author thought of it.
_GUARDS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match, ast.While, ast.IfExp, ast.BoolOp)


def repeated(source: Source) -> Iterator[Finding]:
    """CM201: ``$inc`` and what else is not the same when it is done again."""
    entries = [entry for entry in map(source.entry, ENTRIES) if entry is not None]
    for function in dict.fromkeys(inner for entry in entries for inner in _always(source, entry)):
        for node, scope, loops in _unguarded(source, function):
            write = write_of(node, scope)
            if write is None or "session" in write.options or write.is_open:
                continue
            if (write.sent or loops) and (field := _repeats(write, loops, scope)):
                yield Finding(source.path, write.line, "CM201", _repeating(field))


def _repeating(field: str) -> str:
    return (
        f"changes {field} again each time it is done, and each run that is started does it again, also after "
        "a kill in the middle. Return a Backfill, or let its filter leave out what is done."
    )


def _repeats(write: Write, loops: Sequence[ast.AST], scope: Scope) -> str:
    """Return the field a write changes further when it is done again; empty where a filter prevents that."""
    filters, documents = [write.filter], set[str]()
    for loop in loops:
        read = of_loops.read_of(loop, scope)
        if read is None:
            return ""
        filters.append(read.filter)
        documents |= read.documents
    field = grown(write.what, documents)
    fields = written(write.what)
    return field if field and fields and stays(filters, fields, documents) else ""


def _always(source: Source, entry: Function) -> list[Function]:
    """Return an entry and the functions of the file that it calls in any case, once."""
    found: list[Function] = [entry]
    for caller in found:
        for node, scope, loops in _unguarded(source, caller):
            is_plain = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not loops
            called = function_of(node.func, scope) if is_plain and isinstance(node, ast.Call) else None
            if called and called[0] not in found:
                found.append(called[0])
    return found


def _unguarded(source: Source, function: Function) -> Iterator[tuple[ast.AST, Scope, list[ast.AST]]]:
    """Yield the nodes of a function that always run, with the loops around them."""
    scope = source.scopes[function]
    body = function.body if isinstance(function.body, list) else [function.body]
    for statement in body:
        if isinstance(statement, _GUARDS) and _leaves(statement):
            return
        yield from ((node, scope, within) for node, within in _unconditional(statement, []))


def _unconditional(node: ast.AST, within: list[ast.AST]) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    if isinstance(node, (*_GUARDS, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
        return
    if isinstance(node, of_loops.LOOPS) and any(map(_is_guard, ast.walk(node))):
        return
    yield node, within
    inside = [*within, node] if isinstance(node, of_loops.LOOPS) else within
    for inner in ast.iter_child_nodes(node):
        yield from _unconditional(inner, inside)


def _is_guard(node: ast.AST) -> bool:
    return isinstance(node, _GUARDS) or (isinstance(node, ast.comprehension) and bool(node.ifs))


def _leaves(statement: ast.AST) -> bool:
    return any(isinstance(node, ast.Return | ast.Raise) for node in own(statement))


def beside_steps(source: Source) -> Iterator[Finding]:
    """CM202: what fails or doubles when it is done again, in an ``upgrade`` that returns steps too."""
    for name in ENTRIES:
        entry = source.entry(name)
        if entry is None or not _returns_steps(entry):
            continue
        for function in _always(source, entry):
            for node, scope, loops in _unguarded(source, function):
                if isinstance(node, ast.Call) and not loops and (what := _once_only(node, scope)):
                    yield Finding(source.path, node.lineno, "CM202", _twice(what, name))


def _twice(what: str, name: str) -> str:
    return (
        f"{what} a second time when the run is started again to go on with the steps {name} returns: make it "
        "a migration of its own in front of this one, or ask first whether it is done."
    )


def _returns_steps(entry: Function) -> bool:
    return any(
        isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant)
        for node in own(entry)
    )


def _once_only(call: ast.Call, scope: Scope) -> str:
    """Return what becomes of an act that is done twice, or an empty text."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    method, on = call.func.attr, call.func.value
    if method == "insert_one" and collection_of(on, scope) and call.args:
        document = value_of(call.args[0], scope)
        if isinstance(document, dict) and "_id" not in document and ANY not in document:
            return "inserts another document of the same content"
    if method in ("rename", "drop_index") and collection_of(on, scope):
        return f"{method}() fails"
    if method == "create_collection" and is_database(on, scope):
        return "create_collection() fails"
    return ""


def skips(source: Source) -> Iterator[Finding]:
    """CM204: ``find().skip(n)``."""
    for call, scope in source.calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "skip" or not call.args:
            continue
        methods = [
            inner.func.attr for inner, _ in chain(call, scope) if isinstance(inner.func, ast.Attribute)
        ]
        if "find" in methods and value_of(call.args[0], scope) != 0:
            what = "skip() walks over all it skips each time, and misses documents once others stop matching"
            yield Finding(source.path, call.lineno, "CM204", f"{what}: a scan reads by position.")
