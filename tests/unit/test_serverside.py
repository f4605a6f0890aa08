"""The loop of windows: how they grow, shrink and find a document at fault, on a clock set by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from chunkmigrate.checkpoint import AlreadyCommittedError
from chunkmigrate.errors import QuarantineFullError, WriteRefusedError
from chunkmigrate.frontier import Segment
from chunkmigrate.ranged import Done
from chunkmigrate.retry import Retry
from chunkmigrate.serverside import ServerSide
from chunkmigrate.turn import Turn
from tests.unit.engine import SENSOR
from tests.unit.making import key, number_of, quarantine_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.pipeline import ChunkResult
    from chunkmigrate.raw import Key

ROUND_TRIP = 0.02


class Client:
    """Answers whatever is sent to quarantine, and has measured the way there."""

    member = SimpleNamespace(is_writable=True, round_trip_time=ROUND_TRIP)
    topology_description = SimpleNamespace(server_descriptions=lambda: {"member": Client.member})

    def __getitem__(self, _database: str) -> Any:
        return SimpleNamespace(command=lambda *_, **__: {})


@dataclass
class Server:
    """Documents 0 to ``count`` - 1, each of which takes ``seconds`` to update; the ``bad`` are refused.

    It is scan, update and checkpoint in one, and keeps what was committed. ``fails`` are raised in turn by
    updates, None lets one through; ``committed_unheard`` says that a lost answer was that of a commit.
    """

    count: int
    seconds: Callable[[int], float] = lambda _: 0.0
    bad: frozenset[int] = frozenset()
    fails: list[Exception | None] = field(default_factory=list)
    committed_unheard: bool = False
    now: float = 0.0
    stored: list[int] = field(default_factory=list)
    windows: list[tuple[int, int]] = field(default_factory=list)
    sizes: Any = None
    intent: Any = None
    done = False
    filter: Any = field(default_factory=dict)
    hint = None
    next_number: int = 0
    position: Key | None = None
    aside: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.collection = SimpleNamespace(database=SimpleNamespace(client=Client()))

    @property
    def scan(self) -> Server:
        return self

    def average_size(self) -> int:
        return 300

    def keys(self, after: Key | None, upto: Key, _limit: int, *, skip: int) -> list[Key]:
        number = (-1 if after is None else number_of(after)) + skip + 1
        return [key(number)] if number < number_of(upto) else []

    def check(self) -> None:
        """It can be made."""

    def apply(self, after: Key | None, through: Key, _session: None) -> Done:
        first = 0 if after is None else number_of(after) + 1
        return self._update(range(first, number_of(through) + 1))

    def apply_to(self, through: Key, _session: None) -> Done:
        return self._update(range(number_of(through), number_of(through) + 1))

    def _update(self, numbers: range) -> Done:
        self.now += ROUND_TRIP + sum(map(self.seconds, numbers))
        failure = self.fails.pop(0) if self.fails else None
        if failure and self.committed_unheard:
            self.stored += numbers
        if failure:
            raise failure
        if self.bad.intersection(numbers):
            raise OperationFailure("of no use: 'secret'", 121)
        return Done(len(numbers), len(numbers))

    def segments(self) -> list[Segment]:
        return [Segment(None, key(self.count - 1))]

    def intend(self, intent: Any) -> None:
        self.intent = intent

    def verify(self, _slot: int, chunk: Any, _session: None) -> None:
        if number_of(chunk.through) in self.stored:
            raise AlreadyCommittedError

    def commit(self, _slot: int, chunk: Any, _session: None) -> None:
        first = 0 if chunk.after is None else number_of(chunk.after) + 1
        self.windows.append((first, number_of(chunk.through)))
        if chunk.aside:
            self.aside.append(first)
        else:
            self.stored += range(first, number_of(chunk.through) + 1)

    def acknowledge(self, _slot: int, chunk: Any) -> None:
        self.next_number = chunk.number + 1


def results(server: Server, **options: Any) -> list[ChunkResult]:
    """All windows, to the end."""
    given: Any = server
    throttle: Any = SimpleNamespace(reason=lambda: None, committed=lambda *_: None)
    never = lambda: False  # noqa: E731
    attempt = ServerSide(
        given,
        given,
        options.pop("quarantine", quarantine_of()),
        SENSOR,
        session=None,
        stopped=options.pop("stopped", never),
        retry=Retry(sleep=lambda _: None),
        throttle=throttle,
        turn=Turn(throttle, stopped=never, paused=lambda _: None, waited=lambda *_: None),
        clock=lambda: server.now,
        **options,
    )
    return [*attempt]


def lengths(server: Server) -> list[int]:
    return [last - first + 1 for first, last in server.windows]


def test_windows_grow() -> None:
    """Quick windows double, whatever the network takes, and every document is in one of them."""
    server = Server(20_000)
    done = results(server)

    assert lengths(server)[:5] == [250, 500, 1_000, 2_000, 4_000]
    assert server.stored == list(range(20_000))
    assert [result.number for result in done] == list(range(len(done)))


def test_windows_shrink() -> None:
    """Where documents take longer, windows have fewer, and more once they take less again."""
    server = Server(4_000, seconds=lambda number: 0.002 if 1_000 <= number < 2_000 else 0.0001)
    results(server)

    slow = [last - first + 1 for first, last in server.windows if first >= 1_625 and last < 2_000]
    assert slow
    assert all(25 <= length <= 100 for length in slow)
    assert lengths(server)[-2] > 400
    assert server.stored == list(range(4_000))


@pytest.mark.parametrize("bad", [0, 617, 1_999])
def test_document_at_fault(bad: int) -> None:
    """One refused document is set aside alone, and all the others are updated once."""
    server = Server(2_000, bad=frozenset({bad}))
    done = results(server)

    assert server.aside == [bad]
    assert server.stored == [number for number in range(2_000) if number != bad]
    assert sum(result.counts.quarantined for result in done) == 1
    assert sum(result.read for result in done) == 2_000


def test_stops() -> None:
    """Without quarantine the refused document stops it, by its `_id` and without what it holds."""
    server = Server(2_000, bad=frozenset({617}))
    with pytest.raises(WriteRefusedError, match="_id 617") as caught:
        results(server, quarantine=quarantine_of(enabled=False))

    assert server.stored == list(range(617))
    assert "secret" not in caught.value.discreet


def test_quarantine_is_limited() -> None:
    """One more document than may be set aside stops it."""
    with pytest.raises(QuarantineFullError):
        results(Server(100, bad=frozenset({5, 50})), quarantine=quarantine_of(limit=1))


def test_conflicts_halve() -> None:
    """A window that lost twice is tried as half of it."""
    conflict = OperationFailure("conflict", 112)
    server = Server(1_000, fails=[conflict, conflict])
    results(server)

    assert lengths(server)[0] == 125
    assert server.stored == list(range(1_000))


def test_lost_answer() -> None:
    """A window whose answer was lost is not updated again where it was committed."""
    server = Server(1_000, fails=[None, AutoReconnect("lost")], committed_unheard=True)
    results(server)

    assert server.stored == list(range(1_000))


def test_stop() -> None:
    """Asked to stop, it ends behind the window at hand."""
    server = Server(1_000)
    results(server, stopped=lambda: len(server.windows) == 2)

    assert server.stored == list(range(750))
