"""Sending: one group of a chunk as a command, and which document is at fault where the server refuses it.

What becomes of that document, and whether a failure that is nobody's fault is tried again, is decided by
whoever sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError

from chunkmigrate import retry, server
from chunkmigrate.discretion import bare, bare_reason
from chunkmigrate.errors import ChunkTooMuchError, DocumentError, TooLargeError, WriteRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.chunks import Chunk, Group

# The driver's word for what it does not send is none of its other failures.
FAILURES = (PyMongoError, DocumentTooLarge)
# Unauthorized, AtlasError (over quota), OutOfDiskSpace: the next document would meet the same.
# Interrupted, OperationNotSupportedInTransaction, CommandNotSupportedOnView: and so would all of them.
_NO_DOCUMENTS_FAULT = (13, 8000, 14031, 11601, 263, 166)
_DUPLICATE_KEY = 11000
# An answer repeats what an upsert has inserted, and that may be the _id of a document Python cannot decode.
_ANSWER = CodecOptions(document_class=RawBSONDocument, unicode_decode_error_handler="replace")
TOO_LARGE = (10334, 17419, 17420)  # BSONObjectTooLarge, and what an update that grows a document says


class RefusedError(Exception):
    """The server refuses what one document wants written; ``number`` is its place in the chunk."""

    def __init__(self, number: int, error: DocumentError) -> None:
        self.number, self.error = number, error
        super().__init__(number)


class Sender(Protocol):
    """Sends the writes of a chunk, in the transaction of a session where there is one."""

    def __call__(self, chunk: Chunk, session: ClientSession | None, *, again: bool = False) -> None:
        """Send all of them; ``again`` as `send` has it."""


def send_all(
    client: MongoClient[Any], chunk: Chunk, session: ClientSession | None, *, again: bool = False
) -> None:
    """Send all writes of a chunk, and nothing else."""
    for group in chunk.all_groups:
        send(client, chunk, group, session, again=again)


def send(
    client: MongoClient[Any],
    chunk: Chunk,
    group: Group,
    session: ClientSession | None,
    *,
    again: bool = False,
) -> Mapping[str, Any]:
    """Send one group of a chunk; return the answer. Raises `RefusedError` for the document that is refused.

    ``again``: an earlier try may have got through in part, which only a server without transactions lets
    happen. What is inserted twice under one ``_id`` is then there already. What was done is not undone
    there: those statements are taken out of the group.
    """
    once_more = again and session is None and group.kind == "insert"
    try:
        command = group.command(ordered=not once_more)
        reply = client[group.database].command(command, codec_options=_ANSWER, session=session)
    except FAILURES as error:
        if fault := _at_fault(error, chunk, group):
            raise fault from error
        raise
    for refused in reply.get("writeErrors", ()):
        if once_more and refused.get("code") == _DUPLICATE_KEY and "_id" in refused.get("keyPattern", ()):
            continue
        failure = _failure(refused, chunk, group, undone=session is not None)
        if session is None and not once_more:
            group.forget(refused["index"])
        raise failure
    if session is None:
        group.forget()
    return reply


def _failure(refused: Mapping[str, Any], chunk: Chunk, group: Group, *, undone: bool) -> Exception:
    """Return what to raise where the server refused one statement; ``undone``: none of the others is done."""
    failure = OperationFailure(refused.get("errmsg", "no reason given"), refused.get("code"), refused)
    # Nor is it the document's fault where quarantine itself is refused: it could not be set aside either.
    if group is chunk.aside or failure.code in _NO_DOCUMENTS_FAULT or retry.is_passing(failure):
        return failure
    return _refused(refused, chunk, group, undone=undone)


def _at_fault(error: Exception, chunk: Chunk, group: Group) -> Exception | None:
    """Return what to raise where a command failed as a whole, and it is a document's fault."""
    too_large = isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in TOO_LARGE
    alone = len(set(group.owners)) == 1
    if not too_large:
        return (
            None
            if group is chunk.aside or is_nobodys(error)
            else _suspected(error, chunk, group, alone=alone)
        )
    if not alone:
        return None
    document_id = chunk.owner(group.owners[0])
    message = f"The write for document _id {document_id!r} is over 16 MiB; nothing of its chunk was written."
    return RefusedError(group.owners[0], TooLargeError(document_id, message))


def is_nobodys(error: Exception) -> bool:
    """Whether other documents would meet the same, or the ladder knows what to do."""
    known = retry.is_passing(error) or retry.is_too_much(error)
    return known or not isinstance(error, OperationFailure) or error.code in _NO_DOCUMENTS_FAULT


def _suspected(error: Exception, chunk: Chunk, group: Group, *, alone: bool) -> Exception:
    """Return what is raised for a statement the server could not even read: it does not say whose it was."""
    reason = server.reason(error)
    discreet = bare_reason(error, reason)
    if alone and not (chunk.joined and chunk.read > 1):
        return refusal(chunk, group.owners[0], reason, discreet, getattr(error, "code", None))
    return too_much(chunk, f"MongoDB refused something of {chunk.read:,} documents", reason, discreet)


def _refused(refused: Mapping[str, Any], chunk: Chunk, group: Group, *, undone: bool) -> Exception:
    reason = str(refused.get("errmsg", "no reason given")).partition(", full error")[0]
    code = refused.get("code")
    said, discreet = f"{server.redacted(reason)} (code {code})", bare(reason, code)
    if chunk.joined and chunk.read > 1:
        return too_much(chunk, f"MongoDB refused one of {chunk.read:,} documents", said, discreet)
    return refusal(chunk, group.owners[refused["index"]], said, discreet, code, undone=undone)


def too_much(chunk: Chunk, what: str, reason: str, discreet: str) -> ChunkTooMuchError:
    """Return what is raised where only a smaller chunk can pass; ``discreet``: the reason without values."""
    return ChunkTooMuchError(chunk.read, f"{what}: {reason}.", discreet=f"{what}: {discreet}.")


def refusal(
    chunk: Chunk, number: int, reason: str, discreet: str, code: int | None, *, undone: bool = True
) -> RefusedError:
    """Return what is raised where the server refuses a document; ``discreet``: the reason without values."""
    document_id = chunk.owner(number)
    what = "Nothing of its chunk was written" if undone else "Some of its chunk may be written twice"
    then = f"{what}; everything before it is committed. Fix the transform or the document and run again."
    message, discreet = (_refusal(document_id, why, then) for why in (reason, discreet))
    if code in TOO_LARGE:
        return RefusedError(number, TooLargeError(document_id, message, discreet=discreet, then=then))
    return RefusedError(number, WriteRefusedError(document_id, message, code, discreet=discreet, then=then))


def _refusal(document_id: Any, reason: str, then: str) -> str:
    return f"MongoDB refused the write for document _id {document_id!r}: {reason}. {then}"
