"""Building: one document after another becomes writes in a chunk.

Decides when a chunk is full: by documents, by bytes, by age, or because memory reached the guard while it
was being built. Only one document is expanded at a time (with ``each_chunk``, one list of bounded size).
Reading pages and committing chunks are ``pipeline``'s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import bson
from bson.errors import BSONError
from pymongo import UpdateOne

from chunkmigrate import sizing
from chunkmigrate.backfill import NotAWriteError, writes_of
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import TooLargeError, TransformError, UndecodableError
from chunkmigrate.raw import MalformedError, key_of
from chunkmigrate.writes import OversizeError, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.backfill import Backfill, Write, Writes
    from chunkmigrate.raw import Key
    from chunkmigrate.sizing import Sizes

# How often memory is looked at while a chunk is built, in bytes handled: a reading costs some 20 µs, and
# a document that expands tenfold still moves memory by no more than 5 MiB between two looks.
LOOK_BYTES = 512 * 1024


class Watch(Protocol):
    """What may end a chunk from outside; asked between documents."""

    def stopped(self) -> bool:
        """Whether the run was asked to stop."""

    def over_guard(self) -> bool:
        """Whether memory in use has reached the guard."""


class Builder:
    """Builds the chunks of one step."""

    def __init__(self, backfill: Backfill, first: Chunk, watch: Watch) -> None:
        self.chunk = first
        self.cut_by = ""
        self._watch = watch
        self._transform = backfill.transform or backfill.each_chunk
        self._in_groups = backfill.each_chunk is not None
        self._options = backfill.scan.collection.codec_options
        self._target = backfill.target.full_name
        self._target_options = backfill.target.codec_options
        self._group: list[Any] = []
        self._group_size = 0
        self._unseen = 0
        self._started = time.monotonic()

    def add(self, document: memoryview, sizes: Sizes, group_bytes: int) -> bool:
        """Take one raw document; return whether the chunk is full."""
        decoded = self._decoded(document)
        self._unseen += len(document)
        if self._in_groups:
            self._group.append(decoded)
            self._group_size += len(document)
            return self._group_is_full(group_bytes)
        before = self.chunk.size
        self._write(decoded["_id"], self._answer(decoded, decoded["_id"]))
        self._unseen += self.chunk.size - before
        return self._is_full(sizes)

    def cut(self, through: Key) -> Chunk:
        """Return the chunk built so far, which ends with ``through``, and begin the next one."""
        if self._group:
            self._flush()
        chunk, chunk.through = self.chunk, through
        self.chunk = Chunk(chunk.number + 1, through)
        self._started = time.monotonic()
        return chunk

    @property
    def pending(self) -> bool:
        """Whether documents were taken since the last cut."""
        return bool(self.chunk.read or self._group)

    def _is_full(self, sizes: Sizes) -> bool:
        if self.chunk.read >= sizing.MAX_CHUNK_DOCUMENTS:
            return self._cut_by("documents")
        if self.chunk.size >= sizes.chunk_bytes:
            return self._cut_by("bytes")
        return self._is_interrupted()

    def _group_is_full(self, group_bytes: int) -> bool:
        if len(self._group) >= sizing.MAX_CHUNK_DOCUMENTS:
            return self._cut_by("documents")
        if self._group_size >= group_bytes:
            return self._cut_by("bytes")
        return self._is_interrupted()

    def _is_interrupted(self) -> bool:
        if self._watch.stopped():
            return self._cut_by("stop")
        if time.monotonic() - self._started >= sizing.MAX_CHUNK_SECONDS:
            return self._cut_by("age")
        if self._unseen < LOOK_BYTES:
            return False
        self._unseen = 0
        return self._watch.over_guard() and self._cut_by("memory")

    def _cut_by(self, reason: str) -> bool:
        self.cut_by = reason
        return True

    def _decoded(self, document: memoryview) -> Any:
        try:
            return bson.decode(document, self._options)
        except BSONError as error:
            shown = _shown_id(document)
            message = (
                f"The document with _id {shown} cannot be decoded: {error}. Nothing of its chunk was written."
            )
            raise UndecodableError(shown, message) from error

    def _flush(self) -> None:
        group, self._group, self._group_size = self._group, [], 0
        ids = [document["_id"] for document in group]
        self._write(ids[0], self._answer(group, ids[0]))
        for document_id in ids[1:]:
            self.chunk.close(document_id, 0)
        self.chunk.written = len(ids) if self.chunk.writes else 0

    def _answer(self, argument: Any, document_id: Any) -> Writes:
        transform: Callable[[Any], Writes] = self._transform  # type: ignore[assignment]
        try:
            return transform(argument)
        except Exception as error:
            raise self._blamed(document_id, f"raised {type(error).__name__}: {error}") from error

    def _write(self, document_id: Any, answer: Writes) -> None:
        """Encode the writes of one document at once, so that no more than one is ever held as objects."""
        writes = 0
        for write in (answer,) if type(answer) is UpdateOne else self._writes(document_id, answer):
            kind, statement = self._encoded(document_id, write)
            self.chunk.add(write._namespace or self._target, kind, statement)  # noqa: SLF001
            writes += 1
        self.chunk.close(document_id, writes)

    def _writes(self, document_id: Any, answer: Writes) -> Iterator[Write]:
        """Yield the writes of an answer; where it is a generator, this is when the author's code runs."""
        try:
            yield from writes_of(answer)
        except NotAWriteError as error:
            raise self._blamed(document_id, str(error)) from error
        except Exception as error:
            raise self._blamed(document_id, f"raised {type(error).__name__}: {error}") from error

    def _encoded(self, document_id: Any, write: Write) -> tuple[str, bytes]:
        try:
            return encode(write, self._target_options)
        except OversizeError as error:
            raise TooLargeError(
                document_id,
                f"The write for document _id {document_id!r} is too large: {error}. "
                "Nothing of its chunk was written.",
            ) from error
        except Exception as error:
            raise self._blamed(document_id, f"answered with a write that cannot be sent: {error}") from error

    def _blamed(self, document_id: Any, what: str) -> TransformError:
        name = getattr(self._transform, "__name__", "transform")
        group = "the chunk of documents from" if self._in_groups else "document"
        message = (
            f"{name} {what.rstrip('.')}. It was given {group} _id {document_id!r}. Nothing of this chunk was "
            "written; everything before it is committed. Correct the migration and run again."
        )
        return TransformError(document_id, message)


def _shown_id(document: memoryview) -> str:
    try:
        return key_of(document).shown()
    except MalformedError:
        return "unknown"
