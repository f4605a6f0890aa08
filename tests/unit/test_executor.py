"""The executor: chunks on several threads, each in one transaction with its position."""

from __future__ import annotations

import threading
from threading import Event
from typing import Any

import bson
import pytest
from pymongo import UpdateOne
from pymongo.errors import AutoReconnect, OperationFailure

from chunkmigrate.checkpoint import AlreadyCommittedError
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import ChunkTooMuchError, SupersededError, WriteRefusedError
from chunkmigrate.executor import EDITED_LEAST, MAX_AHEAD
from chunkmigrate.unchanged import print_of
from tests.unit.making import Stored, key, quarantine_of, set_a, transformer_of
from tests.unit.rooms import stored
from tests.unit.servers import Checkpoint, Server, chunk_of, executor_of, failing, passing, refused, run


def test_together() -> None:
    """A chunk's writes and its position are one transaction; then it counts, and holds nothing any more."""
    server = Server()
    checkpoint, chunk = Checkpoint(server), chunk_of([1, 2, 3])
    [committed] = run(executor_of(server, checkpoint), chunk)

    assert server.happened == ["start", ("write", [1, 2, 3]), ("position", 0), "commit"]
    assert checkpoint.acknowledged == [0]
    assert committed.chunk is chunk
    assert committed.seconds >= 0
    assert chunk.all_groups == []
    assert chunk.read == 3


def test_aside() -> None:
    """What a chunk sets aside is written in the same transaction, behind its writes."""
    server = Server()
    transformer = transformer_of(lambda order: set_a(order) if order["_id"] != 2 else 1 / 0)
    run(executor_of(server), chunk_of([1, 2, 3], transformer=transformer))

    identity = {"migration": "m", "step": 0, "document": 2}
    assert server.happened[1:-2] == [("write", [1, 3]), ("write", [identity])]


def test_again() -> None:
    """What passes is tried again as a whole, in a transaction of its own, once it is known not to be done."""
    server = Server(failing(passing(), AutoReconnect("gone")))
    checkpoint = Checkpoint(server)
    run(executor_of(server, checkpoint), chunk_of([1, 2]))
    tried = ["start", ("write", [1, 2]), "abort"]

    assert server.happened[:-5] == [*tried, tried[0], "verify", *tried[1:]]
    assert server.happened[-5:] == ["start", "verify", ("write", [1, 2]), ("position", 0), "commit"]
    assert (server.stored, checkpoint.acknowledged) == ([1, 2], [0])


def test_given_up() -> None:
    """What does not pass in the time there is for it is raised as it came, and nothing counts as done."""
    error = AutoReconnect("gone")

    def gone(_: list[Any]) -> None:
        raise error

    server = Server(gone)
    checkpoint = Checkpoint(server)
    with pytest.raises(AutoReconnect) as caught:
        run(executor_of(server, checkpoint), chunk_of([1]))

    assert caught.value is error
    assert (server.stored, checkpoint.acknowledged) == ([], [])
    assert server.happened.count("start") > 3


def test_failure() -> None:
    """What will never pass is tried once."""
    server = Server(failing(OperationFailure("not authorized", 13)))
    with pytest.raises(OperationFailure, match="not authorized"):
        run(executor_of(server), chunk_of([1]))

    assert server.happened == ["start", ("write", [1]), "abort"]


def test_done_already() -> None:
    """A try whose answer was lost, and which got through, counts; nothing of it is written again."""
    server = Server()
    checkpoint = Checkpoint(server)
    lost = [AutoReconnect("gone")]

    def before_commit() -> None:
        if lost:
            checkpoint.refusal = AlreadyCommittedError()
            server.end(committed=True)
            raise lost.pop()

    server.before_commit = before_commit
    [committed] = run(executor_of(server, checkpoint), chunk_of([1, 2]))

    assert (server.stored, checkpoint.acknowledged, committed.chunk.read) == ([1, 2], [0], 2)
    assert server.happened.count(("write", [1, 2])) == 1


def test_superseded() -> None:
    """A run whose lease was taken away writes nothing."""
    server = Server()
    checkpoint = Checkpoint(server, SupersededError())
    with pytest.raises(SupersededError):
        run(executor_of(server, checkpoint), chunk_of([1]))

    assert (server.stored, checkpoint.acknowledged) == ([], [])
    assert server.happened[-1] == "abort"


def test_standalone() -> None:
    """Without transactions it is asked first whether the chunk may still be written; the position follows."""
    server = Server(failing(AutoReconnect("gone")))
    run(executor_of(server, transactions=False), chunk_of([1, 2]))

    once = ["verify", ("write", [1, 2])]
    assert server.happened == [*once, *once, ("position", 0)]


def test_standalone_superseded() -> None:
    """Without transactions, too, a run whose lease was taken away writes nothing."""
    server = Server()
    with pytest.raises(SupersededError):
        run(executor_of(server, Checkpoint(server, SupersededError()), transactions=False), chunk_of([1]))

    assert server.happened == ["verify"]


class Gate:
    """Holds back the writes of chosen chunks until they are let through."""

    def __init__(self, *held: Any) -> None:
        self.events = {one: Event() for one in held}
        self.begun = threading.Semaphore(0)

    def __call__(self, ids: list[Any]) -> None:
        self.begun.release()
        if ids[0] in self.events:
            assert self.events[ids[0]].wait(10)


