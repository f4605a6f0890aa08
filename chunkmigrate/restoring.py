"""Restoring: a migration is rolled back from what its undo has kept, by the same loop as it was run.

What is read are the records of undo; a chunk of them puts back its documents and removes its records in one
transaction, so whoever is killed goes on where it stood. Whether a document is still what the migration made
of it is looked at inside that transaction; one that somebody has edited since stays, and its record under
another name. What it was is ``earlier``'s to say.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne

from chunkmigrate import raw, undo
from chunkmigrate.backfill import Backfill
from chunkmigrate.chunks import Chunk, Group
from chunkmigrate.earlier import EditedError
from chunkmigrate.images import Images, slices
from chunkmigrate.raw import Key
from chunkmigrate.scan import RAW, Scan
from chunkmigrate.sending import send
from chunkmigrate.touched import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.earlier import Earlier
    from chunkmigrate.images import Room

# An index on _id alone: pages then begin at a migration's first record, whatever lies before it.
_INDEX = "_id_"

_DOCUMENT = 0x03

# How large a record is, and whether the whole document it is about is to be looked at.
_MEASURED = {
    "size": {"$bsonSize": "$$ROOT"},
    "whole": {"$or": ["$whole", {"$ne": [{"$type": "$order"}, "null"]}]},
}


def backfill_of(database: Database[Any], migration: str) -> Backfill:
    """Return what restores the documents of a migration: each record of its undo is used, and removed."""
    records = database.get_collection(undo.COLLECTION, codec_options=RAW)
    return Backfill(Scan(records, undo.records_of(migration), (), _INDEX), used)


def used(record: Any) -> DeleteOne:
    """Remove a record; the document it is about is restored in the same transaction."""
    return DeleteOne({"_id": record["_id"]})


@dataclass(frozen=True, kw_only=True, slots=True)
class Restoring:
    """Sends chunks of records that are to be removed, and restores what they are about first.

    Call it with a chunk and a session. ``written`` of a chunk are then the documents that were restored.
    """

    client: MongoClient[Any]
    run: Any
    room: Room

    def __call__(self, chunk: Chunk, session: ClientSession | None, *, again: bool = False) -> None:
        """Restore, and remove the records; raises what `send` does."""
        left = 0
        for group in chunk.all_groups:
            if session and group is not chunk.aside:
                left += _Back(self, group.namespace, session).all(group, chunk)
            send(self.client, chunk, group, session, again=again)
        chunk.written = chunk.read - chunk.quarantined - left


@dataclass(frozen=True, slots=True)
class _One:
    """A record on its way: who owns it, the document it is about, and its bytes with that document's."""

    owner: int
    record: Key
    namespace: str
    document: Key
    size: int


