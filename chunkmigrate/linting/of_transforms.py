"""Rules of transforms: what a function of documents may not do, or need not."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.scopes import own
from chunkmigrate.linting.source import is_called
from chunkmigrate.linting.values import ANY, Unknown, dotted
from chunkmigrate.linting.writes import Write, is_sending, write_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.linting.source import Source, Step

# What finds one document: a filter that does not name it may find another.
_OF_ONE = ("UpdateOne", "ReplaceOne", "DeleteOne")


def by_id(source: Source) -> Iterator[Finding]:
    """CM302: a write to the scanned collection that finds its document by something else than ``_id``."""
    for _, write in _made(source):
        if write.kind in _OF_ONE and "upsert" not in write.options and _is_without_id(write.filter):
            by = ", ".join(write.filter) or "nothing"
            what = f"{write.kind} finds its document by {by}: that may be another one"
            slow = ", and without an index all are looked at for each" if write.filter else ""
            message = f'{what}{slow}. Write {{"_id": ...["_id"]}}.'
            yield Finding(source.path, write.line, "CM302", message)


def _made(source: Source) -> Iterator[tuple[Step, Write]]:
    """Yield the writes that transforms make for the collection they read, with their steps."""
    seen = set[ast.Call]()
    for step in source.steps:
        if step.function is None or step.is_open or "into" in step.options:
            continue
        for function in source.reachable(step.function):
            for node in own(function):
                write = write_of(node, source.scopes[function])
                if write is None or write.sent or write.is_open or "namespace" in write.options:
                    continue
                if write.call not in seen:
                    seen.add(write.call)
                    yield step, write


def _is_without_id(filter_: Any) -> bool:
    return isinstance(filter_, dict) and not any(
        name is ANY or name == "_id" or name.startswith(("$", "_id.")) for name in filter_
    )


def inserting(source: Source) -> Iterator[Finding]:
    """CM303: an insert into the scanned collection, in front of where the scan stands."""
    for step, write in _made(source):
        if write.kind != "InsertOne" or step.read is None or step.read.is_open:
            continue
        if _is_ahead(write.what) and _matches(step.read.filter, write.what):
            what = "inserts into the collection it reads, under an _id that may lie in front of the scan"
            message = f"{what}: it is then read, too, and inserted from again. Let the filter leave it out."
            yield Finding(source.path, write.line, "CM303", message)


def _is_ahead(document: Any) -> bool:
    """Whether a document has an ``_id`` of the author's own. A new ObjectId lies behind those there are."""
    given = document.get("_id") if isinstance(document, dict) else None
    if not isinstance(given, Unknown):
        return False
    made = isinstance(given.node, ast.Call) and dotted(given.node.func, given.scope).rpartition(".")[2]
    return made != "ObjectId"


def _matches(filter_: Any, document: dict[Any, Any]) -> bool:
    """Whether it is certain that a document made from one that matches does so, too."""
    if not isinstance(filter_, dict) or ANY in filter_:
        return False
    copied = ANY in document
    return all(
        not name.startswith("$") and name != "_id" and copied and name not in document for name in filter_
    )


def whole(source: Source) -> Iterator[Finding]:
    """CM304: whole documents are read, and the transform uses some of their fields."""
    for step in source.steps:
        read = step.read
        if read is None or read.fields is not None or read.is_open or step.is_open:
            continue
        # Unchanged then means that the whole document is: the author may want that.
        if "if_unchanged" in step.options:
            continue
        fields = fields_used(source, step)
        if fields is not None:
            named = ", ".join(f'"{field}"' for field in sorted(fields - {"_id"}))
            uses = f"uses only {', '.join(sorted(fields))}" if fields else "uses none of their fields"
            message = f"reads whole documents, and its transform {uses}: write fields=[{named}]."
            yield Finding(source.path, read.call.lineno, "CM304", message)


def fields_used(source: Source, step: Step) -> set[str] | None:
    """Return the fields a transform uses; None where a document is handed on, so that it may use any."""
    names = step.documents(source.scopes)
    if step.function is None or not names:
        return None
    used, known = set[str](), set[ast.AST]()
    for node in ast.walk(step.function):
        field, name = _field(node, names)
        if name is not None and field is not None:
            used.add(field)
            known.add(name)
        elif isinstance(node, ast.For | ast.comprehension) and step.each_chunk:
            known |= {node.target, *({node.iter} if isinstance(node.iter, ast.Name) else ())}
    names |= set(source.scopes[step.function].parameters[:1])
    handed_on = [node for node in ast.walk(step.function) if isinstance(node, ast.Name) and node.id in names]
    return used if all(node in known for node in handed_on) else None


def _field(node: ast.AST, names: set[str]) -> tuple[str | None, ast.AST | None]:
    """Return the field that ``order["a"]``, ``order.get("a")`` or ``"a" in order`` uses, and its name."""
    read: ast.AST | None = None
    key: ast.AST | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        read, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        read, key = node.func.value, node.args[0] if node.args else None
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
        read, key = node.comparators[0], node.left
    if not isinstance(read, ast.Name) or read.id not in names:
        return None, None
    return (key.value, read) if isinstance(key, ast.Constant) and isinstance(key.value, str) else (None, None)


def sending(source: Source) -> Iterator[Finding]:
    """CM305: a transform that sends writes by itself."""
    for function in source.transforms:
        for node in own(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_sending(node):
                what = f"{node.func.attr}() in a transform is sent outside of the chunk: a dry run refuses it"
                message = (
                    f"{what}, and a chunk that is tried again sends it again. Return the operation instead."
                )
                yield Finding(source.path, node.lineno, "CM305", message)


def sleeping(source: Source) -> Iterator[Finding]:
    """CM306: a transform that sleeps."""
    for function in source.transforms:
        for node in own(function):
            if is_called(node, source.scopes[function], ("time.sleep",)):
                what = "time.sleep() in a transform holds up a chunk whose reading has begun"
                line = getattr(node, "lineno", 1)
                message = f"{what}. To go slower, use --max-rate or Backfill(..., throttle=...)."
                yield Finding(source.path, line, "CM306", message)
