"""Images: documents read inside the transaction that writes them, a bounded number of bytes at a time.

How large they are is asked before they are read, so that no more is held than was meant. Which documents to
read, and what for, is their readers' business: ``keeping``'s and ``restoring``'s.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bson.raw_bson import RawBSONDocument

from chunkmigrate import raw, sizing
from chunkmigrate.errors import DoesNotFitError
from chunkmigrate.memory import trim
from chunkmigrate.scan import RAW
from chunkmigrate.touched import identity
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.memory import Reading
    from chunkmigrate.raw import Key

T = TypeVar("T")

# What a document costs while its undo is kept or used, in times its size: itself before and after, what is
# kept of it, and the message that takes it there, which is built in a buffer that doubles.
COPIES = 6

# A third of a chunk's bytes, of which a chunk holds four copies: as much again as the chunk.
SHARE = 3

# What each document costs besides, however small: what names it, and what is kept of it, as objects.
OBJECTS = 512


@dataclass(frozen=True, slots=True)
class Room:
    """How many ``bytes`` of documents one writer may look at together, and memory as ``read`` finds it.

    A document that is larger is looked at alone, by one writer at a time.
    """

    bytes: int
    read: Callable[[], Reading]
    alone: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, room: int, writers: int, read: Callable[[], Reading]) -> Room:
        """Return what ``room`` bytes of memory allow each of ``writers`` beside its chunk."""
        chunk = sizing.ceiling(room, writers).chunk_bytes
        return cls(max(sizing.MIN_CHUNK_BYTES, chunk // SHARE), read)

    def for_one(self, size: int, document_id: Any) -> AbstractContextManager[object]:
        """Wait for the turn of a document of ``size`` bytes; `DoesNotFitError` where there is no room."""
        reading = self.read()
        if not sizing.fits(reading.used + COPIES * size, reading.budget):
            trim()
            reading = self.read()
        if sizing.fits(reading.used + COPIES * size, reading.budget):
            return self.alone
        needs = int((reading.used + COPIES * size) / sizing.STOP) + 1
        message = (
            f"The document with _id {document_id!r} has {format_bytes(size)}; to keep what is needed to undo "
            f"its change takes a budget of {quantity(needs)}, and this one is "
            f"{format_bytes(reading.budget)}. Nothing of its chunk was written."
        )
        raise DoesNotFitError(document_id, message, needs)


@dataclass(frozen=True, slots=True)
class Images:
    """Reads in the transaction of ``session``."""

    client: MongoClient[Any]
    session: ClientSession

    def sizes(
        self, namespace: str, condition: Mapping[str, Any], fields: Collection[bytes] | None, **options: Any
    ) -> Iterator[tuple[Key, int]]:
        """Yield the ``_id`` of each document that matches, and its bytes, or those of some of its fields."""
        measured = "$$ROOT" if fields is None else {name.decode(): f"${name.decode()}" for name in fields}
        projection = {"_id": 1, "size": {"$bsonSize": measured}}
        for document in self.found(namespace, condition, projection, **options):
            yield raw.key_of(document), RawBSONDocument(document)["size"]

    def read(
        self, namespace: str, keys: Collection[Key], fields: Collection[bytes] | None
    ) -> dict[object, bytes]:
        """Return the documents called ``keys``, whole or some of their fields, by their identity."""
        if not keys:
            return {}
        projection = None if fields is None else raw_projection(fields)
        found = self.found(namespace, raw.one_of(keys), projection)
        return {identity(raw.key_of(document)): document for document in found}

    def found(
        self, namespace: str, condition: Mapping[str, Any], projection: Any, **options: Any
    ) -> Iterator[bytes]:
        """Yield raw documents that match."""
        database, _, collection = namespace.partition(".")
        source = self.client[database].get_collection(collection, codec_options=RAW)
        for document in source.find(condition, projection, session=self.session, **options):
            yield bytes(document.raw)


def raw_projection(fields: Iterable[bytes]) -> RawBSONDocument:
    """Return the projection of top-level fields, and of the ``_id``."""
    ones = (b"\x10" + name + b"\0\x01\0\0\0" for name in sorted({b"_id", *fields}))
    return RawBSONDocument(raw.enclosed(b"".join(ones)))


def slices(items: Iterable[T], weight: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``most`` together, or one that weighs more."""
    taken, weighs = list[T](), 0
    for item in items:
        its = weight(item) + OBJECTS
        if taken and weighs + its > most:
            yield taken
            taken, weighs = [], 0
        taken.append(item)
        weighs += its
    if taken:
        yield taken
