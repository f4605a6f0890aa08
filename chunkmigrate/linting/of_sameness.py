"""Rules of sameness: a value meant for one document that every document gets.

What makes such values is called for each document in a transform; in ``upgrade``, at import, as a default
value or in an update the server does alone, it is called once. A moment that is the same for all of a run may
well be meant, so clocks are no concern here.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.of_loops import COMPREHENSIONS
from chunkmigrate.linting.scopes import own
from chunkmigrate.linting.values import ALIASES, ANY, Unknown, dotted, made_by, value_of
from chunkmigrate.linting.writes import unknowns, write_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.linting.scopes import Scope
    from chunkmigrate.linting.source import Source

_MADE_BY = {
    "bson": "ObjectId",
    "bson.objectid": "ObjectId",
    "nanoid": "generate",
    "os": "urandom",
    "random": "getrandbits randbytes randint random randrange uniform",
    "secrets": "randbelow randbits token_bytes token_hex token_urlsafe",
    "shortuuid": "uuid",
    "ulid": "ULID",
    "uuid": "uuid1 uuid4 uuid6 uuid7",
}
_MAKERS = frozenset(f"{module}.{name}" for module, names in _MADE_BY.items() for name in names.split())
_LOOPS = (ast.For, ast.AsyncFor, ast.While, *COMPREHENSIONS)


def sameness(source: Source) -> Iterator[Finding]:
    """CM301: one generated value for every document."""
    found: dict[tuple[int, str], Finding] = {}
    for value, is_many in _written(source):
        made = _made_once(value, source, is_many=is_many)
        if made:
            what = f"{made}() is called once here, and every document gets the same value"
            message = f"{what}. Call it in the transform, or ignore this where one value is meant."
            line = value.node.lineno
            found[line, made] = Finding(source.path, line, "CM301", message)
    yield from found.values()


def _written(source: Source) -> Iterator[tuple[Unknown, bool]]:
    """Yield the values that are written to documents, and whether one write is of many documents."""
    for function in source.transforms:
        for node in own(function):
            write = write_of(node, source.scopes[function])
            if write is not None and write.what is not None:
                yield from ((v, v.scope.node not in source.transforms) for v in _values(write.what))
    for function in source.acting:
        yield from _by_acting(function, source.scopes[function])
    for step in source.steps:
        if "server" in step.options:
            yield from ((value, True) for value in _values(value_of(step.options["server"], step.scope)))


def _by_acting(function: ast.AST, scope: Scope) -> Iterator[tuple[Unknown, bool]]:
    loops = [node for node in own(function) if isinstance(node, _LOOPS)]
    looped = {inner for loop in loops for inner in ast.walk(loop)}
    for node in own(function):
        write = write_of(node, scope)
        if write is None or write.what is None:
            continue
        # In a loop a call is a new value for each time round; a name may still be one from before.
        if node in looped:
            yield from ((value, value.node not in looped) for value in _values(write.what))
        elif write.kind == "UpdateMany" and write.sent and not _is_of_one(write.filter):
            yield from ((value, True) for value in _values(write.what))


def _is_of_one(filter_: Any) -> bool:
    return not isinstance(filter_, dict) or ANY in filter_ or "_id" in filter_


def _values(what: Any) -> list[Unknown]:
    """Return the unknown values in an update or document; an update that is unknown itself is no value."""
    return [] if isinstance(what, Unknown) else unknowns(what)


def _made_once(value: Unknown, source: Source, *, is_many: bool) -> str:
    """Return the maker of a value that is made once for many documents; empty for any other."""
    makers = _makers(value.node, value.scope, source, called=is_many, depth=ALIASES)
    return makers[0] if makers and "" not in makers else ""


def _makers(node: ast.expr, scope: Scope, source: Source, *, called: bool, depth: int) -> list[str]:
    """Return the makers of all that a value is made of; an empty text is something else, like the document.

    ``called`` is whether a call in the expression itself counts: in a transform it is done anew each time.
    """
    makers: list[str] = []
    callees = [inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and dotted(inner.func, scope) in _MAKERS:
            makers.append(dotted(inner.func, scope) if called else "")
        elif isinstance(inner, ast.Name) and inner not in callees:
            makers += _behind(inner, scope, source, depth)
    return makers


def _behind(name: ast.Name, scope: Scope, source: Source, depth: int) -> list[str]:
    """Return the makers of what a name was assigned, or is by default, outside of where it is used."""
    owner = scope.owner(name.id)
    if owner is None or name.id in owner.imports or name.id in owner.functions:
        return []
    default = _default(owner, name.id)
    if default is not None and owner.parent is not None:
        return _makers(default, owner.parent, source, called=True, depth=depth - 1) if depth else [""]
    if name.id not in owner.once or not depth:
        return [""]
    # What a transform assigns is made for each document; what is handed on elsewhere is meant to be one.
    called = owner.node not in source.transforms and not _is_shared(name.id, owner)
    return _makers(owner.once[name.id], owner, source, called=called, depth=depth - 1)


def _default(scope: Scope, name: str) -> ast.expr | None:
    arguments = getattr(scope.node, "args", None)
    if not isinstance(arguments, ast.arguments):
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    named = dict(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    named |= {a: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d}
    return next((default for argument, default in named.items() if argument.arg == name), None)


def _is_shared(name: str, owner: Scope) -> bool:
    """Whether a value is also inserted or handed on: as the ``_id`` of what all documents shall refer to."""
    calls = [node for node in ast.walk(owner.node) if isinstance(node, ast.Call)]
    shared, written = set[ast.AST](), set[ast.AST]()
    for call in calls:
        write = write_of(call, owner)
        if made_by(call, owner) == "Backfill" or (write is not None and write.kind != "InsertOne"):
            written |= _named(call, name)
        elif dotted(call.func, owner) not in ("str", "bytes"):
            shared |= {inner for item in _arguments(call) for inner in _named(item, name)}
    return bool(shared - written)


def _named(node: ast.AST, name: str) -> set[ast.AST]:
    return {inner for inner in ast.walk(node) if isinstance(inner, ast.Name) and inner.id == name}


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]
