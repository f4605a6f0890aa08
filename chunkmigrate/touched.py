"""Touched: which documents an encoded statement can change, and which of their fields.

Told from the statement alone: by ``_id`` where its filter names one, else only the server knows, which is
then asked for a filter. Pure: nobody is asked here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from bson import Decimal128, ObjectId

from chunkmigrate import raw
from chunkmigrate.raw import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DOCUMENT, _ARRAY, _UNDEFINED, _REGEX = 0x03, 0x04, 0x06, 0x0B
_DOUBLE = struct.Struct("<d").unpack

# As a filter these ask for something else than an _id equal to them.
_NO_EQUALITY = (_ARRAY, _UNDEFINED, _REGEX)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One statement of a command of ``kind``, and what it says of itself.

    ``key`` is the ``_id`` its filter names, or that of what is inserted, and ``id`` its `identity`;
    ``fields`` the top-level fields it can change while all others keep their place, or None where that is not
    known: then the whole document is looked at. ``many``: it may change more than one document. ``collated``:
    it has a collation of its own.
    """

    kind: str
    encoded: bytes
    owner: int
    key: Key | None
    id: object
    fields: frozenset[bytes] | None
    many: bool = False
    upsert: bool = False
    collated: bool = False

    @property
    def filter(self) -> bytes:
        """The raw filter of an update or a delete."""
        return _part(self.encoded, b"q")

    def part(self, name: str) -> bytes | None:
        """Return an option as the raw document ``{name: value}``; None where it has none."""
        for found, start, kind, end in raw.elements(self.encoded):
            if found == name.encode():
                return raw.enclosed(Key(kind, self.encoded[start:end]).element(name))
        return None

    def narrowed(self, keys: Iterable[Key]) -> bytes:
        """Return the statement for those of the documents it matches that are called ``keys``."""
        both = (self.filter, bytes(raw.one_of(keys).raw))
        conditions = raw.enclosed(b"".join(b"\x03%d\0%b" % pair for pair in enumerate(both)))
        narrow = b"\x03q\0" + raw.enclosed(b"\x04$and\0" + conditions)
        rest = (element for name, element in _elements(self.encoded) if name != b"q")
        return raw.enclosed(narrow + b"".join(rest))


def statement_of(kind: str, encoded: bytes, owner: int) -> Statement:
    """Read an encoded statement. What is inserted without an ``_id`` gets one, or nobody would know it."""
    if kind == "insert":
        encoded = encoded if any(name == b"_id" for name, *_ in raw.elements(encoded)) else _with_id(encoded)
        key = raw.key_of(encoded)
        return Statement(kind=kind, encoded=encoded, owner=owner, key=key, id=identity(key), fields=None)
    options = {name: encoded[start:end] for name, start, _, end in raw.elements(encoded)}
    upsert = options.get(b"upsert") == b"\1"
    collated = b"collation" in options
    named = None if collated else _key(options[b"q"])
    return Statement(
        kind=kind,
        encoded=encoded,
        owner=owner,
        key=named,
        id=identity(named) if named else None,
        fields=None if kind == "delete" or upsert else _fields(encoded),
        many=options.get(b"multi") == b"\1" or options.get(b"limit") == bytes(4),
        upsert=upsert,
        collated=collated,
    )


def identity(key: Key) -> object:
    """Return what is equal for two ``_id``s that are one to the server: 1 is 1.0, in documents too."""
    return _identity(key.type, key.value)


def _identity(kind: int, value: bytes) -> object:
    match kind:
        case 0x10 | 0x12:
            return "number", int.from_bytes(value, "little", signed=True)
        case 0x01:
            return "number", "nan" if isnan(number := _DOUBLE(value)[0]) else number
        case 0x13:
            decimal = Decimal128.from_bid(value).to_decimal()
            return "number", "nan" if decimal.is_nan() else decimal
        case 0x02 | 0x0E:
            return "text", value
        case 0x03 | 0x04:
            inside = raw.elements(value)
            return kind, tuple(
                (name, _identity(type_, value[start:end])) for name, start, type_, end in inside
            )
        case _:
            return kind, value


def _key(filter_: bytes) -> Key | None:
    """Return the ``_id`` that a filter asks for; None where it asks for none, or for several."""
    for name, start, kind, end in raw.elements(filter_):
        if name != b"_id" or kind in _NO_EQUALITY:
            continue
        value = filter_[start:end]
        first = next(raw.elements(value), None) if kind == _DOCUMENT else None
        return None if first and first[0].startswith(b"$") else Key(kind, value)
    return None


def _fields(encoded: bytes) -> frozenset[bytes] | None:
    """Return the top-level fields an update changes in their place, or adds at the end."""
    start, kind, end = raw.element(encoded, b"u")
    change, found = encoded[start:end], set[bytes]()
    if kind != _DOCUMENT:
        return None
    for operator, from_, type_, to in raw.elements(change):
        if type_ != _DOCUMENT or not operator.startswith(b"$") or operator == b"$rename":
            return None
        paths = [name for name, *_ in raw.elements(change[from_:to])]
        if operator == b"$unset" and any(b"." not in path for path in paths):
            return None
        found.update(path.partition(b".")[0] for path in paths)
    named = all(name and not name.startswith(b"$") and name != b"_id" for name in found)
    return frozenset(found) if found and named else None


def _with_id(document: bytes) -> bytes:
    return raw.enclosed(b"\x07_id\0" + ObjectId().binary + document[4:-1])


def _part(document: bytes, name: bytes) -> bytes:
    start, _, end = raw.element(document, name)
    return document[start:end]


def _elements(document: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name, start, kind, end in raw.elements(document):
        yield name, bytes((kind,)) + name + b"\0" + document[start:end]
