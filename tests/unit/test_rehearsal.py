"""The one loop with writes that go nowhere: it counts what fails, and remembers nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import bson
import pytest

from chunkmigrate.errors import DoesNotFitError
from chunkmigrate.frontier import Segment
from chunkmigrate.memory import Reading
from chunkmigrate.rehearsal import SECONDS_PER_BYTE, NoCheckpoint, Rehearsal, Unsent
from chunkmigrate.sizing import MIB, Most
from tests.unit.making import Stored, backfill_of, key, set_a
from tests.unit.rooms import stored
from tests.unit.servers import Server, Session, chunk_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.backfill import Backfill


@dataclass
class Sent:
    """Takes commands, and keeps which ``_id``s they were for."""

    chunks: list[list[Any]] = field(default_factory=list)
    _unsent: Unsent = field(default_factory=lambda: Unsent(lambda _: None))

    def __getitem__(self, _: str) -> Sent:
        return self

    def command(self, command: dict[str, Any], **how: Any) -> dict[str, Any]:
        [(statements,)] = [value for value in command.values() if isinstance(value, list)]
        self.chunks.append([one["q"]["_id"] for one in bson.decode_all(bytes(statements.raw))])
        return self._unsent.command(command, **how)


def sensor(used: Callable[[], int] = lambda: 1, budget: int = 900 * MIB) -> Any:
    read = lambda: Reading(rss=used(), used=used(), budget=budget)  # noqa: E731
    return SimpleNamespace(rss_start=0, budget=SimpleNamespace(size=budget), read=read, peak=used)


def rehearsal_of(backfill: Backfill, *stretches: Segment, **options: Any) -> Rehearsal:
    everything = Segment(None, backfill.scan.upper_bound() or key(0))
    known: dict[str, Any] = {"writers": 1, "client": Unsent(lambda _: None)}
    checkpoint = NoCheckpoint(stretches or (everything,))
    return Rehearsal(backfill, checkpoint, options.pop("sensor", sensor()), **known | options)


def orders(count: int = 100, size: int = 0, transform: Any = set_a) -> Backfill:
    return backfill_of(transform, scan=Stored(stored(count, size)))


def test_all() -> None:
    """All documents of the stretches go through the loop, and come out as chunks."""
    rehearsal = rehearsal_of(orders())

    assert sum(result.read for result in rehearsal) == 100
    assert rehearsal.result.counts.read == rehearsal.result.counts.written == 100
    assert (rehearsal.result.stopped_by, rehearsal.result.needs) == ("", 0)
    assert dict(rehearsal.failures.counts) == {}


def test_stretches() -> None:
    """Only the stretches are read, each to its end, one behind the other."""
    sent = Sent()
    rehearsal = rehearsal_of(orders(), Segment(key(4), key(7)), Segment(key(90), key(92)), client=sent)
    list(rehearsal)

    assert sent.chunks == [[5, 6, 7], [91, 92]]


def test_most() -> None:
    """A chunk has no more documents than is asked for."""
    sent = Sent()
    list(rehearsal_of(orders(), client=sent, most=Most(chunk_documents=30)))

    assert [len(chunk) for chunk in sent.chunks] == [30, 30, 30, 10]


def test_failures() -> None:
    """Documents that fail are counted by reason and left out; a rehearsal does not end with the first."""
    picky = lambda order: set_a(order) if order["_id"] % 10 else 1 / 0  # noqa: E731
    rehearsal = rehearsal_of(orders(transform=picky))
    list(rehearsal)

    assert dict(rehearsal.failures.counts) == {"transform": 10}
    assert rehearsal.result.counts.quarantined == 10
    assert rehearsal.result.counts.written == 90
    assert len(rehearsal.failures.first) < 10


def test_does_not_fit() -> None:
    """A document that does not fit is left out, and the budget it asks for is the answer."""
    documents = [*stored(10), bson.encode({"_id": 10, "pad": bytes(8 * MIB)}), bson.encode({"_id": 11})]
    backfill = backfill_of(set_a, scan=Stored(documents))
    rehearsal = rehearsal_of(backfill, sensor=sensor(lambda: MIB, budget=12 * MIB))
    list(rehearsal)

    assert dict(rehearsal.failures.counts) == {DoesNotFitError.reason: 1}
    assert 12 * MIB < rehearsal.result.needs < 64 * MIB
    assert rehearsal.result.counts.read == 12


def test_memory() -> None:
    """Memory that does not come back ends a rehearsal as it ends a run, and that is told."""
    rehearsal = rehearsal_of(orders(20_000), sensor=sensor(lambda: 99 * MIB, budget=100 * MIB))
    list(rehearsal)

    assert rehearsal.result.stopped_by == "memory"
    assert rehearsal.result.counts.read < 20_000


def test_stopped() -> None:
    """Whose time is over stops a rehearsal, with what it has done."""
    seen = list[Any]()
    noted = lambda order: seen.append(order) or set_a(order)  # type: ignore[func-returns-value]  # noqa: E731
    rehearsal = rehearsal_of(orders(1_000, transform=noted), stopped=lambda: len(seen) >= 50)
    list(rehearsal)

    assert rehearsal.result.stopped_by == "stop"
    assert rehearsal.result.counts.read == len(seen) == 50


def test_sleeps() -> None:
    """An unsent message is held as long as a server might need for it."""
    slept, [group] = list[float](), chunk_of([1, 2, 3]).groups
    Unsent(slept.append)["shop"].command(group.command(ordered=True), codec_options=None, session=None)

    assert slept == [pytest.approx(len(group.statements) * SECONDS_PER_BYTE)]


def test_store() -> None:
    """What stands for a checkpoint is told of each chunk in the transaction of its writes."""
    server, told = Server(), list[Any]()
    checkpoint = NoCheckpoint(
        [Segment(None, key(9))], lambda slot, chunk, session: told.append((slot, chunk.number, session))
    )
    session: Any = Session(server)
    client: Any = server
    rehearsal = Rehearsal(orders(10), checkpoint, sensor(), writers=1, client=client, sessions=[session])
    list(rehearsal)

    assert told == [(0, 0, session)]
    assert server.happened[0] == "start"
    assert server.happened[-1] == "commit"


def test_before() -> None:
    """What was not rehearsed yet has no result."""
    with pytest.raises(ValueError, match="nothing was rehearsed"):
        _ = rehearsal_of(orders()).result


def test_together() -> None:
    """What is transformed together is rehearsed together, and its failures are those of single documents."""

    def each(some: Any) -> Any:
        if any(order["_id"] == 7 for order in some):
            raise ValueError
        return map(set_a, some)

    backfill = backfill_of(None, each_chunk=each, scan=Stored(stored(40)))
    rehearsal = rehearsal_of(backfill)
    list(rehearsal)

    assert dict(rehearsal.failures.counts) == {"transform": 1}
    assert rehearsal.result.counts.read == 40
