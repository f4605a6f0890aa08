"""Undo: what is kept of documents so that a migration can be rolled back, and how it is stored.

One record per migration, collection and document, written in the transaction that changes the document, and a
mark for each step that kept all it changed. Records that a rollback could not use, because somebody had
edited the document, stay under another name. What a record says is ``earlier``'s business.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import bson
import pymongo
from bson import Binary, MaxKey
from bson.raw_bson import RawBSONDocument

from chunkmigrate import raw, server
from chunkmigrate.earlier import Earlier
from chunkmigrate.raw import Key
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

COLLECTION = "chunkmigrate_undo"

# How many of the _ids that could not be restored are named.
FEW = 5

_STORED = ("before", "after", "whole", "order", "edited")


def record_id(migration: str, namespace: str, document: Key) -> bytes:
    """Return the ``_id`` of a record, as raw BSON."""
    return raw.enclosed(
        bson.encode({"migration": migration, "namespace": namespace})[4:-1] + document.element("document")
    )


def target_of(record: bytes) -> tuple[str, Key]:
    """Return the collection and the ``_id`` of the document that a record's ``_id`` is about."""
    start, kind, end = raw.element(record, b"document")
    first, _, last = raw.element(record, b"namespace")
    return record[first + 4 : last - 1].decode(), Key(kind, record[start:end])


def stored(id_: bytes, earlier: Earlier, generation: int) -> bytes:
    """Return a record as it is stored: bytes as they are, which no server reads or changes."""
    return raw.enclosed(b"\x03_id\0" + id_ + _elements(earlier, generation))


def replaced(id_: bytes, earlier: Earlier, generation: int) -> bytes:
    """Return the statement of an ``update`` command that makes a record say something else."""
    change = raw.enclosed(_elements(earlier, generation))
    return raw.enclosed(b"\x03q\0" + raw.enclosed(b"\x03_id\0" + id_) + b"\x03u\0" + change)


def removed(id_: bytes) -> bytes:
    """Return the statement of a ``delete`` command that takes a record away."""
    return raw.enclosed(b"\x03q\0" + raw.enclosed(b"\x03_id\0" + id_) + b"\x10limit\0\x01\0\0\0")


def left(record: bytes, run: Any) -> bytes:
    """Return what a record becomes whose document could not be restored, or was edited in between."""
    id_ = id_of(record)
    namespace, key = target_of(id_)
    migration = RawBSONDocument(id_)["migration"]
    names = bson.encode({"left": migration, "run": run, "namespace": namespace})[4:-1]
    rest = b"".join(
        bytes((kind,)) + name + b"\0" + record[start:end]
        for name, start, kind, end in raw.elements(record)
        if name != b"_id"
    )
    return raw.enclosed(b"\x03_id\0" + raw.enclosed(names + key.element("document")) + rest)


def id_of(record: bytes) -> bytes:
    """Return the ``_id`` of a record, as raw BSON."""
    start, _, end = raw.element(record, b"_id")
    return record[start:end]


def earlier_of(record: bytes) -> Earlier:
    """Return what a record says."""
    document = RawBSONDocument(record)
    return Earlier(**{name: document[name] for name in _STORED})


def records_of(migration: str, until: int | None = None) -> dict[str, Any]:
    """Return the filter of a migration's records, which lie together in the order of their ``_id``.

    Those of later generations of its lease than ``until`` are left out.
    """
    first = {"migration": migration}
    return {"_id": {"$gt": first, "$lt": first | {"namespace": MaxKey()}}} | _until(until)


def left_of(migration: str) -> dict[str, Any]:
    """Return the filter of the records that rollbacks of a migration have left."""
    first = {"left": migration}
    return {"_id": {"$gt": first, "$lt": first | {"run": MaxKey()}}}


def mark(database: Database[Any], migration: str, step: int, generation: int) -> None:
    """Put on record that a step keeps all it changes."""
    id_ = {"_id": {"kept": migration, "step": step}}
    said = {"generation": generation, "at": datetime.now(UTC)}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        database[COLLECTION].update_one(id_, {"$set": said}, upsert=True)


