"""Building: one document after another becomes writes in a chunk.

Decides when a chunk is full: by documents, by bytes, by age, or because memory reached the guard while it
was being built. Reading and decoding are ``pages``', committing is ``executor``'s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from pymongo import UpdateOne

from chunkmigrate import sizing
from chunkmigrate.backfill import NotAWriteError, writes_of
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import TooLargeError, TransformError
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
    """Builds the chunks of one step. ``stored_size`` is what a document has about, unprojected, in bytes."""

    def __init__(
        self, backfill: Backfill, first: Chunk, watch: Watch, *, group_bytes: int, stored_size: int
    ) -> None:
        self.chunk = first
        self.cut_by = ""
        self._watch, self._group_bytes = watch, group_bytes
        self._transform: Callable[[Any], Writes] = backfill.transform or backfill.each_chunk  # type: ignore[assignment]
        self._in_groups = backfill.each_chunk is not None
        self._target = backfill.target.full_name
        self._options = backfill.target.codec_options
        self._group: list[Any] = []
        self._group_size = 0
        self._unseen = self._touched = 0
        self._stored_size = stored_size
        self._due = time.monotonic() + sizing.MAX_CHUNK_SECONDS

    def add(self, document: Any, size: int, sizes: Sizes) -> bool:
        """Take one decoded document that was read as ``size`` bytes; return whether the chunk is full."""
        self._unseen += size
        self._touched += max(size, self._stored_size)
        if self._in_groups:
            self._group.append(document)
            self._group_size += size
            return self._is_full(len(self._group), self._group_size, self._group_bytes)
        chunk, document_id = self.chunk, document["_id"]
        before = chunk.size
        try:
            answer = self._transform(document)
        except (Exception, SystemExit) as error:
            raise self._raised(document_id, error) from error
        chunk.close(document_id, self._write(document_id, answer))
        self._unseen += chunk.size - before
        return self._is_full(chunk.read, chunk.size, sizes.chunk_bytes)

    def cut(self, through: Key) -> Chunk:
        """Return the chunk built so far, which ends with ``through``, and begin the next one."""
        if self._group:
            self._flush()
        chunk, chunk.through = self.chunk, through
        self.chunk = Chunk(chunk.number + 1, through)
        self._touched = 0
        self._due = time.monotonic() + sizing.MAX_CHUNK_SECONDS
        return chunk

    @property
    def pending(self) -> bool:
        """Whether documents were taken since the last cut."""
        return bool(self.chunk.read or self._group)

    def _is_full(self, documents: int, size: int, most_bytes: int) -> bool:
        if documents >= sizing.MAX_CHUNK_DOCUMENTS:
            return self._cut_by("documents")
        if size >= most_bytes or self._touched >= sizing.MAX_TOUCHED_BYTES:
            return self._cut_by("bytes")
        if self._watch.stopped():
            return self._cut_by("stop")
        if time.monotonic() >= self._due:
            return self._cut_by("age")
        if self._unseen < LOOK_BYTES:
            return False
        self._unseen = 0
        return self._watch.over_guard() and self._cut_by("memory")

    def _cut_by(self, reason: str) -> bool:
        self.cut_by = reason
        return True

    def _flush(self) -> None:
        group, self._group, self._group_size = self._group, [], 0
        ids = [document["_id"] for document in group]
        try:
            answer = self._transform(group)
        except (Exception, SystemExit) as error:
            raise self._raised(ids[0], error) from error
        writes = self._write(ids[0], answer)
        for document_id in ids:
            self.chunk.close(document_id, writes)

    def _write(self, document_id: Any, answer: Writes) -> int:
        """Encode the writes of one document at once, so that no more than one is ever held as objects."""
        if type(answer) is UpdateOne:
            self._add(document_id, answer)
            return 1
        writes = 0
        for write in self._writes(document_id, answer):
            self._add(document_id, write)
            writes += 1
        return writes

    def _writes(self, document_id: Any, answer: Writes) -> Iterator[Write]:
        """Yield the writes of an answer; where it is a generator, this is when the author's code runs."""
        try:
            yield from writes_of(answer)
        except NotAWriteError as error:
            raise self._blamed(document_id, str(error)) from error
        except (Exception, SystemExit) as error:
            raise self._raised(document_id, error) from error

    def _add(self, document_id: Any, write: Write) -> None:
        try:
            kind, statement = encode(write, self._options)
        except OversizeError as error:
            what = f"The write for document _id {document_id!r} is too large: {error}."
            raise TooLargeError(document_id, f"{what} Nothing of its chunk was written.") from error
        except Exception as error:
            raise self._blamed(document_id, f"answered with a write that cannot be sent: {error}") from error
        self.chunk.add(write._namespace or self._target, kind, statement)  # noqa: SLF001

    def _raised(self, document_id: Any, error: BaseException) -> TransformError:
        return self._blamed(document_id, f"raised {type(error).__name__}: {error}")

    def _blamed(self, document_id: Any, what: str) -> TransformError:
        name = getattr(self._transform, "__name__", "transform")
        group = "the chunk of documents from" if self._in_groups else "document"
        message = (
            f"{name} {what.rstrip('.')}. It was given {group} _id {document_id!r}. Nothing of this chunk was "
            "written; everything before it is committed. Correct the migration and run again."
        )
        return TransformError(document_id, message)
