"""Chunks: writes that wait for the server as encoded BSON, and become its commands.

A write held as Python objects costs up to ten times its size; held as BSON it costs its size, and that
size is known. How a write is encoded is ``writes``' business; when a chunk is full is ``pipeline``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson.raw_bson import RawBSONDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.raw import Key

# One command carries at most this much, however much a single document's writes add up to: the server
# takes 48 MB a message, and a message is held twice while it is built.
COMMAND_BYTES = 16 * 1024 * 1024
COMMAND_STATEMENTS = 1_000

_FIELD = {"insert": "documents", "update": "updates", "delete": "deletes"}


@dataclass(slots=True)
class Group:
    """Statements of one kind for one collection, in order."""

    namespace: str
    kind: str
    statements: list[bytes] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Chunk:
    """The writes between two checkpoints: committed together, or not at all.

    ``after`` and ``through`` bound the documents it covers; ``number`` is its place in the step, from 0.
    """

    number: int
    after: Key | None
    through: Key | None = None
    read: int = 0
    written: int = 0
    writes: int = 0
    size: int = 0
    groups: list[Group] = field(default_factory=list)
    _open: dict[str, Group] = field(default_factory=dict)
    _ids: list[Any] = field(default_factory=list)

    def add(self, namespace: str, kind: str, statement: bytes) -> None:
        """Append one encoded statement, owned by the document begun last.

        Statements for one collection keep their order. Those for different collections commute, so
        they are grouped: a chunk that writes to two collections in turn is two commands, not thousands.
        """
        group = self._open.get(namespace)
        if group is None or group.kind != kind:
            group = self._open[namespace] = Group(namespace, kind)
            self.groups.append(group)
        group.statements.append(statement)
        group.owners.append(self.read)
        self.size += len(statement)
        self.writes += 1

    def close(self, document_id: Any, writes: int) -> None:
        """Count the document whose writes were added last."""
        self._ids.append(document_id)
        self.read += 1
        self.written += writes > 0

    @property
    def skipped(self) -> int:
        """Documents that needed no write."""
        return self.read - self.written

    def commands(self) -> Iterator[tuple[str, dict[str, Any], list[int]]]:
        """Yield database, command and the owners of its statements."""
        for group in self.groups:
            database, _, collection = group.namespace.partition(".")
            for start, end in _slices(group.statements):
                statements = [RawBSONDocument(statement) for statement in group.statements[start:end]]
                command = {group.kind: collection, _FIELD[group.kind]: statements, "ordered": True}
                yield database, command, group.owners[start:end]

    def owner(self, number: int) -> Any:
        """Return the ``_id`` of the document that owns a statement."""
        return self._ids[number]

    def empty(self) -> None:
        """Let go of the writes; the counts stay. Two chunks must never be alive because one is named."""
        self.groups.clear()
        self._open.clear()
        self._ids.clear()


def _slices(statements: list[bytes]) -> Iterator[tuple[int, int]]:
    start, size = 0, 0
    for index, statement in enumerate(statements):
        if index > start and (size + len(statement) > COMMAND_BYTES or index - start >= COMMAND_STATEMENTS):
            yield start, index
            start, size = index, 0
        size += len(statement)
    yield start, len(statements)