@dataclass(frozen=True, slots=True)
class _Back:
    """The records of one chunk in their transaction."""

    restoring: Restoring
    kept_in: str
    session: ClientSession

    @property
    def images(self) -> Images:
        return Images(self.restoring.client, self.session)

    def all(self, group: Group, chunk: Chunk) -> int:
        """Restore what the records of ``group`` are about; return how many documents were left."""
        left, room = 0, self.restoring.room
        for part in slices(self._measured(group), lambda one: one.size, room.bytes):
            size = sum(one.size for one in part)
            large = size > room.bytes
            with room.for_one(size, undo.shown(part[0].record.value)) if large else nullcontext():
                left += self._part(part, chunk)
        return left

    def _measured(self, group: Group) -> list[_One]:
        """Return the records that are there, and how much is to be looked at for each.

        Where fields are put back in their place no more of the document is looked at than they are.
        """
        owners = {raw.key_of(_filter(encoded)).value: owner for encoded, owner in group.each()}
        asked = raw.one_of(Key(_DOCUMENT, id_) for id_ in owners)
        found = [*self.images.found(self.kept_in, asked, _MEASURED)]
        targets = [undo.target_of(undo.id_of(record)) for record in found]
        facts = [bson.decode(record, RAW) for record in found]
        whole = [target for target, fact in zip(targets, facts, strict=True) if fact["whole"]]
        sizes = self._sizes(whole)
        measured = []
        for (namespace, document), fact, record in zip(targets, facts, found, strict=True):
            there = sizes.get((namespace, identity(document)), 0) if fact["whole"] else fact["size"]
            key = raw.key_of(record)
            measured.append(_One(owners[key.value], key, namespace, document, fact["size"] + there))
        return measured

    def _sizes(self, targets: Sequence[tuple[str, Key]]) -> dict[tuple[str, object], int]:
        sizes = {}
        for namespace in {namespace for namespace, _ in targets}:
            keys = [key for where, key in targets if where == namespace]
            for key, size in self.images.sizes(namespace, raw.one_of(keys), None):
                sizes[namespace, identity(key)] = size
        return sizes

    def _part(self, part: Sequence[_One], chunk: Chunk) -> int:
        """Restore a few documents, in one command for each collection; return how many were left."""
        ids = raw.one_of(one.record for one in part)
        records = {undo.id_of(r): r for r in self.images.found(self.kept_in, ids, None)}
        left = Group(self.kept_in, "insert")
        for namespace in dict.fromkeys(one.namespace for one in part):
            here = [one for one in part if one.namespace == namespace]
            self._restore(namespace, here, records, left)
        if left.owners:
            send(self.restoring.client, chunk, left, self.session)
        return len(left.owners)

    def _restore(
        self, namespace: str, here: Sequence[_One], records: Mapping[bytes, bytes], left: Group
    ) -> None:
        earlier = [undo.earlier_of(records[one.record.value]) for one in here]
        now = self._now(namespace, here, earlier)
        statements = Group(namespace, "update")
        removals = Group(namespace, "delete")
        for one, what in zip(here, earlier, strict=True):
            edited = what.edited
            try:
                self._put(one, what, now.get(identity(one.document)), statements, removals)
            except EditedError:
                edited = True
            if edited:
                left.statements += undo.left(records[one.record.value], self.restoring.run)
                left.owners.append(one.owner)
        named = _named(here)
        for group in (removals, statements):
            if group.owners:
                send(self.restoring.client, named, group, self.session)

    def _now(self, namespace: str, here: Sequence[_One], earlier: Sequence[Earlier]) -> dict[object, bytes]:
        """Return what the documents are now; of those that are put back in place, the fields that are."""
        fields = {name for what in earlier if what.in_place for name in what.names}
        both = [*zip(here, earlier, strict=True)]
        partly = [one.document for one, what in both if what.in_place]
        whole = [one.document for one, what in both if not what.in_place]
        return self.images.read(namespace, partly, fields) | self.images.read(namespace, whole, None)

    def _put(self, one: _One, what: Earlier, now: bytes | None, statements: Group, removals: Group) -> None:
        """Add the statement that makes one document what it was; none where it is so already."""
        which = b"\x03q\0" + one.document.document().raw
        if what.in_place and now is not None:
            change = what.operators(now)
            statement = change and _changed(which, *change)
        else:
            back = what.restored(now)
            if back is None and now is not None:
                removals.statements += raw.enclosed(which + b"\x10limit\0\x01\0\0\0")
                removals.owners.append(one.owner)
            statement = None if back is None or back == now else _replaced(which, back, absent=now is None)
        if statement:
            statements.statements += statement
            statements.owners.append(one.owner)


def _changed(which: bytes, set_: bytes, unset: bytes) -> bytes:
    """Return the statement that changes fields in their place."""
    change = b"".join(
        b"\x03" + operator + b"\0" + fields
        for operator, fields in ((b"$set", set_), (b"$unset", unset))
        if any(raw.elements(fields))
    )
    return raw.enclosed(which + b"\x03u\0" + raw.enclosed(change))


def _replaced(which: bytes, document: bytes, *, absent: bool) -> bytes:
    """Return the statement that makes a document this one, or inserts it where it is ``absent``.

    As a pipeline: what replaces a document otherwise, or is inserted, gets the time where it has an empty
    timestamp.
    """
    literal = raw.enclosed(b"\x03$literal\0" + document)
    pipeline = raw.enclosed(b"\x030\0" + raw.enclosed(b"\x03$replaceWith\0" + literal))
    upsert = b"\x08upsert\0\x01" if absent else b""
    return raw.enclosed(which + b"\x04u\0" + pipeline + upsert)


def _filter(statement: bytes) -> bytes:
    start, _, end = raw.element(statement, b"q")
    return statement[start:end]


def _named(here: Sequence[_One]) -> Chunk:
    """Return what names the documents in sentences: the records' chunk knows only the records."""
    chunk = Chunk(0, None)
    names = {one.owner: one for one in here}
    for owner in range(max(names) + 1):
        chunk.close(_shown(names[owner].document) if owner in names else None, 1)
    return chunk


def _shown(key: Key) -> Any:
    try:
        return RawBSONDocument(key.document().raw)["_id"]
    except BSONError:
        return key.shown()
