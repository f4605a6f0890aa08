"""Scratch: copies of a few documents, made by the server, that writes may go to instead of the real ones.

So a chunk can be committed for real and nothing anybody needs is changed. What is written, and how long that
takes, is for others to see to.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pymongo.errors import PyMongoError

from chunkmigrate.raw import one_of
from chunkmigrate.settings import MAX_WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

PREFIX = "chunkmigrate_scratch_"

# What an index says of itself and a copy has not: where it is, and when its documents expire.
_NOT_COPIED = ("ns", "expireAfterSeconds")


@dataclass(slots=True)
class Scratch:
    """Stands for the client of a backfill: each collection that is written to has one of its own here."""

    scan: Scan
    name: str
    _places: dict[str, str] = field(default_factory=dict)

    def fill(self, keys: Sequence[Key]) -> None:
        """Copy documents, whole, with the indexes of their collection; what was here before is gone."""
        self.clear()
        source, target = self.scan.collection, self._place(self.scan.namespace)
        source.aggregate([{"$match": one_of(keys)}, {"$out": target}])
        if indexes := [*map(_index, filter(_is_secondary, source.list_indexes()))]:
            source.database.command("createIndexes", target, indexes=indexes)
        # Made before, for a collection that two transactions make at once lets only one of them pass.
        self._collection(self.name).insert_many({"_id": slot} for slot in range(MAX_WRITERS))
        # What the server has still to do for the copies is none of what their migration takes.
        with suppress(PyMongoError):
            source.database.client.admin.command("fsync")

    def clear(self) -> None:
        """Drop everything."""
        for place in [*self._places.values(), self.name]:
            self._collection(place).drop()
        self._places.clear()

    def __getitem__(self, database: str) -> _Redirected:
        """Return what stands for a database."""
        return _Redirected(self, database)

    def commit(self, slot: int, chunk: Chunk, session: ClientSession | None) -> None:
        """Store what a checkpoint would, in the transaction of a chunk."""
        state = {"through": chunk.through.document() if chunk.through else None, "number": chunk.number}
        self._collection(self.name).update_one({"_id": slot}, {"$set": state}, session=session)

    def send(self, database: str, command: dict[str, Any], **how: Any) -> Any:
        """Send a command, to the collection that stands for the one it names; ``how`` is the driver's."""
        kind = next(iter(command))
        place = self._place(f"{database}.{command[kind]}")
        return self.scan.collection.database.command({**command, kind: place}, **how)

    @property
    def copies(self) -> Collection[Any]:
        """Where the copies of the scanned documents are."""
        return self._collection(self._place(self.scan.namespace))

    def _place(self, namespace: str) -> str:
        collection = namespace.partition(".")[2]
        if collection in self._places.values():
            return collection
        return self._places.setdefault(namespace, f"{self.name}_{len(self._places)}")

    def _collection(self, name: str) -> Collection[Any]:
        return self.scan.collection.database[name]


@dataclass(frozen=True, slots=True)
class _Redirected:
    scratch: Scratch
    database: str

    def command(self, command: dict[str, Any], **how: Any) -> Any:
        return self.scratch.send(self.database, command, **how)


@contextmanager
def scratch(scan: Scan, name: str) -> Iterator[Scratch]:
    """Yield a place for copies called ``name``, in the database of ``scan``; at the end nothing is left."""
    made = Scratch(scan, name)
    try:
        yield made
    finally:
        with suppress(PyMongoError):
            made.clear()


def new_name() -> str:
    """Return a name that no other place has."""
    return f"{PREFIX}{uuid4().hex[:12]}"


def drop(database: Database[Any], name: str) -> None:
    """Drop what is left of a place whose process was killed."""
    for left in database.list_collection_names(filter={"name": {"$regex": f"^{name}"}}):
        database.drop_collection(left)


def _is_secondary(index: Mapping[str, Any]) -> bool:
    return index["name"] != "_id_" and not index.get("clustered")


def _index(index: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in index.items() if option not in _NOT_COPIED}
