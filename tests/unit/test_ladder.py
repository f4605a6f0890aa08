"""The ladder: what becomes of a chunk that the server does not take as it is."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import DocumentTooLarge, ExecutionTimeout, OperationFailure

from chunkmigrate.checkpoint import AlreadyCommittedError
from chunkmigrate.errors import (
    ChunkTooMuchError,
    DocumentError,
    QuarantineFullError,
    TooLargeError,
    WriteRefusedError,
)
from chunkmigrate.executor import MAX_CONFLICTS, MAX_GUARDED_CONFLICTS, MAX_REFUSED, MAX_SLOW
from tests.unit.making import Stored, quarantine_of, set_a, transformer_of
from tests.unit.servers import Checkpoint, Server, chunk_of, executor_of, failing, passing, refused, run

ASIDE = {"migration": "m", "step": 0}


def refusing(*bad: Any, code: int = 121) -> Any:
    """The server refuses the first write for one of these documents."""

    def answer(ids: list[Any]) -> dict[str, Any] | None:
        places = [place for place, one in enumerate(ids) if one in bad]
        return refused(places[0], code) if places else None

    return answer


def tried(server: Server) -> list[list[Any]]:
    """The _ids of each command; documents that are put into quarantine by their _id, too."""
    return [
        [one["document"] if isinstance(one, dict) else one for one in happened[1]]
        for happened in server.happened
        if happened[0] == "write"
    ]


@pytest.mark.parametrize("bad", [[1], [4], [3], [1, 4], [2, 3], [1, 2, 3, 4]], ids=str)
def test_refused(bad: list[int]) -> None:
    """A chunk of which the server refuses documents is tried without them; they go into quarantine in the
    transaction that writes the others.
    """
    server = Server(refusing(*bad))
    [committed] = run(executor_of(server), chunk_of([1, 2, 3, 4]))
    good = [number for number in (1, 2, 3, 4) if number not in bad]

    assert server.stored == [*good, *(ASIDE | {"document": number} for number in bad)]
    assert server.happened.count("abort") == len(bad)
    assert (committed.chunk.written, committed.chunk.quarantined) == (len(good), len(bad))


@pytest.mark.parametrize(
    ("code", "kind"),
    [(121, WriteRefusedError), (11000, WriteRefusedError), (10334, TooLargeError), (17419, TooLargeError)],
)
def test_stops(code: int, kind: type[DocumentError]) -> None:
    """Without a quarantine the document that is refused stops the run, by name, and nothing is written."""
    transformer = transformer_of(set_a, quarantine=quarantine_of(enabled=False))
    server = Server(refusing(3, code=code))
    checkpoint = Checkpoint(server)
    with pytest.raises(kind) as caught:
        run(executor_of(server, checkpoint, transformer), chunk_of([1, 2, 3, 4], transformer=transformer))

    assert type(caught.value) is kind
    assert (caught.value.document_id, getattr(caught.value, "code", code)) == (3, code)
    assert str(caught.value) == (
        f"MongoDB refused the write for document _id 3: Document failed validation (code {code}). Nothing of "
        "its chunk was written; everything before it is committed. Fix the transform or the document and run "
        "again."
    )
    assert (server.stored, checkpoint.acknowledged) == ([], [])


def test_full() -> None:
    """Where more documents are refused than may be set aside, the run stops and nothing is written."""
    server = Server(refusing(1, 2, 3))
    with pytest.raises(QuarantineFullError):
        run(
            executor_of(server, transformer=transformer_of(set_a, quarantine=quarantine_of(limit=2))),
            chunk_of([1, 2, 3, 4]),
        )

    assert server.stored == []


def test_refused_later() -> None:
    """A document is refused, and its chunk meets a passing failure: it is set aside once."""
    errors = [passing(), passing()]

    def answer(ids: list[Any]) -> dict[str, Any] | None:
        if 2 not in ids and errors:
            raise errors.pop()
        return refusing(2)(ids)

    server = Server(answer)
    run(executor_of(server), chunk_of([1, 2, 3]))

    assert server.stored == [1, 3, ASIDE | {"document": 2}]


@pytest.mark.parametrize("code", [11600, 91, 189, 10107])
def test_not_the_documents(code: int) -> None:
    """A write that meets a server which is going down is no document's fault: all of it is tried again."""
    answers = [refused(1, code, "interrupted at shutdown")]
    server = Server(lambda _: answers.pop() if answers else None)
    [committed] = run(executor_of(server), chunk_of([1, 2, 3]))

    assert (server.stored, committed.chunk.quarantined) == ([1, 2, 3], 0)


@pytest.mark.parametrize("code", [14031, 8000])
def test_disk_full(code: int) -> None:
    """A server that has no room for a write has none for the others either: the run stops."""
    server = Server(lambda _: refused(1, code, "no space left"))
    with pytest.raises(OperationFailure, match="no space left") as caught:
        run(executor_of(server), chunk_of([1, 2, 3]))

    assert caught.value.code == code
    assert server.stored == []


def test_quarantine_refused() -> None:
    """Where the server refuses what is to be kept of a document, the run stops: it cannot be set aside."""
    closed = refused(0, 121, "quarantine is closed")
    server = Server(lambda ids: closed if isinstance(ids[0], dict) else refusing(2)(ids))
    with pytest.raises(OperationFailure, match="quarantine is closed"):
        run(executor_of(server), chunk_of([1, 2, 3]))

    assert server.stored == []
    assert tried(server) == [[1, 2, 3], [1, 3], [2]]


