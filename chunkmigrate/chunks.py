"""Chunks: writes that wait for the server as encoded BSON, and become its commands.

A write held as Python objects costs up to ten times its size; held as BSON it costs its size, and that
size is known. How a write is encoded is ``writes``' business; when a chunk is full is ``pipeline``'s.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson.raw_bson import RawBSONDocument

from chunkmigrate.records import Counts

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator

    from chunkmigrate.raw import Key

# One command carries at most this much, however much a single document's writes add up to: the server
# takes 48 MB a message, and a message is held twice while it is built.
COMMAND_BYTES = 16 * 1024 * 1024
COMMAND_STATEMENTS = 1_000

_INT32 = struct.Struct("<i").unpack_from
_FIELD = {"insert": "documents", "update": "updates", "delete": "deletes"}


class Encoded(RawBSONDocument):
    """Documents one behind the other, as the driver copies them into its message: byte for byte, unread.

    A `RawBSONDocument` for each would cost a microsecond each, and thirty bytes.
    """

    __slots__ = ("_documents",)

    def __init__(self, documents: bytes) -> None:
        self._documents = documents

    @property
    def raw(self) -> bytes:
        """The bytes of all documents."""
        return self._documents

    def items(self) -> ItemsView[str, Any]:
        """Return what the driver logs of them, where its log is on."""
        return {"bytes": len(self._documents)}.items()

    def __repr__(self) -> str:
        return f"Encoded({len(self._documents)} bytes)"


@dataclass(slots=True)
class Group:
    """Statements of one kind for one collection, in order: what one command carries.

    ``owners`` are the numbers, within the chunk, of the documents they came from.
    """

    namespace: str
    kind: str
    statements: bytearray = field(default_factory=bytearray)
    owners: list[int] = field(default_factory=list)

    def is_full(self, size: int) -> bool:
        """Whether ``size`` more bytes would be too much for one command."""
        return len(self.owners) >= COMMAND_STATEMENTS or len(self.statements) + size > COMMAND_BYTES

    @property
    def database(self) -> str:
        """The database the command is for."""
        return self.namespace.partition(".")[0]

    def command(self, *, ordered: bool = True) -> dict[str, Any]:
        """Return the command; one that is not ``ordered`` goes on behind a statement that is refused."""
        collection = self.namespace.partition(".")[2]
        statements = [Encoded(bytes(self.statements))]
        return {self.kind: collection, _FIELD[self.kind]: statements, "ordered": ordered}

    def each(self) -> Iterator[tuple[bytes, int]]:
        """Yield each statement, and the document it came from."""
        start = 0
        for owner in self.owners:
            end = start + _INT32(self.statements, start)[0]
            yield bytes(self.statements[start:end]), owner
            start = end

    def forget(self, count: int | None = None) -> None:
        """Let go of the first ``count`` statements, or of all: they are done, and must not be sent again."""
        count, end = len(self.owners) if count is None else count, 0
        for _ in range(count):
            end += _INT32(self.statements, end)[0]
        del self.statements[:end], self.owners[:count]

    def remove(self, owner: int) -> int:
        """Take out the statements of one document; return how many there were."""
        if owner not in self.owners:
            return 0
        kept, owners, start = bytearray(), [], 0
        for number in self.owners:
            end = start + _INT32(self.statements, start)[0]
            if number != owner:
                kept += self.statements[start:end]
                owners.append(number)
            start = end
        removed = len(self.owners) - len(owners)
        self.statements, self.owners = kept, owners
        return removed


@dataclass(slots=True)
class Chunk:
    """The writes between two checkpoints: committed together, or not at all.

    ``after`` and ``through`` bound the documents it covers; ``number`` is its place in the step, from 0.
    ``prints`` tell, where the backfill asks for it, whether documents still are what was read; ``joined``
    says that the writes are those of all documents together.
    """

    number: int
    after: Key | None
    through: Key | None = None
    joined: bool = False
    read: int = 0
    written: int = 0
    writes: int = 0
    size: int = 0
    bytes_read: int = 0
    changed: int = 0
    groups: list[Group] = field(default_factory=list)
    aside: Group | None = None
    quarantined: int = 0
    prints: list[tuple[Key, bytes] | None] = field(default_factory=list)
    tries: Counter[int] = field(default_factory=Counter)
    _open: dict[str, Group] = field(default_factory=dict)
    _ids: list[Any] = field(default_factory=list)

    def add(self, namespace: str, kind: str, statement: bytes, owner: int | None = None) -> None:
        """Append one encoded statement, owned by the document begun last, or by ``owner``.

        Statements for one collection keep their order. Those for different collections commute, so
        they are grouped: a chunk that writes to two collections in turn is two commands, not thousands.
        """
        size = len(statement)
        group = self._open.get(namespace)
        if group is None or group.kind != kind or group.is_full(size):
            group = self._open[namespace] = Group(namespace, kind)
            self.groups.append(group)
        group.statements += statement
        group.owners.append(self.read if owner is None else owner)
        self.size += size
        self.writes += 1

    def close(self, document_id: Any, writes: int) -> None:
        """Count the document whose writes were added last."""
        self._ids.append(document_id)
        self.read += 1
        self.written += writes > 0

    def drop(self, number: int) -> int:
        """Take out the writes of one document; return how many there were."""
        before = sum(len(group.statements) for group in self.groups)
        removed = sum(group.remove(number) for group in self.groups)
        self.groups = [group for group in self.groups if group.owners]
        # Only what is empty is closed: a chunk of many failing documents is still one command.
        self._open = {name: group for name, group in self._open.items() if group.owners}
        self.size -= before - sum(len(group.statements) for group in self.groups)
        self.writes -= removed
        return removed

    def set_aside(self, namespace: str, statement: bytes, number: int) -> None:
        """Write ``statement`` into quarantine instead of anything a document's transform answered."""
        self.aside = self.aside or Group(namespace, "update")
        self.aside.statements += statement
        self.aside.owners.append(number)
        self.quarantined += 1
        self.size += len(statement)
        if number < len(self.prints):
            self.prints[number] = None

    def remember(self, number: int, print_: tuple[Key, bytes]) -> None:
        """Keep what a document was when it was read, unless it was set aside."""
        self.prints += [None] * (number - len(self.prints))
        is_aside = self.aside is not None and number in self.aside.owners
        self.prints.append(None if is_aside else print_)

    @property
    def all_groups(self) -> list[Group]:
        """What is to be sent, in order."""
        groups = [*self.groups, self.aside] if self.aside else self.groups
        return [group for group in groups if group.owners]

    @property
    def counts(self) -> Counts:
        """What this chunk adds to what was counted before it."""
        return Counts(
            read=self.read,
            written=self.written,
            writes=self.writes,
            quarantined=self.quarantined,
            changed=self.changed,
        )

    def owner(self, number: int) -> Any:
        """Return the ``_id`` of the document that owns a statement."""
        return self._ids[number]

    def empty(self) -> None:
        """Let go of the writes; the counts stay. Two chunks must never be alive because one is named."""
        self.groups.clear()
        self.aside = None
        self.prints.clear()
        self._open.clear()
        self._ids.clear()
