"""Display: what stands in a document, in one line that a terminal can be given.

By its type and size, or as the value itself, cut where it is long. What a name or a text may hold to move the
cursor, change colours or reverse the reading order is spelled out instead.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.datetime_ms import DatetimeMS

from chunkmigrate.updates.tree import (
    ARRAY,
    DOCUMENT,
    LONG,
    STRING,
    Fields,
    Items,
    Mark,
    Node,
    Value,
    count,
    inside,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# So much of one text or of one name, and of a document, an array or a whole write.
MOST_TEXT = 60
MOST_LINE = 160

_TYPES = {
    0x01: "double",
    0x02: "string",
    0x03: "object",
    0x04: "array",
    0x05: "binData",
    0x06: "undefined",
    0x07: "objectId",
    0x08: "bool",
    0x09: "date",
    0x0A: "null",
    0x0B: "regex",
    0x0C: "dbPointer",
    0x0D: "javascript",
    0x0E: "symbol",
    0x0F: "javascriptWithScope",
    0x10: "int",
    0x11: "timestamp",
    0x12: "long",
    0x13: "decimal",
    0x7F: "maxKey",
    0xFF: "minKey",
}
_TEXTS = frozenset((STRING, 0x0D, 0x0E))
_BINARY = 0x05
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Spelling: TypeAlias = "Callable[[Value], str]"


def described(node: Node) -> str:
    """Return the type and the size of a value, under MongoDB's names.

    >>> from chunkmigrate.updates.tree import value_of
    >>> described(value_of(1)), described(value_of("two")), described(value_of([1, 2]))
    ('int', 'string (3 characters)', 'array (2 items)')
    """
    if isinstance(node, Mark):
        return node.value
    if isinstance(node, Fields):
        count = _counted(sum(held is not Mark.MISSING for held in node.named.values()), "field")
        return f"object ({count}{'' if node.rest is Mark.MISSING else ' read'})"
    if isinstance(node, Items):
        return f"array ({_counted(len(node.nodes), 'item')})"
    size = _size(node)
    return f"{_TYPES[node.type]} ({size})" if size else _TYPES[node.type]


def spelled(node: Node) -> str:
    """Return a value as Python spells it, cut where it is long, with how much was cut.

    >>> from chunkmigrate.updates.tree import value_of
    >>> print(spelled(value_of({"a": [1, 2.5], "b": "x" * 100})))
    {a: [1, 2.5], b: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' and 40 more characters}
    """
    return outlined(node, _spelled)


def outlined(node: Node, spelling: Spelling = described) -> str:
    """Return a document with the names of its fields, and ``spelling`` for the values in them."""
    return _outlined(node, spelling, MOST_LINE)


def name_of(path: Sequence[str]) -> str:
    r"""Return a path with what is odd in its names spelled out.

    >>> name_of(["a", "b c", "x" + chr(27) + "[2J"])
    "a.'b c'.'x\\x1b[2J'"
    """
    return ".".join(map(_name, path))


def harmless(text: str) -> str:
    r"""Return a text with whatever is not plainly printed spelled out: control characters, for one.

    >>> harmless("a" + chr(27) + "[31mb" + chr(0x202e))
    'a\\x1b[31mb\\u202e'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _name(name: str) -> str:
    cut = name if len(name) <= MOST_TEXT else name[:MOST_TEXT]
    is_plain = bool(cut) and cut.isprintable() and not set(cut) & set(" .:,{}'\"\\")
    more = "" if cut == name else f" and {len(name) - len(cut):,} more"
    return (cut if is_plain else repr(cut)) + more


def _size(value: Value) -> str:
    if value.type in _TEXTS:
        return _counted(len(_text(value)), "character")
    if value.type == _BINARY:
        return _counted(len(value.stored) - 5, "byte")
    if value.type in (DOCUMENT, ARRAY):
        return _counted(count(value), "field" if value.type == DOCUMENT else "item")
    return ""


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _text(value: Value) -> str:
    return value.stored[4:-1].decode("utf-8", "surrogateescape")


def _spelled(value: Value) -> str:
    try:
        return harmless(_as_python(value))
    except Exception:
        # What the driver cannot decode is still a value of the document.
        return f"{_TYPES.get(value.type, 'value')} that cannot be decoded"


def _as_python(value: Value) -> str:
    if value.type in _TEXTS:
        return _cut(_text(value), repr, "characters")
    decoded = value.decoded()
    if value.type == _BINARY:
        return _cut(bytes(decoded), bytes.hex, "bytes") + f" (binData, subtype {value.stored[4]})"
    if isinstance(decoded, DatetimeMS):
        return _date(int(decoded))
    if value.type == LONG:
        return f"Int64({decoded})"
    return _cut(repr(decoded), str, "characters")


def _cut(thing: Any, spelling: Callable[[Any], str], unit: str) -> str:
    more = len(thing) - MOST_TEXT
    return f"{spelling(thing[:MOST_TEXT])} and {more:,} more {unit}" if more > 0 else spelling(thing)


def _date(milliseconds: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{milliseconds:,} ms after 1970"


def _outlined(node: Node, spelling: Spelling, room: int) -> str:
    if isinstance(node, Mark):
        return node.value
    if room <= 0 and (not isinstance(node, Value) or node.type in (DOCUMENT, ARRAY)):
        return described(node)
    if isinstance(node, Fields):
        return f"{{{_listed(node.named.items(), len(node.named), spelling, room)}}}"
    if isinstance(node, Items):
        return (
            f"[{_listed((('', item) for item in node.nodes), len(node.nodes), spelling, room, named=False)}]"
        )
    if node.type == DOCUMENT:
        return f"{{{_listed(inside(node), count(node), spelling, room)}}}"
    if node.type == ARRAY:
        return f"[{_listed(inside(node), count(node), spelling, room, named=False)}]"
    return spelling(node)


def _listed(
    held: Iterable[tuple[str, Node]], size: int, spelling: Spelling, room: int, *, named: bool = True
) -> str:
    parts: list[str] = []
    for name, node in held:
        label = f"{_name(name)}: " if named else ""
        parts.append(label + _outlined(node, spelling, room - len(label)))
        room -= len(parts[-1]) + 2
        if room <= 0:
            break
    more = size - len(parts)
    return ", ".join([*parts, *([f"and {more:,} more"] if more else [])])