def unmark(
    database: Database[Any],
    migration: str,
    step: int | None = None,
    until: int | None = None,
    session: ClientSession | None = None,
) -> None:
    """Put on record that a step, or none of a migration, keeps all it changes.

    What later generations of its lease than ``until`` have put there stays.
    """
    one = {"_id": {"kept": migration, "step": step}}
    first = {"kept": migration}
    every = {"_id": {"$gt": first, "$lt": first | {"step": MaxKey()}}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        database[COLLECTION].delete_many((every if step is None else one) | _until(until), session=session)


def marked(database: Database[Any], migration: str) -> set[int]:
    """Return the steps of a migration that have kept all they changed. Reads only."""
    first = {"kept": migration}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = database[COLLECTION].find({"_id": {"$gt": first, "$lt": first | {"step": MaxKey()}}})
        return {mark_["_id"]["step"] for mark_ in found}


def first_left(database: Database[Any], migration: str) -> list[str]:
    """Return where a few of the documents are that the last rollback could not restore. Reads only."""
    found = database[COLLECTION].with_options(RAW)
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        last = found.find_one(left_of(migration), {"_id": 1}, sort=[("_id", -1)])
        if last is None:
            return []
        first = {"left": migration, "run": last["_id"]["run"]}
        chosen = {"_id": {"$gt": first, "$lt": first | {"namespace": MaxKey()}}}
        few = found.find(chosen, {"_id": 1}).sort("_id", 1).limit(FEW)
        return [shown(id_of(bytes(one.raw))) for one in few]


def listing(database: Database[Any], migration: str) -> Iterator[dict[str, Any]]:
    """Yield the documents that rollbacks of a migration could not restore. Reads only."""
    found = database[COLLECTION].with_options(RAW)
    for record in found.find(left_of(migration), {"_id": 1, "at": 1}).sort("_id", 1):
        namespace, key = target_of(id_of(bytes(record.raw)))
        yield {"migration": migration, "namespace": namespace, "document": key.shown(), "at": record["at"]}


def shown(id_: bytes) -> str:
    """Return the document a record's ``_id`` is about, as people read it."""
    namespace, key = target_of(id_)
    return f"{key.shown()} in {namespace.partition('.')[2]}"


def is_kept(database: Database[Any], migration: str) -> bool:
    """Whether anything is kept of a migration, or was left by a rollback of it. Reads only."""
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        found = (database[COLLECTION].find_one(of(migration), {"_id": 1}) for of in (records_of, left_of))
        return any(one is not None for one in found)


def space(database: Database[Any], migration: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield how many records there are of each migration, or of one, and their bytes. Reads only."""
    one = {"$or": [records_of(migration), left_of(migration)]} if migration is not None else {}
    stages: list[dict[str, Any]] = [
        {"$match": one | {"_id.kept": {"$exists": False}}},
        {
            "$group": {
                "_id": {"$ifNull": ["$_id.migration", "$_id.left"]},
                "documents": {"$sum": {"$cond": [{"$gt": ["$_id.migration", None]}, 1, 0]}},
                "left": {"$sum": {"$cond": [{"$gt": ["$_id.left", None]}, 1, 0]}},
                "bytes": {"$sum": {"$bsonSize": "$$ROOT"}},
            }
        },
        {"$sort": {"_id": 1}},
    ]
    for row in database[COLLECTION].aggregate(stages, allowDiskUse=True):
        yield {"migration": row["_id"]} | {name: row[name] for name in ("documents", "left", "bytes")}


def leave(database: Database[Any], migration: str, run: Any, until: int) -> None:
    """Give the records of a migration that a rollback has not used the name of those it has left."""
    found = database[COLLECTION].with_options(RAW)
    for record in found.find(records_of(migration, until)):
        moved = RawBSONDocument(left(bytes(record.raw), run))
        found.replace_one({"_id": moved["_id"]}, moved, upsert=True)
        found.delete_one({"_id": record["_id"]})


def drop(database: Database[Any], migration: str) -> int:
    """Remove all that is kept of a migration; return how many records there were.

    First what says that it could be rolled back: who is killed in the middle has removed it all the same.
    """
    unmark(database, migration)
    found = database[COLLECTION]
    return sum(found.delete_many(chosen(migration)).deleted_count for chosen in (records_of, left_of))


def _elements(earlier: Earlier, generation: int) -> bytes:
    said = {name: getattr(earlier, name) for name in _STORED}
    binary = {name: Binary(value) if isinstance(value, bytes) else value for name, value in said.items()}
    return bson.encode(binary | {"generation": generation, "at": datetime.now(UTC)})[4:-1]


def _until(generation: int | None) -> dict[str, Any]:
    return {} if generation is None else {"generation": {"$lte": generation}}