def test_out_of_order() -> None:
    """While one chunk is held up others are committed, each told of once."""
    gate = Gate(0)
    server = Server(gate)
    checkpoint = Checkpoint(server)
    with executor_of(server, checkpoint, writers=2) as executor:
        told = [one for number in range(4) for one in executor.submit(chunk_of([number], number), 10**9)]
        gate.events[0].set()
        told += executor.drain()

    assert sorted(one.chunk.number for one in told) == [0, 1, 2, 3]
    assert checkpoint.acknowledged.index(0) >= 2


@pytest.mark.parametrize("fails", [{0, 1}, {1}])
def test_first_failure(fails: set[int]) -> None:
    """A failure is told once all chunks before it are done with, and of two the one that comes first."""
    gate = Gate(0)

    def answer(ids: list[Any]) -> dict[str, Any] | None:
        gate(ids)
        return refused(0) if ids[0] in fails else None

    server = Server(answer)
    checkpoint = Checkpoint(server)
    stopping = transformer_of(set_a, quarantine=quarantine_of(enabled=False))
    with executor_of(server, checkpoint, stopping, writers=2) as executor:
        executor.submit(chunk_of([0], 0), 10**9)
        executor.submit(chunk_of([1], 1), 10**9)
        threading.Timer(0.05, gate.events[0].set).start()
        with pytest.raises(WriteRefusedError) as caught:
            executor.drain()

    assert caught.value.document_id == min(fails)
    assert checkpoint.acknowledged == [0][: 0 not in fails]


def test_ahead() -> None:
    """Nothing is begun further ahead of a chunk that is held up than may be kept on record."""
    gate = Gate(0)
    server = Server(gate)
    with executor_of(server, writers=2) as executor:
        for number in range(MAX_AHEAD):
            executor.submit(chunk_of([number], number), 10**9)
        threading.Timer(0.05, gate.events[0].set).start()
        executor.submit(chunk_of([MAX_AHEAD], MAX_AHEAD), 10**9)

        assert gate.events[0].is_set()
        executor.drain()


@pytest.mark.parametrize(("most", "both"), [(2, True), (1, False), (0, False)])
def test_bytes(*, most: int, both: bool) -> None:
    """No more bytes are in flight than may be, but for a chunk that is larger alone."""
    gate = Gate(0)
    server = Server(gate)
    first, second = chunk_of([0], 0), chunk_of([1], 1)
    with executor_of(server, writers=2) as executor:
        executor.submit(first, most * first.size)
        if not both:
            threading.Timer(0.05, gate.events[0].set).start()
        executor.submit(second, most * first.size)

        assert gate.events[0].is_set() is not both
        gate.events[0].set()
        executor.drain()
        assert executor.in_flight == 0


def test_leaving() -> None:
    """Whoever leaves early waits for what is in flight, which is not tried again."""
    gate, error = Gate(0), passing()

    def held(ids: list[Any]) -> None:
        gate(ids)
        raise error

    server = Server(held)

    def leave() -> None:
        with executor_of(server) as executor:
            executor.submit(chunk_of([0]), 10**9)
            assert gate.begun.acquire(timeout=10)
            threading.Timer(0.05, gate.events[0].set).start()
            raise KeyError

    with pytest.raises(KeyError):
        leave()

    assert server.happened == ["start", ("write", [0]), "abort"]


def test_changed() -> None:
    """A chunk of which documents were edited is not written, but made anew by the caller's own thread."""
    threads = []

    def price(order: dict[str, Any]) -> UpdateOne:
        threads.append(threading.current_thread())
        return UpdateOne({"_id": order["_id"]}, {"$set": {"a": len(order["pad"])}})

    server, transformer = Server(), transformer_of(price)
    chunk, read = Chunk(0, None, key(2)), stored(3)
    for number, document in enumerate(read):
        transformer.add(chunk, bson.decode(document))
        chunk.remember(number, (key(number), print_of(document)))
    now = Stored([read[0], bson.encode({"_id": 1, "pad": bytes(5)})])
    [committed] = run(executor_of(server, transformer=transformer, guarded=now), chunk)

    assert server.happened[:2] == ["start", "abort"]
    assert server.stored == [0, 1]
    assert (committed.chunk.changed, committed.chunk.written) == (2, 2)
    assert set(threads) == {threading.current_thread()}


def edited(server: Server, count: int, of: int) -> Any:
    """A run of a chunk of documents, so many of which were edited since they were read."""
    transformer, read = transformer_of(set_a), stored(of)
    chunk = Chunk(0, None, key(of - 1))
    for number, document in enumerate(read):
        transformer.add(chunk, bson.decode(document))
        chunk.remember(number, (key(number), print_of(document)))
    now = Stored([*(bson.encode({"_id": n, "pad": bytes(5)}) for n in range(count)), *read[count:]])
    return run(executor_of(server, transformer=transformer, guarded=now), chunk)


@pytest.mark.parametrize("of", [EDITED_LEAST, 8 * EDITED_LEAST])
def test_edited_faster(of: int) -> None:
    """A chunk whose documents are edited faster than it is written asks for fewer of them; where it is but a
    few that are, these are made anew where they are.
    """
    server = Server()
    with pytest.raises(ChunkTooMuchError, match=f"{EDITED_LEAST} of {of} documents were edited") as caught:
        edited(server, EDITED_LEAST, of)
    untouched = [*server.stored]
    [committed] = edited(server, EDITED_LEAST - 1, of)

    assert caught.value.documents == of
    assert untouched == []
    assert committed.chunk.changed == EDITED_LEAST - 1
    assert sorted(server.stored) == [*range(of)]
