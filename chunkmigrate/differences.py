"""Differences: what the writes of one document would change in it, as lines for a terminal.

``+`` is new, ``-`` goes, ``~`` changes, ``?`` is not known, ``>`` is a write shown as it is, and ``!`` one
that the server would refuse. What a document holds is shown by its type and size, unless its values are asked
for. What the writes do is ``foresight``'s to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import PyMongoError

from chunkmigrate.display import described, harmless, name_of, outlined, spelled
from chunkmigrate.foresight import Reading, Statement
from chunkmigrate.updates.tree import (
    DOCUMENT,
    Fields,
    Items,
    Mark,
    Node,
    Value,
    collapsed,
    expanded,
    value_of,
)
from chunkmigrate.writes import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.collection import Collection

    from chunkmigrate.backfill import Write
    from chunkmigrate.foresight import Apart, Foresight
    from chunkmigrate.scan import Scan
    from chunkmigrate.updates.changes import Change
    from chunkmigrate.updates.paths import Path

# Of one document: a terminal shows about so many at once.
MOST_LINES = 40

ASK_SECONDS = 2.0

_SAID = frozenset({"q", "u", "multi", "upsert", "limit"})


@dataclass(frozen=True, slots=True)
class Difference:
    """What there is at one path, and what there would be; with ``rest``, in all that was not read there."""

    path: Path
    before: Node
    after: Node
    rest: bool = False

    @property
    def where(self) -> str:
        """The path for people."""
        name = name_of(self.path)
        if self.rest:
            return f"every field{' of ' if name else ''}{name} that was not read"
        return name or "the document"


def statement_of(write: Write, target: Collection[Any]) -> Statement:
    """Return a write as it would be sent; to ``target``, where it names no collection itself.

    Raises what `writes.encode` does of a write that cannot be sent.
    """
    kind, encoded = encode(write, target.codec_options)
    return Statement(write._namespace or target.full_name, kind, encoded)  # noqa: SLF001 - as in writes


def reading_of(scan: Scan) -> Reading:
    """Return how the documents of ``scan`` are read; asks the server for two seconds at most.

    Where it does not say whether the collection has a collation, it may have one.
    """
    try:
        with pymongo.timeout(ASK_SECONDS):
            collated = "collation" in scan.collection.options()
    except PyMongoError:
        collated = True
    return Reading(scan.namespace, scan.fields, collated)


def differences(seen: Foresight) -> Iterator[Difference]:
    """Yield what would be another, as far as it is known, in the order of the fields."""
    yield from _between((), seen.before, seen.after)


def lines(seen: Foresight, *, show_values: bool = False) -> list[str]:
    """Return what a document's writes would do, in `MOST_LINES` and one that says how many more there are.

    No lines where that is nothing. Unless ``show_values``, nothing of what a document holds is in them but
    the names of its fields.
    """
    found = _lines(seen, show_values=show_values)
    shown = [*islice(found, MOST_LINES)]
    more = sum(1 for _ in found)
    return [*shown, f"  and {more:,} more"] if more else shown


def _lines(seen: Foresight, *, show_values: bool) -> Iterator[str]:
    outline = spelled if show_values else outlined
    if seen.refused:
        yield f"! {_write(seen.refused, outline)}"
        return
    for difference in differences(seen):
        yield from _spelled(difference) if show_values else _described(difference)
    for unclear in seen.unclear:
        yield f"? {_change(unclear.change, outline)}: {unclear.reason}"
    for apart in seen.apart:
        yield f"> {_write(apart, outline)}"


def _between(path: Path, before: Node, after: Node) -> Iterator[Difference]:
    if after is Mark.UNKNOWN or before == after:
        return
    one, other = expanded(before), expanded(after)
    if isinstance(one, Fields) and isinstance(other, Fields):
        for name in {**one.named, **other.named}:
            yield from _between((*path, name), one[name], other[name])
        if one.rest is Mark.UNKNOWN and other.rest is Mark.MISSING:
            yield Difference(path, Mark.UNKNOWN, Mark.MISSING, rest=True)
    elif isinstance(one, Items) and isinstance(other, Items) and _is_in_place(one, other):
        for index, (was, becomes) in enumerate(zip_longest(one.nodes, other.nodes, fillvalue=Mark.MISSING)):
            yield from _between((*path, str(index)), was, becomes)
    else:
        yield Difference(path, before, after)


def _is_in_place(one: Items, other: Items) -> bool:
    """Whether items of two arrays can be compared one by one: none were taken or put in between."""
    shared = min(len(one.nodes), len(other.nodes))
    mine, theirs = ([*map(collapsed, array.nodes[:shared])] for array in (one, other))
    return len(one.nodes) == len(other.nodes) or (mine == theirs and Mark.UNKNOWN not in mine)


def _described(difference: Difference) -> Iterator[str]:
    what = difference.where
    if difference.before is Mark.MISSING:
        yield f"+ {what}: {described(difference.after)}"
    elif difference.after is Mark.MISSING:
        yield f"- {what}: {described(difference.before)}"
    else:
        yield f"~ {what}: {described(difference.before)} -> {described(difference.after)}"


def _spelled(difference: Difference) -> Iterator[str]:
    for sign, node in (("-", difference.before), ("+", difference.after)):
        if node is not Mark.MISSING:
            yield f"{sign} {difference.where}: {spelled(node)}"


def _change(change: Change, outline: Callable[[Node], str]) -> str:
    if change.operator == "$rename":
        return f"{name_of(change.path)}: $rename of {name_of(change.paths[1])}"
    return f"{name_of(change.path)}: {harmless(change.operator)} {outline(change.operand)}"


def _write(apart: Apart, outline: Callable[[Node], str]) -> str:
    statement = apart.statement
    where, whole = harmless(statement.namespace), Value(DOCUMENT, statement.encoded)
    parts = expanded(whole)
    if statement.kind == "insert" or not isinstance(parts, Fields):
        return f"{statement.kind} into {where} {outline(whole)} ({apart.reason})"
    # Whether all are meant, and what is not found inserted, is the author's word and no document's.
    kind = "upsert" if "upsert" in parts.named else statement.kind
    every = " all" if "multi" in parts.named or parts["limit"] == value_of(0) else ""
    others = {name: node for name, node in parts.named.items() if name not in _SAID}
    options = f" with {outline(Fields(others))}" if others else ""
    change = f": {outline(parts['u'])}" if "u" in parts.named else ""
    return f"{kind}{every} in {where} {outline(parts['q'])}{change}{options} ({apart.reason})"