def test_too_large() -> None:
    """A command of one document's writes that the driver does not send names the document."""
    server = Server(failing(DocumentTooLarge("BSON document too large")))
    run(executor_of(server), chunk_of([7]))

    assert server.stored == [ASIDE | {"document": 7}]


def test_too_large_together() -> None:
    """A command of several documents that is too large asks for fewer of them."""
    server = Server(failing(DocumentTooLarge("BSON document too large")))
    with pytest.raises(ChunkTooMuchError, match="MongoDB could not commit 4 documents together") as caught:
        run(executor_of(server), chunk_of([1, 2, 3, 4]))

    assert (caught.value.documents, server.stored) == (4, [])


def test_mostly_refused() -> None:
    """A chunk of which document after document is refused asks for fewer, instead of a try for each."""
    ids = [*range(100)]
    enough = Server(refusing(*ids[:MAX_REFUSED]))
    [committed] = run(executor_of(enough), chunk_of(ids))
    server = Server(refusing(*ids[: MAX_REFUSED + 1]))
    with pytest.raises(ChunkTooMuchError, match="refused more than 32 of 100 documents") as caught:
        run(executor_of(server), chunk_of(ids))

    assert (committed.chunk.quarantined, caught.value.documents) == (MAX_REFUSED, 100)
    assert server.stored == []


TOO_MUCH = OperationFailure("transaction is too large", 388)


def test_too_much() -> None:
    """A transaction that the server will never commit asks for fewer documents; of one document it is
    refused.
    """
    with pytest.raises(ChunkTooMuchError):
        run(executor_of(Server(failing(TOO_MUCH))), chunk_of([1, 2]))
    server = Server(failing(TOO_MUCH))
    run(executor_of(server), chunk_of([7]))

    assert server.stored == [ASIDE | {"document": 7}]


@pytest.mark.parametrize(
    ("failure", "most"),
    [(lambda: passing(112), MAX_CONFLICTS), (lambda: ExecutionTimeout("too slow", 50), MAX_SLOW)],
    ids=["conflict", "slow"],
)
def test_patience(failure: Any, most: int) -> None:
    """A chunk that loses against others, or takes too long, is tried so often, then asks for fewer documents;
    one of a single document is tried for as long as there is time.
    """
    enough = Server(failing(*(failure() for _ in range(most))))
    run(executor_of(enough), chunk_of([1, 2]))
    with pytest.raises(ChunkTooMuchError, match="could not commit 2 documents together") as caught:
        run(executor_of(Server(failing(*(failure() for _ in range(most + 1))))), chunk_of([1, 2]))
    single = Server(failing(*(failure() for _ in range(most + 3))))
    run(executor_of(single), chunk_of([7]))

    assert caught.value.__cause__ is not None
    assert (enough.stored, single.stored) == ([1, 2], [7])


def test_patience_guarded() -> None:
    """A chunk that is compared with what was read loses less often before it is made smaller: its documents
    are edited all that time.
    """
    conflicts = [passing(112) for _ in range(MAX_GUARDED_CONFLICTS + 1)]
    nothing = Stored([])
    enough = Server(failing(*conflicts[1:]))
    run(executor_of(enough, guarded=nothing), chunk_of([1, 2]))
    with pytest.raises(ChunkTooMuchError, match="could not commit 2 documents together"):
        run(executor_of(Server(failing(*conflicts)), guarded=nothing), chunk_of([1, 2]))

    assert enough.stored == [1, 2]


def test_patience_unknown() -> None:
    """While a try may have been committed no smaller chunk is made, which would do it twice: it is asked
    until that is known.
    """
    conflicts = [passing() for _ in range(MAX_CONFLICTS + 3)]

    class Locked(Checkpoint):
        def verify(self, *_: Any) -> None:
            raise conflicts.pop() if conflicts else AlreadyCommittedError

    def lost() -> None:
        server.end(committed=True)
        raise passing(50, "UnknownTransactionCommitResult")

    server = Server(before_commit=lost)
    checkpoint = Locked(server)
    [committed] = run(executor_of(server, checkpoint), chunk_of([1, 2]))

    assert (server.stored, checkpoint.acknowledged, committed.chunk.read) == ([1, 2], [0], 2)
    assert conflicts == []


def joined() -> Any:
    return transformer_of(each_chunk=lambda orders: map(set_a, orders))


def test_joined() -> None:
    """Of documents that were transformed together none is named: the chunk asks for fewer, down to one."""
    transformer = joined()
    with pytest.raises(
        ChunkTooMuchError, match="refused one of 3 documents: Document failed validation"
    ) as caught:
        run(
            executor_of(Server(refusing(2)), transformer=transformer),
            chunk_of([1, 2, 3], transformer=transformer),
        )
    server = Server(refusing(2))
    run(executor_of(server, transformer=transformer), chunk_of([2], transformer=transformer))

    assert caught.value.documents == 3
    assert server.stored == [ASIDE | {"document": 2}]


def test_no_secrets() -> None:
    """What the server says is shown without a password."""
    said = "could not reach mongodb://user:secret@host"
    transformer = transformer_of(set_a, quarantine=quarantine_of(enabled=False))
    with pytest.raises(WriteRefusedError) as caught:
        run(
            executor_of(Server(lambda _: refused(0, 121, said)), transformer=transformer),
            chunk_of([1], transformer=transformer),
        )

    assert "secret" not in str(caught.value)
    assert "mongodb://user:***@host" in str(caught.value)
