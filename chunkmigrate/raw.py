"""Raw BSON: where things lie in it, found without decoding.

Knows the sizes of BSON's types and nothing of servers, collections or writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INT32 = struct.Struct("<i").unpack_from
_PACKED = struct.Struct("<i").pack
_DOCUMENT_OVERHEAD = 5  # a length of four bytes in front, a zero byte at the end

# https://bsonspec.org/spec.html
_FIXED = {
    0x01: 8,  # double
    0x06: 0,  # undefined
    0x07: 12,  # ObjectId
    0x08: 1,  # boolean
    0x09: 8,  # date
    0x0A: 0,  # null
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # decimal128
    0x7F: 0,  # MaxKey
    0xFF: 0,  # MinKey
}
# What the length in front of a value does not count, itself included.
_AFTER_LENGTH = {
    0x02: 4,  # string
    0x03: 0,  # document
    0x04: 0,  # array
    0x05: 5,  # binary: its length and its subtype
    0x0C: 16,  # DBPointer: a string and an ObjectId
    0x0D: 4,  # code
    0x0E: 4,  # symbol
    0x0F: 0,  # code with scope
}
_REGEX = 0x0B
# String, binary, ObjectId, date, int32, int64. Not double: it has NaN.
_PLAINLY_ORDERED = frozenset((0x02, 0x05, 0x07, 0x09, 0x10, 0x12))


class MalformedError(ValueError):
    """The bytes are not BSON."""


@dataclass(frozen=True, slots=True)
class Key:
    """The value of an ``_id``, exactly as stored: its BSON type and its bytes.

    Decoding and encoding again would lose some types (a symbol, a date beyond the year 9999), and a
    position that is not exactly the stored value skips or repeats documents.
    """

    type: int
    value: bytes

    def in_order_with(self, other: Key) -> bool:
        """Whether a query's ``$gt`` and ``$lt`` between the two find what an index has between them.

        They compare within one BSON type only, and know nothing of NaN; for these types that is enough.
        """
        return self.type == other.type and self.type in _PLAINLY_ORDERED

    def element(self, name: str) -> bytes:
        """Return the value as an element called ``name``."""
        return b"".join((bytes((self.type,)), name.encode(), b"\0", self.value))

    def document(self, name: str = "_id") -> RawBSONDocument:
        """Return the document ``{name: value}``."""
        return RawBSONDocument(enclosed(self.element(name)))

    def shown(self) -> str:
        """Return the value as Python writes it, or its bytes where Python has no value for it."""
        try:
            return repr(bson.decode(self.document().raw)["_id"])
        except BSONError:
            return f"BSON type 0x{self.type:02x}, bytes {self.value.hex()}"


def key_of(document: bytes | memoryview) -> Key:
    """Return the ``_id`` of a raw document; `MalformedError` where there is none."""
    start, kind, end = element(document, b"_id")
    return Key(kind, bytes(document[start:end]))


def element(document: bytes | memoryview, name: bytes) -> tuple[int, int, int]:
    """Return start, BSON type and end of the first value called ``name``."""
    for found, start, kind, end in elements(document):
        if found == name:
            return start, kind, end
    message = f"no field {name.decode()!r} in a document of {len(document)} bytes"
    raise MalformedError(message)


def elements(document: bytes | memoryview) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield name, start, BSON type and end of each top-level value."""
    offset, last = 4, _last(document)
    while offset < last:
        kind = document[offset]
        name_end = _zero(document, offset + 1)
        start = name_end + 1
        end = _end(document, kind, start, last)
        yield bytes(document[offset + 1 : name_end]), start, kind, end
        offset = end


def ends(array: bytes | memoryview) -> list[int]:
    """Return where the documents of a raw array end, behind where the first one's element begins."""
    found, offset, last = [4], 4, _last(array)
    before, wider = 3, 10  # bytes in front of a document, and how many have so few
    while offset + before + _DOCUMENT_OVERHEAD <= last:
        size = _INT32(array, offset + before)[0]
        if size < _DOCUMENT_OVERHEAD:
            break
        offset += before + size
        found.append(offset)
        if len(found) > wider:
            before, wider = before + 1, wider * 10
    if offset != last:
        message = f"a document does not end within its array of {len(array)} bytes"
        raise MalformedError(message)
    return found


def head(index: int) -> int:
    """Return how many bytes lie in front of an array's value: its type, its index as text, a zero byte."""
    return len(str(index)) + 2


def enclosed(elements_: bytes | memoryview) -> bytes:
    """Return the document that has these elements."""
    return b"".join((_PACKED(len(elements_) + _DOCUMENT_OVERHEAD), elements_, b"\0"))


def one_of(keys: Iterable[Key]) -> RawBSONDocument:
    """Return the condition that an ``_id`` is one of ``keys``."""
    # An array is a document whose elements have numbers for names.
    names = enclosed(b"".join(key.element(str(number)) for number, key in enumerate(keys)))
    return RawBSONDocument(enclosed(b"\x03_id\0" + enclosed(b"\x04$in\0" + names)))


def _last(document: bytes | memoryview) -> int:
    """Return where the closing zero byte is; `MalformedError` where the length in front says otherwise."""
    if len(document) < _DOCUMENT_OVERHEAD or _INT32(document)[0] != len(document) or document[-1]:
        message = f"{len(document)} bytes that are no whole BSON document"
        raise MalformedError(message)
    return len(document) - 1


def _end(document: bytes | memoryview, kind: int, start: int, last: int) -> int:
    """Return where a value ends: never in front of its start, nor beyond its document."""
    try:
        end = start + _size(document, kind, start)
    except (IndexError, struct.error):
        end = -1
    if not start <= end <= last:
        message = f"a value at byte {start} does not end within its document of {len(document)} bytes"
        raise MalformedError(message)
    return end


def _size(document: Any, kind: int, start: int) -> int:
    if (fixed := _FIXED.get(kind)) is not None:
        return fixed
    if (extra := _AFTER_LENGTH.get(kind)) is not None:
        return int(_INT32(document, start)[0]) + extra
    if kind == _REGEX:
        return _zero(document, _zero(document, start) + 1) + 1 - start
    message = f"unknown BSON type 0x{kind:02x}"
    raise MalformedError(message)


def _zero(document: bytes | memoryview, start: int) -> int:
    offset = start
    while document[offset]:
        offset += 1
    return offset
