"""Building: one document after another goes into a chunk until it is full.

Decides when that is: by documents, by bytes, by age, or because memory reached the guard while the chunk was
being built. Reading and decoding are ``pages``', transforming ``transforming``'s, committing ``executor``'s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from chunkmigrate import sizing
from chunkmigrate.chunks import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.errors import DocumentError
    from chunkmigrate.raw import Key
    from chunkmigrate.sizing import Sizes
    from chunkmigrate.transforming import Transformer


class Ending(Protocol):
    """What may end a chunk from outside; asked between documents."""

    def stopped(self) -> bool:
        """Whether the run was asked to stop."""

    def room(self) -> int:
        """How many bytes of memory are left to the guard; 0 or less once it is reached."""


class Builder:
    """Builds the chunks of one step. ``stored_size`` is what a document has about, unprojected, in bytes."""

    def __init__(
        self, transformer: Transformer, first: Chunk, ending: Ending, *, group_bytes: int, stored_size: int
    ) -> None:
        self.chunk = first
        self.cut_by = ""
        self._transformer, self._ending, self._group_bytes = transformer, ending, group_bytes
        self._joined = first.joined = transformer.joined
        self._group: list[Any] = []
        self._stored: list[bytes] = []
        self._stored_size = stored_size
        self._room: int | None = None
        self._every, self._look_at = 1, 0.0
        self._unseen = self._uncounted = 0
        self._begin()

    def add(
        self,
        document: Any,
        size: int,
        sizes: Sizes,
        print_: tuple[Key, bytes] | None = None,
        stored: bytes = b"",
        *,
        again: Callable[[], Any] | None = None,
    ) -> bool:
        """Take one decoded document that was read as ``size`` bytes; return whether the chunk is full.

        ``stored`` is what it was decoded from, where documents are transformed together; else ``again``
        decodes it once more.
        """
        chunk = self.chunk
        before = chunk.size
        if self._joined:
            self._group.append(document)
            self._stored.append(stored)
        else:
            self._transformer.add(chunk, document, again)
        if print_:
            chunk.remember(chunk.read + len(self._group) - 1, print_)
        return self._is_full(size, chunk.size - before, sizes)

    def set_aside(self, document: Key, error: DocumentError, sizes: Sizes) -> bool:
        """Take a document that is not to be transformed, because of ``error``; as `add` otherwise."""
        self._flush()
        before = self.chunk.size
        self._transformer.set_aside(self.chunk, document, error)
        return self._is_full(0, self.chunk.size - before, sizes)

    def cut(self, through: Key) -> Chunk:
        """Return the chunk built so far, which ends with ``through``, and begin the next one."""
        self._flush()
        chunk, chunk.through = self.chunk, through
        self.chunk = Chunk(chunk.number + 1, through, joined=self._joined)
        self._begin()
        return chunk

    @property
    def pending(self) -> bool:
        """Whether documents were taken since the last cut."""
        return bool(self.chunk.read or self._group)

    def _begin(self) -> None:
        self._touched = 0
        self._due = time.monotonic() + sizing.MAX_CHUNK_SECONDS

    def _is_full(self, size: int, written: int, sizes: Sizes) -> bool:
        chunk = self.chunk
        chunk.bytes_read += size
        self._touched += max(size, self._stored_size)
        self._unseen += size + written
        self._uncounted += 1
        if chunk.read + len(self._group) >= sizes.chunk_documents:
            return self._cut_by("documents")
        if self._joined and chunk.bytes_read >= self._group_bytes:
            return self._cut_by("bytes")
        if chunk.size >= sizes.chunk_bytes or self._touched >= sizing.MAX_TOUCHED_BYTES:
            return self._cut_by("bytes")
        if self._ending.stopped():
            return self._cut_by("stop")
        now = time.monotonic()
        if now >= self._due:
            return self._cut_by("age")
        if self._uncounted < self._every and self._unseen < sizing.LOOK_BYTES and now < self._look_at:
            return False
        return self._look() <= 0 and self._cut_by("memory")

    def _look(self) -> int:
        """Look at memory, and settle when to look again; return the bytes left to the guard."""
        room = self._ending.room()
        growth = 0 if self._room is None else self._room - room
        self._every = sizing.next_look(self._uncounted, growth, room)
        self._room, self._unseen, self._uncounted = room, 0, 0
        self._look_at = time.monotonic() + sizing.LOOK_SECONDS
        return room

    def _cut_by(self, reason: str) -> bool:
        self.cut_by = reason
        return True

    def _flush(self) -> None:
        group, self._group = self._group, []
        stored, self._stored = self._stored, []
        if group:
            self._transformer.add_joined(self.chunk, group, stored)
