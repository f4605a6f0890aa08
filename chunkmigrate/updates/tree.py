"""Tree: a document as it is, or would be, where some of it may not be known.

A value is kept as the bytes it is stored as, and expanded by one level where something inside it is asked
for. Nothing here changes in place: what a write would do is another tree. Which writes there are is
``operators``' business, how a value is shown ``display``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from chunkmigrate import raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOUBLE, STRING, DOCUMENT, ARRAY, INT, LONG, DECIMAL = 0x01, 0x02, 0x03, 0x04, 0x10, 0x12, 0x13

# Each takes 200 bytes once it is expanded: a document of more fields, an array of more items, is not looked
# into.
MOST_INSIDE = 20_000

# The names a reference to another document has.
REFERENCE = frozenset(("$ref", "$id", "$db"))

# Dates as milliseconds: every stored one has them, whatever its year.
_EXACT = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)


class Mark(Enum):
    """What stands where there is no stored value."""

    MISSING = "missing"
    UNKNOWN = "not known"
    DATE = "date (the time of writing)"
    TIMESTAMP = "timestamp (the time of writing)"


@dataclass(frozen=True, slots=True)
class Value:
    """A value exactly as stored: its BSON type and its bytes."""

    type: int
    stored: bytes

    def element(self, name: str) -> bytes:
        """Return the value as an element called ``name``."""
        return b"".join((bytes((self.type,)), name.encode("utf-8", "surrogateescape"), b"\0", self.stored))

    def decoded(self) -> Any:
        """Return the value as the driver decodes it; the driver's error where it cannot."""
        return bson.decode(raw.enclosed(self.element("")), _EXACT)[""]


NULL = Value(0x0A, b"")


@dataclass(frozen=True, slots=True)
class Fields:
    """A document, expanded. ``rest`` is what every field holds that is not among ``named``.

    Once a field was not known, neither is its place among the others: then they are not ``in_order``.
    """

    named: Mapping[str, Node]
    rest: Mark = Mark.MISSING
    in_order: bool = True

    def __getitem__(self, name: str) -> Node:
        """Return what a field holds, or the mark of what it does not."""
        return self.named.get(name, self.rest)

    def with_field(self, name: str, node: Node) -> Fields:
        """Return the document with another value in one field; a new one comes last."""
        named = {**self.named, name: node}
        if node is self.rest:
            del named[name]
        return Fields(named, self.rest, self.in_order and node is not Mark.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Items:
    """An array, expanded."""

    nodes: tuple[Node, ...]


Node: TypeAlias = Value | Fields | Items | Mark


def value_of(thing: Any) -> Value:
    """Return the value the driver would store for ``thing``."""
    [(_, value)] = inside(Value(DOCUMENT, bson.encode({"": thing}, codec_options=_EXACT)))
    return value


def expanded(node: Node) -> Node:
    """Return a document as `Fields` and an array as `Items`, by one level; anything else as it is.

    `Mark.UNKNOWN` where there are more than `MOST_INSIDE`, or two fields of one name: what the server does to
    those depends on where it looks first.
    """
    if not isinstance(node, Value) or node.type not in (DOCUMENT, ARRAY):
        return node
    found = [*islice(inside(node), MOST_INSIDE + 1)]
    named = dict(found)
    if len(named) < len(found) or len(found) > MOST_INSIDE:
        return Mark.UNKNOWN
    return Items(tuple(named.values())) if node.type == ARRAY else Fields(named)


def inside(value: Value) -> Iterator[tuple[str, Value]]:
    """Yield what a document or an array holds, by name, one at a time."""
    for name, start, kind, end in raw.elements(value.stored):
        yield name.decode("utf-8", "surrogateescape"), Value(kind, value.stored[start:end])


def count(value: Value) -> int:
    """Return how many fields or items a document or an array has."""
    return sum(1 for _ in raw.elements(value.stored))


def collapsed(node: Node) -> Value | Mark:
    """Return the one value that a tree is; `Mark.UNKNOWN` where something in it is not known."""
    if isinstance(node, Fields):
        is_whole = node.rest is Mark.MISSING and node.in_order
        return _joined(DOCUMENT, node.named.items()) if is_whole else Mark.UNKNOWN
    if isinstance(node, Items):
        return _joined(ARRAY, ((str(index), item) for index, item in enumerate(node.nodes)))
    return node


def _joined(kind: int, nodes: Iterable[tuple[str, Node]]) -> Value | Mark:
    elements = []
    for name, node in nodes:
        value = collapsed(node)
        if not isinstance(value, Value):
            return Mark.UNKNOWN
        elements.append(value.element(name))
    return Value(kind, raw.enclosed(b"".join(elements)))


def read(document: bytes | memoryview, fields: Iterable[str] | None = None) -> Node:
    """Return a document as it was read. Of one read by its ``fields``, everything else is not known."""
    whole = expanded(Value(DOCUMENT, bytes(document)))
    return whole if fields is None else _projected(whole, _outline(["_id", *fields]))


_Outline: TypeAlias = "dict[str, _Outline]"


def _outline(paths: Iterable[str]) -> _Outline:
    """Return which fields are read, and inside which others; nothing inside means the whole of it."""
    outline: _Outline = {}
    for path in paths:
        part = outline
        for name in path.split("."):
            part = part.setdefault(name, {})
    return outline


def _projected(node: Node, outline: _Outline) -> Node:
    """Return what is known of a value of which only part was read.

    Of an array the server leaves out what holds no document, and a missing field may as well be a number of
    which no part can be read.
    """
    if not outline:
        return node
    document = expanded(node)
    if not isinstance(document, Fields):
        return Mark.UNKNOWN
    return Fields({name: _projected(document[name], part) for name, part in outline.items()}, Mark.UNKNOWN)
