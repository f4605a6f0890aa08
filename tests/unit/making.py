"""What the engine's tests make their things of: a collection that is only a name, documents, pages, keys."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson
from bson.codec_options import CodecOptions
from pymongo import UpdateOne

from chunkmigrate.backfill import Backfill
from chunkmigrate.pages import NOTHING, Page
from chunkmigrate.quarantine import Quarantine
from chunkmigrate.raw import Key, enclosed, ends, key_of
from chunkmigrate.transforming import Transformer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkmigrate.chunks import Chunk

ASIDE = "shop.chunkmigrate_quarantine"


@dataclass
class Orders:
    """A collection that is only a name."""

    full_name: str = "shop.orders"
    codec_options: CodecOptions[Any] = field(default_factory=CodecOptions)


@dataclass
class OrdersScan:
    """A scan that reads nothing: the tests hand the documents over themselves."""

    collection: Orders = field(default_factory=Orders)
    namespace: str = "shop.orders"

    def upper_bound(self) -> None:
        """Say that there is no document."""


def backfill_of(transform: Any = None, *, scan: Any = None, **options: Any) -> Backfill:
    return Backfill(scan or OrdersScan(), transform, **options)


def quarantine_of(*, enabled: bool = True, limit: int = 1_000, **options: Any) -> Quarantine:
    identity: dict[str, Any] = {"database": "shop", "migration": "m", "step": 0, "namespace": "shop.orders"}
    return Quarantine(**identity, run="run 1", enabled=enabled, limit=limit, **options)


def transformer_of(
    transform: Any = None, *, quarantine: Quarantine | None = None, scan: Any = None, **options: Any
) -> Transformer:
    """A transformer that sets aside what fails, unless a quarantine is given."""
    return Transformer(backfill_of(transform, scan=scan, **options), quarantine or quarantine_of())


def set_a(order: Any) -> UpdateOne:
    return UpdateOne({"_id": order["_id"]}, {"$set": {"a": 1}})


def key(document_id: Any) -> Key:
    return key_of(bson.encode({"_id": document_id}))


def statements(chunk: Chunk) -> list[tuple[str, Any]]:
    """Namespace and statement of each write, in the order in which they are sent."""
    return [(group.namespace, one) for group in chunk.groups for one in bson.decode_all(group.statements)]


def written(chunk: Chunk) -> list[Any]:
    """The ``_id`` each statement is for, in the order in which they are sent."""
    return [one["q"]["_id"] for _, one in statements(chunk)]


def aside(chunk: Chunk) -> dict[Any, str]:
    """What a chunk puts into quarantine: the reason of each document."""
    found = bson.decode_all(chunk.aside.statements) if chunk.aside else []
    return {one["q"]["_id"]["document"]: one["u"]["$set"]["reason"] for one in found}


def page_of(documents: Sequence[bytes]) -> Page:
    """A page of these documents, written as the array of a reply is."""
    array = enclosed(b"".join(b"\3%d\0" % index + one for index, one in enumerate(documents)))
    return Page(memoryview(array), ends(array))


def undecodable(document: dict[str, Any]) -> bytes:
    """The document with a text behind it that is no UTF-8."""
    text = b"\x02text\0" + struct.pack("<i", 3) + b"\xff\xfe\0"
    return enclosed(bson.encode(document)[4:-1] + text)


@dataclass
class Stored:
    """A scan of these documents, whose _ids are numbers in order; it keeps what was read of them."""

    documents: Sequence[bytes]
    collection: Orders = field(default_factory=Orders)
    namespace: str = "shop.orders"
    read: list[list[int]] = field(default_factory=list)

    def upper_bound(self) -> Key:
        return key_of(self.documents[-1])

    def average_size(self) -> int:
        return 0

    def page(self, after: Key | None, upto: Key, limit: int, **_: Any) -> Page:
        return self._page(self._between(after, upto)[:limit])

    def last(self, upto: Key, **_: Any) -> Page:
        return self._page(self._at(upto))

    def among(self, keys: Sequence[Key], **_: Any) -> Page:
        return self._page([one for one in self.documents if key_of(one) in keys])

    def sizes(self, after: Key | None, upto: Key, limit: int) -> list[int]:
        return [*map(len, self._between(after, upto)[:limit])]

    def last_size(self, upto: Key) -> list[int]:
        return [*map(len, self._at(upto))]

    def keys(self, after: Key | None, upto: Key, limit: int) -> list[Key]:
        return [*map(key_of, self._between(after, upto)[:limit])]

    def _page(self, documents: Sequence[bytes]) -> Page:
        self.read.append([number_of(key_of(document)) for document in documents])
        return page_of(documents) if documents else NOTHING

    def _between(self, after: Key | None, upto: Key) -> Sequence[bytes]:
        first = 0 if after is None else bisect_right(self.documents, number_of(after), key=_number)
        return self.documents[first : bisect_left(self.documents, number_of(upto), key=_number)]

    def _at(self, upto: Key) -> list[bytes]:
        return [one for one in self.documents if key_of(one) == upto]


def _number(document: bytes) -> int:
    return number_of(key_of(document))


def number_of(of: Key) -> int:
    return int(bson.decode(of.document().raw)["_id"])
