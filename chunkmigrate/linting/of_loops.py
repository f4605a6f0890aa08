"""Rules of loops: the loop people write first, and the one that never ends."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.repeats import stays
from chunkmigrate.linting.scopes import own
from chunkmigrate.linting.source import filter_of
from chunkmigrate.linting.values import argument, chain, dotted, is_known, made_by, resolved
from chunkmigrate.linting.writes import is_sending, write_of, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.linting.scopes import Scope
    from chunkmigrate.linting.source import Source

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
LOOPS = (ast.For, ast.AsyncFor, *COMPREHENSIONS)

_FINDS = ("find", "find_raw_batches", "find_one")


@dataclass(frozen=True, slots=True)
class LoopRead:
    """What a loop reads: by which method, with which filter, and under which names its documents go."""

    method: str
    filter: Any
    documents: frozenset[str]
    limited: bool


def read_of(loop: ast.AST, scope: Scope) -> LoopRead | None:
    """Return what a loop reads from a collection; None if it goes over something else."""
    pairs = [(loop.target, loop.iter)] if isinstance(loop, ast.For | ast.AsyncFor) else []
    if isinstance(loop, COMPREHENSIONS):
        pairs = [(part.target, part.iter) for part in loop.generators]
    if len(pairs) != 1:
        return None
    [(target, iterated)] = pairs
    documents = frozenset({target.id} if isinstance(target, ast.Name) else ())
    return _read(iterated, scope, documents)


def _read(node: ast.expr, scope: Scope, documents: frozenset[str]) -> LoopRead | None:
    call, scope = resolved(node, scope)
    if isinstance(call, ast.Call) and made_by(call, scope) == "scan":
        return LoopRead("scan", filter_of(argument(call, 1, "filter"), scope), documents, limited=False)
    methods = list(chain(call, scope))
    names = [inner.func.attr for inner, _ in methods if isinstance(inner.func, ast.Attribute)]
    for (inner, where), name in zip(methods, names, strict=True):
        if name in _FINDS:
            filter_ = filter_of(argument(inner, 0, "filter"), where)
            return LoopRead(name, filter_, documents, limited="limit" in names or name == "find_one")
    return None


def looping(source: Source) -> Iterator[Finding]:
    """CM203: documents are read and written in a loop of ``upgrade``'s own."""
    for function in source.acting:
        scope = source.scopes[function]
        for node in own(function):
            read = read_of(node, scope) if isinstance(node, LOOPS) else None
            if read is not None and not read.limited and _writes(node, scope):
                yield Finding(source.path, _line(node), "CM203", _starting_over(read.method))


def _starting_over(method: str) -> str:
    return (
        f"a loop over {method}() that writes has no checkpoint: killed or stopped, it starts over, and "
        "nothing holds it to its memory. Return Backfill(scan(...), transform)."
    )


def _writes(loop: ast.AST, scope: Scope) -> bool:
    return any(is_sending(node) or write_of(node, scope) is not None for node in ast.walk(loop))


def _line(node: ast.AST) -> int:
    line: int = getattr(node, "lineno", 1)
    return line


def endless(source: Source) -> Iterator[Finding]:
    """CM205: ``while`` there are documents that match, and writing them does not change that."""
    for function in source.acting:
        scope = source.scopes[function]
        for node in own(function):
            if isinstance(node, ast.While) and _is_endless(node, scope):
                what = "reads what matches until nothing does, and what it writes leaves its filter as it was"
                yield Finding(source.path, node.lineno, "CM205", f"{what}: it never ends. Return a Backfill.")


def _is_endless(loop: ast.While, scope: Scope) -> bool:
    nodes = list(ast.walk(loop))
    if not _ends_when_empty(loop) or not all(_is_understood(node, scope) for node in nodes):
        return False
    reads = [read for read in (_found(node, scope) for node in nodes) if read is not None]
    writes = [write for write in (write_of(node, scope) for node in nodes) if write is not None]
    if len(reads) != 1 or not writes or not is_known(reads[0].filter) or not reads[0].limited:
        return False
    fields = [written(write.what) if write.kind in ("UpdateOne", "UpdateMany") else None for write in writes]
    return all(each and stays([reads[0].filter], each, frozenset()) for each in fields)


def _ends_when_empty(loop: ast.While) -> bool:
    """Whether a loop ends only where nothing was read: by its test, or ``if not read: break``."""
    leaves = sum(isinstance(node, ast.Break | ast.Return | ast.Raise) for node in ast.walk(loop))
    tests = [node for node in ast.walk(loop) if isinstance(node, ast.If)]
    if any(not _is_emptiness(test.test) for test in tests):
        return False
    inside = [node for test in tests for statement in test.body for node in ast.walk(statement)]
    if leaves != sum(isinstance(node, ast.Break | ast.Return | ast.Raise) for node in inside):
        return False
    return not isinstance(loop.test, ast.Compare | ast.BoolOp | ast.UnaryOp)


def _is_emptiness(test: ast.expr) -> bool:
    """Whether a test is ``not read``, or ``read is None``."""
    if isinstance(test, ast.Compare):
        return [type(operator) for operator in test.ops] == [ast.Is]
    return (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, ast.Name)
    )


def _is_understood(node: ast.AST, scope: Scope) -> bool:
    """Whether a node calls nothing that may write unseen: no function of the project's."""
    if not isinstance(node, ast.Call):
        return True
    if isinstance(node.func, ast.Name):
        owner = scope.owner(node.func.id)
        return owner is None or bool(made_by(node, scope))
    module = dotted(node.func, scope).partition(".")[0]
    return module in ("", "logging", "time", "chunkmigrate", "pymongo")


def _found(node: ast.AST, scope: Scope) -> LoopRead | None:
    """Return what a call of ``find`` reads, if it is the last one of its chain."""
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Attribute)
        or node.func.attr
        not in (
            "limit",
            "find_one",
        )
    ):
        return None
    return _read(node, scope, frozenset())
