"""Contents: what the collections of a database hold, taken, put back, and compared.

Meant for the databases of tests, which are small: everything is held at once, as the bytes that are stored.
What chunkmigrate keeps there for itself is left out. Why two contents are compared, and what it means that
they differ, is ``testing``'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument

from chunkmigrate.raw import key_of
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pymongo.database import Database

OURS = "chunkmigrate_"

INSERTED_AT_ONCE = 1_000

# A field that is missing is not one that is null.
_MISSING = object()

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionContents:
    """One collection: its documents in ``_id`` order, and what it was made with."""

    documents: Sequence[bytes]
    indexes: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contents:
    """What the collections of a database hold, by name."""

    collections: Mapping[str, CollectionContents]

    @classmethod
    def of(cls, database: Database[Any]) -> Contents:
        """Read everything there is, but for what chunkmigrate keeps for itself."""
        found = database.list_collections(filter={"type": "collection"})
        options = {one["name"]: one["options"] for one in found if _is_theirs(one["name"])}
        return cls({name: _held(database, name, options[name]) for name in sorted(options)})

    def documents(self, collection: str) -> list[dict[str, Any]]:
        """Return the documents of a collection in ``_id`` order: none where there is no such collection."""
        return [bson.decode(document) for document in self._stored(collection)]

    def put_back(self, database: Database[Any]) -> None:
        """Make the database hold this and nothing else."""
        for name in database.list_collection_names(filter={"type": "collection"}):
            if not name.startswith("system."):
                database.drop_collection(name)
        for name, held in self.collections.items():
            database.create_collection(name, **held.options)
            if held.indexes:
                database.command("createIndexes", name, indexes=[*held.indexes])
            insert(database, name, map(RawBSONDocument, held.documents))

    def differences(self, later: Contents, ignoring: Collection[str] = ()) -> Iterator[str]:
        """Yield a line for each document that is another one later, without the fields in ``ignoring``."""
        for name in sorted({*self.collections, *later.collections}):
            before = {key_of(document): document for document in self._stored(name)}
            after = {key_of(document): document for document in later._stored(name)}
            for key in before | after:
                if changes := [*_changes(before.get(key), after.get(key), ignoring)]:
                    yield f"{name}, _id {key.shown()}: {', '.join(changes)}"

    def _stored(self, name: str) -> Sequence[bytes]:
        return self.collections[name].documents if name in self.collections else ()


def insert(database: Database[Any], collection: str, documents: Iterable[Mapping[str, Any]]) -> None:
    """Insert documents, however many there are, as they are: a validator is for those who come later."""
    left = iter(documents)
    while some := list(islice(left, INSERTED_AT_ONCE)):
        database[collection].insert_many(some, bypass_document_validation=True)


def forget(database: Database[Any]) -> None:
    """Drop what chunkmigrate keeps for itself: no migration was ever run here."""
    for name in database.list_collection_names():
        if name.startswith(OURS):
            database.drop_collection(name)


def _is_theirs(name: str) -> bool:
    return not name.startswith((OURS, "system."))


def _held(database: Database[Any], name: str, options: Mapping[str, Any]) -> CollectionContents:
    collection = database[name].with_options(codec_options=RAW)
    return CollectionContents(
        documents=[bytes(document.raw) for document in collection.find(sort={"_id": 1})],
        indexes=[index for index in database[name].list_indexes() if index["name"] != "_id_"],
        options=options,
    )


def _changes(before: bytes | None, after: bytes | None, ignoring: Collection[str]) -> Iterator[str]:
    if before is None or after is None:
        yield "is new" if before is None else "is gone"
        return
    if before == after:
        return
    old, new = bson.decode(before), bson.decode(after)
    for field in old | new:
        was, is_ = old.get(field, _MISSING), new.get(field, _MISSING)
        if field not in ignoring and _encoded(was) != _encoded(is_):
            yield f"{field}: {_shown(was)} -> {_shown(is_)}"


def _encoded(value: Any) -> bytes | None:
    """Return what tells two values apart as the server does: 1 is not 1.0, and NaN is itself."""
    return None if value is _MISSING else bson.encode({"": value})


def _shown(value: Any) -> str:
    return "missing" if value is _MISSING else _SHORT.repr(value)
