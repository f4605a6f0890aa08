"""Keeping: what a chunk is about to change is read before, and kept beside the change, in its transaction.

Documents are looked at before and after their statements are sent, a bounded number of bytes at a time; what
differs is kept. Where a statement may change documents that only the server knows, those are asked for, and
the statement is sent for them alone. What is kept of a document is ``earlier``'s to say, how it is stored
``undo``'s.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument

from chunkmigrate import raw, undo
from chunkmigrate.changes import Changes, refused
from chunkmigrate.chunks import Group
from chunkmigrate.errors import DocumentError
from chunkmigrate.images import Images, slices
from chunkmigrate.sending import send
from chunkmigrate.touched import identity, statement_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.earlier import Earlier
    from chunkmigrate.images import Room
    from chunkmigrate.raw import Key
    from chunkmigrate.touched import Statement

# The project's own records are no documents of anybody's: a document that leaves quarantine stays out of it.
OURS = "chunkmigrate_"

# Their _ids are held together, some 200 bytes each, and a transaction may take a minute.
MOST_MATCHED = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """Sends the writes of chunks, and keeps what they change. Call it with a chunk and a session.

    ``database`` is the one that is migrated, ``generation`` that of the lease, ``room`` what one writer may
    look at.
    """

    client: MongoClient[Any]
    database: str
    migration: str
    generation: int
    room: Room

    def __call__(self, chunk: Chunk, session: ClientSession | None, *, again: bool = False) -> None:
        """Send all writes; raises what `send` does, and `RefusedError` for what cannot be kept."""
        for group in chunk.all_groups:
            ours = group.namespace.partition(".")[2].startswith(OURS)
            if session is None or group is chunk.aside or ours:
                send(self.client, chunk, group, session, again=again)
            else:
                _Sent(self, chunk, group.namespace, session).all(group)


@dataclass(frozen=True, slots=True)
class _Sent:
    """The statements for one collection on their way."""

    keeping: Keeping
    chunk: Chunk
    namespace: str
    session: ClientSession

    @property
    def images(self) -> Images:
        return Images(self.keeping.client, self.session)

    def all(self, group: Group) -> None:
        """Send them in order: those that name their document together, each other one by itself."""
        statements = [statement_of(group.kind, encoded, owner) for encoded, owner in group.each()]
        for named, together in groupby(statements, key=lambda statement: statement.key is not None):
            if named:
                self._named([*together])
            else:
                for statement in together:
                    self._matching(statement)

    def _named(self, statements: Sequence[Statement]) -> None:
        """Send statements whose filters name an ``_id`` each.

        Where a document is written more than once, here or before, all of it is looked at: what is kept of it
        may be about other fields.
        """
        keys = {statement.id: key for statement in statements if (key := statement.key)}
        known = self._known(keys.values())
        fields = None if known or len(keys) < len(statements) else _union(statements)
        sizes = dict[object, int]()
        if statements[0].kind != "insert" or known:
            found = self.images.sizes(self.namespace, raw.one_of(keys.values()), fields)
            sizes = {identity(key): size for key, size in found}

        def weight(statement: Statement) -> int:
            looked_at = max(sizes.get(statement.id, 0), len(statement.encoded))
            return looked_at + known.get(statement.id, 0)

        for part in slices(statements, weight, self._most):
            touched = {statement.id: keys[statement.id] for statement in part}
            owners = {statement.id: statement.owner for statement in part}
            encoded = [(statement.encoded, statement.owner) for statement in part]
            with self._turn(sum(map(weight, part)), part[0].owner):
                self._part(part[0].kind, encoded, touched, owners, fields=fields, known=known)

    def _matching(self, statement: Statement) -> None:
        """Send a statement for the documents it matches; only the server knows which those are.

        With a collation an ``_id`` may match others: then all that match are looked at together.
        """
        found = self._matched(statement)
        known = self._known([key for key, _ in found])
        fields = None if known else statement.fields
        if fields != statement.fields:  # more is to be looked at than was measured
            found = [*self.images.sizes(self.namespace, raw.one_of(key for key, _ in found), None)]
        parts = [found]
        if found and not statement.collated:
            parts = [*slices(found, lambda one: one[1] + known.get(identity(one[0]), 0), self._most)]
        for part in parts:
            touched = {identity(key): key for key, _ in part}
            owners = dict.fromkeys(touched, statement.owner)
            narrow = part and not statement.collated
            encoded = statement.narrowed(touched.values()) if narrow else statement.encoded
            with self._turn(sum(size for _, size in part), statement.owner):
                self._part(
                    statement.kind,
                    [(encoded, statement.owner)],
                    touched,
                    owners,
                    fields=fields,
                    known=known,
                )

    def _matched(self, statement: Statement) -> list[tuple[Key, int]]:
        """Return the documents a statement will change, and how many bytes there are to look at of each."""
        options: dict[str, Any] = {}
        for name in ("hint", "collation", "sort"):
            if part := statement.part(name):
                options[name] = bson.decode(part)[name]
        several = statement.many or statement.collated
        options["limit"] = MOST_MATCHED + 1 if several else 1
        condition = RawBSONDocument(statement.filter)
        found = [*self.images.sizes(self.namespace, condition, statement.fields, **options)]
        if len(found) > MOST_MATCHED:
            raise refused(self.chunk, statement.owner, _too_many(self.chunk.owner(statement.owner)))
        return found

    def _part(
        self,
        kind: str,
        encoded: Sequence[tuple[bytes, int]],
        touched: Mapping[object, Key],
        owners: Mapping[object, int],
        *,
        fields: Collection[bytes] | None,
        known: dict[object, int],
    ) -> None:
        """Send statements, and keep what they change of the documents ``touched``.

        What is ``known`` are the bytes of what is kept of documents: so far, and then from now on.
        """
        fresh = kind == "insert"
        before = {} if fresh else self.images.read(self.namespace, touched.values(), fields)
        reply = send(self.keeping.client, self.chunk, _group(self.namespace, kind, encoded), self.session)
        upserted = [raw.key_of(one.raw) for one in reply.get("upserted", ())]
        keys = dict(touched) | {identity(key): key for key in upserted}
        known |= self._known([key for key in upserted if identity(key) not in touched])
        after = self.images.read(self.namespace, keys.values(), fields)
        records = self._records(keys, known)
        changes = self._changes(partly=fields is not None)
        for id_, key in keys.items():
            was, is_ = before.pop(id_, None), after.pop(id_, None)
            if was != is_:
                owner = owners.get(id_, encoded[0][1])
                known[id_] = changes.add(key, was, is_, records.pop(id_, None), owner)
        for group in changes.groups:
            send(self.keeping.client, self.chunk, group, self.session)

    def _changes(self, *, partly: bool) -> Changes:
        migration, generation = self.keeping.migration, self.keeping.generation
        return Changes(self.chunk, self.namespace, self._undo, migration, generation, partly=partly)

    def _known(self, keys: Collection[Key]) -> dict[object, int]:
        """Return the bytes of what is kept already of documents, where anything is."""
        return {
            _about(id_): size
            for part in slices(keys, lambda key: len(key.value), self._most)
            for id_, size in self.images.sizes(self._undo, self._ids(part), None)
        }

    def _records(self, keys: Mapping[object, Key], known: Mapping[object, int]) -> dict[object, Earlier]:
        """Return what is kept already of documents."""
        there = [key for id_, key in keys.items() if id_ in known]
        if not there:
            return {}
        found = self.images.found(self._undo, self._ids(there), None)
        return {_about(raw.key_of(record)): undo.earlier_of(record) for record in found}

    def _ids(self, keys: Collection[Key]) -> RawBSONDocument:
        record = self.keeping.migration, self.namespace
        return raw.one_of(raw.Key(0x03, undo.record_id(*record, key)) for key in keys)

    @property
    def _most(self) -> int:
        return self.keeping.room.bytes

    @property
    def _undo(self) -> str:
        return f"{self.keeping.database}.{undo.COLLECTION}"

    def _turn(self, size: int, owner: int) -> Any:
        """Wait, with more than one writer may look at together, until no other one has as much."""
        if size <= self._most:
            return nullcontext()
        try:
            return self.keeping.room.for_one(size, self.chunk.owner(owner))
        except DocumentError as error:
            raise refused(self.chunk, owner, error) from error


def _too_many(document_id: Any) -> DocumentError:
    message = (
        f"A write for document _id {document_id!r} matches more than {MOST_MATCHED:,} documents; what each "
        "of them was cannot be kept in the one transaction that changes them. Nothing of its chunk was "
        "written. Scan the documents that are to change, and write one at a time."
    )
    return DocumentError(document_id, message)


def _union(statements: Sequence[Statement]) -> frozenset[bytes] | None:
    """Return the fields that any of the statements can change; None where that is not known of one."""
    found = frozenset[bytes]()
    for statement in statements:
        if statement.fields is None:
            return None
        found |= statement.fields
    return found


def _group(namespace: str, kind: str, encoded: Sequence[tuple[bytes, int]]) -> Group:
    return Group(
        namespace, kind, bytearray().join(one for one, _ in encoded), [owner for _, owner in encoded]
    )


def _about(record: Key) -> object:
    """Return the identity of the document that a record, called by its ``_id``, is about."""
    return identity(undo.target_of(record.value)[1])
