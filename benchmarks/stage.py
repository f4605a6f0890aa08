"""The stage: a collection is filled once, and put back before each run.

Whatever the server still has to write is written before a run is timed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bson.raw_bson import RawBSONDocument
    from pymongo.database import Database

    from benchmarks.shapes import Shape

INSERT_BYTES, INSERT_DOCUMENTS = 16_000_000, 10_000
STATE = "chunkmigrate_"


def fill(database: Database[Any], shape: Shape, count: int) -> int:
    """Store the documents of a shape and return their bytes; ``put_back`` makes them ready."""
    total = 0
    for documents, size in _lists(shape.encoded(count)):
        database[shape.name].insert_many(documents, ordered=False)
        total += size
    # A document's first update takes longer than the next; no way is to pay for being the first.
    database[shape.name].update_many({}, {"$set": {shape.field: None}})
    return total


def put_back(database: Database[Any], shape: Shape) -> None:
    """Undo the change and forget the run, and let the server finish its writing."""
    database[shape.name].update_many({}, {"$unset": {shape.field: ""}})
    for name in database.list_collection_names():
        if name.startswith(STATE):
            database.drop_collection(name)
    # Not everybody may: a server that refuses writes when it likes.
    with suppress(OperationFailure):
        database.client.admin.command("fsync")


def changed(database: Database[Any], shape: Shape) -> int:
    """Return how many documents have what the change adds."""
    return database[shape.name].count_documents({shape.field: {"$exists": True}})


def _lists(documents: Iterator[RawBSONDocument]) -> Iterator[tuple[list[RawBSONDocument], int]]:
    some: list[RawBSONDocument] = []
    size = 0
    for document in documents:
        some.append(document)
        size += len(document.raw)
        if size >= INSERT_BYTES or len(some) == INSERT_DOCUMENTS:
            yield some, size
            some, size = [], 0
    if some:
        yield some, size
