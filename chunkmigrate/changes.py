"""Changes: what is to be kept of a few documents, as the statements that keep it.

And what is raised for a document of which it cannot be kept. What that is is ``earlier``'s to say, how it is
spelled ``undo``'s; which documents were changed is ``keeping``'s to find out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate import undo
from chunkmigrate.chunks import Group
from chunkmigrate.earlier import InexactError, kept
from chunkmigrate.errors import DocumentError, TooLargeError
from chunkmigrate.sending import RefusedError, too_much
from chunkmigrate.writes import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from chunkmigrate.chunks import Chunk
    from chunkmigrate.earlier import Earlier
    from chunkmigrate.raw import Key


class Changes:
    """What is to be kept of a few documents, looked at ``partly`` or as a whole, as statements.

    They are documents of ``namespace`` that ``chunk`` changes; what is kept goes into ``kept_in``, as of a
    ``migration`` under a ``generation`` of its lease.
    """

    def __init__(
        self, chunk: Chunk, namespace: str, kept_in: str, migration: str, generation: int, *, partly: bool
    ) -> None:
        self._chunk, self._namespace, self._partly = chunk, namespace, partly
        self._migration, self._generation = migration, generation
        self._by_kind = {kind: Group(kept_in, kind) for kind in ("insert", "update", "delete")}

    @property
    def groups(self) -> list[Group]:
        """What is to be sent."""
        return [group for group in self._by_kind.values() if group.owners]

    def add(
        self, key: Key, before: bytes | None, after: bytes | None, known: Earlier | None, owner: int
    ) -> int:
        """Keep what a document was before, with what is ``known`` of it; return the bytes that takes."""
        id_ = undo.record_id(self._migration, self._namespace, key)
        try:
            earlier = known.followed(before, after) if known else kept(before, after, partly=self._partly)
        except InexactError as error:
            raise refused(self._chunk, owner, _inexact(self._chunk.owner(owner))) from error
        if earlier is None:
            return self._put("delete", undo.removed(id_), owner)
        if known:
            return self._put("update", undo.replaced(id_, earlier, self._generation), owner)
        return self._put("insert", undo.stored(id_, earlier, self._generation), owner)

    def _put(self, kind: str, statement: bytes, owner: int) -> int:
        if len(statement) > MAX_DOCUMENT_BYTES:
            raise refused(self._chunk, owner, _too_large(self._chunk.owner(owner)))
        group = self._by_kind[kind]
        group.statements += statement
        group.owners.append(owner)
        return len(statement)


def refused(chunk: Chunk, owner: int, error: DocumentError) -> Exception:
    """Return what is raised for a document that cannot be kept; of several nobody knows whose it is."""
    if chunk.joined and chunk.read > 1:
        what = f"One of {chunk.read:,} documents cannot be kept as it was"
        return too_much(chunk, what, str(error).rstrip("."), error.discreet.rstrip("."))
    return RefusedError(owner, error)


def _too_large(document_id: Any) -> TooLargeError:
    message = (
        f"What the write for document _id {document_id!r} changes is, with what is needed to undo it, over "
        "16 MiB, the most MongoDB keeps as one document. Nothing of its chunk was written."
    )
    return TooLargeError(document_id, message)


def _inexact(document_id: Any) -> DocumentError:
    message = (
        f"What the write for document _id {document_id!r} changes could not be given back byte for byte: two "
        "fields have one name. Nothing of its chunk was written."
    )
    return DocumentError(document_id, message)
