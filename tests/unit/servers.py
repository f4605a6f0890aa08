"""What the executor's tests have for a server, sessions and a checkpoint: they answer as they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import bson
from pymongo.errors import OperationFailure

from chunkmigrate.chunks import Chunk
from chunkmigrate.executor import BulkExecutor
from chunkmigrate.retry import Retry
from tests.unit.making import key, set_a, transformer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkmigrate.executor import Committed
    from chunkmigrate.transforming import Transformer


@dataclass
class Server:
    """A server, as its own client. ``answer`` is asked what to say to the _ids that a command writes; what it
    raises is raised. ``happened`` is what it was asked, in order.
    """

    answer: Callable[[list[Any]], dict[str, Any] | None] = lambda _: None
    happened: list[Any] = field(default_factory=list)
    stored: list[Any] = field(default_factory=list)
    before_commit: Callable[[], None] = lambda: None
    _written: list[Any] = field(default_factory=list)

    def __getitem__(self, _: str) -> Self:
        return self

    def command(self, command: dict[str, Any], *, session: Any, codec_options: Any) -> dict[str, Any]:  # noqa: ARG002
        [field_] = command.keys() - {"insert", "update", "delete", "ordered"}
        statements = bson.decode_all(command[field_][0].raw)
        ids = [one["q"]["_id"] for one in statements]
        self.happened.append(("write", ids))
        reply = self.answer(ids)
        self._written += ids
        if session is None:
            self.end(committed=True)
        return reply or {"ok": 1}

    def end(self, *, committed: bool) -> None:
        """Keep what was written, or forget it."""
        if committed:
            self.stored += self._written
        self._written = []


@dataclass
class Session:
    """A session of the server: a transaction is whatever happens until its end."""

    server: Server
    in_transaction: bool = False

    def start_transaction(self, **_: Any) -> None:
        self.in_transaction = True
        self.server.happened.append("start")

    def commit_transaction(self) -> None:
        self.server.before_commit()
        self.in_transaction = False
        self.server.happened.append("commit")
        self.server.end(committed=True)

    def abort_transaction(self) -> None:
        self.in_transaction = False
        self.server.happened.append("abort")
        self.server.end(committed=False)


@dataclass
class Checkpoint:
    """A checkpoint whose refusals are set by hand."""

    server: Server
    refusal: Exception | None = None
    acknowledged: list[int] = field(default_factory=list)

    def verify(self, _slot: int, _chunk: Chunk, _session: Any) -> None:
        self.server.happened.append("verify")
        if self.refusal:
            raise self.refusal

    def commit(self, _slot: int, chunk: Chunk, _session: Any) -> None:
        self.server.happened.append(("position", chunk.number))
        if self.refusal:
            raise self.refusal

    def acknowledge(self, _slot: int, chunk: Chunk) -> None:
        self.acknowledged.append(chunk.number)


def executor_of(
    server: Server,
    checkpoint: Checkpoint | None = None,
    transformer: Transformer | None = None,
    *,
    writers: int = 1,
    transactions: bool = True,
    **options: Any,
) -> BulkExecutor:
    """An executor that tries again for a minute, in no time."""
    sessions = [Session(server) if transactions else None for _ in range(writers)]
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    retry = Retry(seconds=60, sleep=sleep, clock=lambda: now[0], chance=lambda: 1.0)
    parts = server, checkpoint or Checkpoint(server), transformer or transformer_of(set_a)
    return BulkExecutor(*cast("Any", parts), sessions=cast("Any", sessions), retry=retry, **options)


def chunk_of(ids: Sequence[Any], number: int = 0, transformer: Transformer | None = None) -> Chunk:
    """A chunk that sets a field of these documents."""
    transformer = transformer or transformer_of(set_a)
    chunk = Chunk(number, None, key(ids[-1]), joined=transformer.joined)
    documents = [{"_id": one} for one in ids]
    if transformer.joined:
        transformer.add_joined(chunk, documents, [*map(bson.encode, documents)])
    else:
        for document in documents:
            transformer.add(chunk, document)
    return chunk


def run(executor: BulkExecutor, *chunks: Chunk) -> list[Committed]:
    """What is committed of these chunks, one after the other."""
    committed = []
    with executor:
        for chunk in chunks:
            committed += executor.submit(chunk, 10**9)
        return committed + executor.drain()


def refused(place: int, code: int = 121, reason: str = "Document failed validation") -> dict[str, Any]:
    """The answer to a command of which one statement is refused."""
    return {"ok": 1, "writeErrors": [{"index": place, "code": code, "errmsg": reason}]}


def passing(code: int = 112, label: str = "TransientTransactionError") -> OperationFailure:
    """A failure that passes."""
    return OperationFailure("Write conflict", code, {"errorLabels": [label]})


def failing(*errors: Exception) -> Callable[[list[Any]], None]:
    """Raise these errors in turn; then all goes well."""
    left = list(errors)

    def answer(_: list[Any]) -> None:
        if left:
            raise left.pop(0)

    return answer
