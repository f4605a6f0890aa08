"""The throttle: which signal pauses a run, for how long, and in which words."""

from __future__ import annotations

import heapq
import random
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import pacing
from chunkmigrate.load import Load
from chunkmigrate.throttle import Reason, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

IDLE = Load()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    """One that nothing but commits and overload concerns; its pauses are the longest that chance allows."""
    return Throttle(lambda: IDLE, clock=clock, chance=lambda: 1.0)


def paused(throttle: Throttle, clock: Clock, *, at_most: float = 1_000.0) -> float:
    """Wait as a pipeline does until the next chunk may go; the seconds it took."""
    began = clock.now
    while reason := throttle.reason():
        assert 0 < reason.seconds <= pacing.ASK_SECONDS
        clock.now += reason.seconds
        assert clock.now - began <= at_most, f"still waiting: {reason}"
    return clock.now - began


def said(reason: Reason | None) -> str:
    return str(reason or "")


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(), ""),
        (Load(0.0, flow_control=False), ""),
        (Load(10.0, flow_control=None), ""),
        (Load(10.1, flow_control=None), "replication lag 11 s > 10 s"),
        (Load(14.0, flow_control=False), "replication lag 14 s > 10 s"),
        (Load(3_700.0), "replication lag 3,700 s > 10 s"),
        (Load(None, flow_control=True), "flow control lagged = true"),
        (Load(14.0, flow_control=True), "flow control lagged = true"),
    ],
)
def test_load(clock: Clock, load: Load, expected: str) -> None:
    """A run pauses while flow control says it lags, or a secondary is more than ten seconds behind."""
    assert said(Throttle(lambda: load, clock=clock).reason()) == expected


def test_load_ends(clock: Clock) -> None:
    """A pause for load ends with the reading that shows it is over."""
    loads = [Load(11.0), Load(11.0), IDLE]
    throttle = Throttle(lambda: loads.pop(0), clock=clock)

    assert paused(throttle, clock) == 2 * pacing.ASK_SECONDS


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, ""),
        (2.0, ""),
        (2.001, "commit latency 2.1 s > 2 s"),
        (2.2, "commit latency 2.2 s > 2 s"),
        (2.4, "commit latency 2.4 s > 2 s"),
        (3.0, "commit latency 3 s > 2 s"),
        (1234.5, "commit latency 1,234.5 s > 2 s"),
    ],
)
def test_latency(throttle: Throttle, seconds: float, expected: str) -> None:
    """A commit of more than two seconds pauses a run, and is never shown as the two seconds it is above."""
    throttle.committed(1_000, seconds)

    assert said(throttle.reason()) == expected


@pytest.mark.parametrize(("seconds", "pause"), [(2.5, 2.5), (12.0, 12.0), (30.0, 30.0), (500.0, 30.0)])
def test_latency_pause(throttle: Throttle, clock: Clock, seconds: float, pause: float) -> None:
    """The pause is as long as the commit took, and at most half a minute."""
    throttle.committed(1_000, seconds)

    assert paused(throttle, clock) == pytest.approx(pause)


def test_latency_scout(throttle: Throttle, clock: Clock) -> None:
    """After the pause one chunk goes; the others wait until it has committed, and go if that was quick."""
    throttle.committed(1_000, 3.0)
    paused(throttle, clock)
    clock.now += 20

    assert said(throttle.reason()) == "commit latency 3 s > 2 s"

    throttle.committed(1_000, 0.02)

    assert [throttle.reason() for _ in range(10)] == [None] * 10


def test_latency_again(throttle: Throttle, clock: Clock) -> None:
    """A slow server gets a chunk at a time, and as much time without us as with us."""
    for _ in range(5):
        throttle.committed(1_000, 4.0)

        assert paused(throttle, clock) == pytest.approx(4.0)
        clock.now += 4.0


def test_latency_of_a_lost_chunk(throttle: Throttle, clock: Clock) -> None:
    """Where the one chunk never commits, the next one goes half a minute later."""
    throttle.committed(1_000, 3.0)
    paused(throttle, clock)

    assert paused(throttle, clock) == pytest.approx(30.0)


def test_latency_of_one_among_many(throttle: Throttle, clock: Clock) -> None:
    """One slow chunk among quick ones, in flight with it, ends its pause with the next quick commit."""
    throttle.committed(1_000, 25.0)
    throttle.committed(1_000, 0.05)

    assert throttle.reason() is None


def test_latency_of_all_writers(throttle: Throttle, clock: Clock) -> None:
    """Slow chunks that were in flight together are one pause, not one after the other."""
    for late in (0.0, 0.1, 0.1, 0.1):
        clock.now += late
        throttle.committed(1_000, 3.0)

    assert paused(throttle, clock) == pytest.approx(3.0)


def refused_pauses(throttle: Throttle, clock: Clock, times: int) -> list[float]:
    found = []
    for _ in range(times):
        throttle.overloaded()
        found.append(paused(throttle, clock))
    return found


@pytest.mark.parametrize(
    ("chance", "expected"),
    [(1.0, [1, 2, 4, 8, 16, 32, 60, 60, 60]), (0.0, [0.5, 1, 2, 4, 8, 16, 30, 30, 30])],
)
def test_overload(clock: Clock, chance: float, expected: list[float]) -> None:
    """Each refusal after a pause doubles the pause, up to a minute; chance takes up to half of it away."""
    throttle = Throttle(lambda: IDLE, clock=clock, chance=lambda: chance)

    assert refused_pauses(throttle, clock, 9) == pytest.approx(expected)


@pytest.mark.parametrize(("backoff", "pause"), [(0.0, 1.0), (0.7, 1.0), (5.0, 5.0), (600.0, 600.0)])
def test_overload_backoff(throttle: Throttle, clock: Clock, backoff: float, pause: float) -> None:
    """A pause for overload is at least what the server asks for."""
    throttle.overloaded(backoff)

    assert paused(throttle, clock) == pytest.approx(pause)


def test_overload_of_all_writers(throttle: Throttle, clock: Clock) -> None:
    """Refusals that come during a pause were sent before it: they are counted, and do not lengthen it."""
    for _ in range(4):
        throttle.overloaded()
        clock.now += 0.1

    assert said(throttle.reason()) == "overload errors 4 > 0"
    assert paused(throttle, clock) == pytest.approx(0.6)
    throttle.overloaded()
    assert paused(throttle, clock) == pytest.approx(2.0)


def test_overload_backoff_during_a_pause(throttle: Throttle, clock: Clock) -> None:
    """What a refusal during a pause asks for is granted, too."""
    throttle.overloaded()
    clock.now += 0.5
    throttle.overloaded(3.0)

    assert paused(throttle, clock) == pytest.approx(3.0)


@pytest.mark.parametrize(("commits", "pause"), [(9, 16), (10, 8), (19, 8), (20, 4), (40, 1), (400, 1)])
def test_overload_is_forgiven(throttle: Throttle, clock: Clock, commits: int, pause: float) -> None:
    """Ten commits take one doubling back."""
    refused_pauses(throttle, clock, 4)
    for _ in range(commits):
        throttle.committed(1_000, 0.02)

    assert refused_pauses(throttle, clock, 1) == pytest.approx([pause])


def test_long_overload_is_forgiven(throttle: Throttle, clock: Clock) -> None:
    """However long a server was overloaded, sixty commits are enough to begin anew."""
    refused_pauses(throttle, clock, 20)
    for _ in range(60):
        throttle.committed(1_000, 0.02)

    assert refused_pauses(throttle, clock, 1) == pytest.approx([1.0])


def test_overload_is_forgotten(throttle: Throttle, clock: Clock) -> None:
    """When all is forgiven, errors are counted from the beginning."""
    refused_pauses(throttle, clock, 1)
    for _ in range(10):
        throttle.committed(1_000, 0.02)
    throttle.overloaded()

    assert said(throttle.reason()) == "overload errors 1 > 0"


def test_overload_between_commits(throttle: Throttle, clock: Clock) -> None:
    """Commits count towards it only when no refusal comes between them."""
    pauses = []
    for _ in range(4):
        for _ in range(9):
            throttle.committed(1_000, 0.02)
        pauses += refused_pauses(throttle, clock, 1)

    assert pauses == pytest.approx([1, 2, 4, 8])


def test_commits_during_a_pause(throttle: Throttle, clock: Clock) -> None:
    """Commits that come while the run pauses were sent before the refusal, and forgive nothing."""
    throttle.overloaded()
    for _ in range(20):
        throttle.committed(1_000, 0.02)
    paused(throttle, clock)

    assert refused_pauses(throttle, clock, 1) == pytest.approx([2.0])


class Run:
    """A run in which writers commit chunks in a given time, at the pace the throttle allows."""

    def __init__(self, rate: float, writers: int, commit_seconds: float) -> None:
        self.rate, self.writers, self.commit_seconds = rate, writers, commit_seconds
        self.clock = Clock()
        self.throttle = Throttle(lambda: IDLE, max_rate=rate, clock=self.clock)
        self.in_flight: list[tuple[float, int]] = []
        self.sent = self.largest = 0
        self.most_ahead = 0.0

    def go(self, sizes: Iterable[int]) -> float:
        """Run to the end; the average of documents a second."""
        for size in sizes:
            if len(self.in_flight) == self.writers:
                self._until(self.in_flight[0][0])
            while reason := self.throttle.reason():
                assert pacing.SHORTEST_RATE_PAUSE <= reason.seconds <= pacing.ASK_SECONDS
                self._until(self.clock.now + reason.seconds)
            heapq.heappush(self.in_flight, (self.clock.now + self.commit_seconds, size))
            self.sent += size
            self.most_ahead = max(self.most_ahead, self.sent - size - self.rate * self.clock.now)
        self._until(self.clock.now + self.commit_seconds)
        return self.sent / self.clock.now

    def _until(self, moment: float) -> None:
        while self.in_flight and self.in_flight[0][0] <= moment:
            self.clock.now, size = heapq.heappop(self.in_flight)
            self.throttle.committed(size, self.commit_seconds)
        self.clock.now = moment


def mixed(total: int) -> list[int]:
    chance = random.Random(total)
    sizes = []
    while sum(sizes) < total:
        sizes.append(chance.choice([1, 10, chance.randint(1, 1_000)]))
    return sizes


@pytest.mark.parametrize(
    ("rate", "sizes", "writers", "commit_seconds"),
    [
        (50, [1] * 3_000, 1, 0.001),
        (50, [1] * 3_000, 4, 0.02),
        (1_000, [1] * 60_000, 2, 0.0001),
        (1_000, [10] * 6_000, 4, 0.02),
        (1_000, [1_000] * 60, 1, 0.001),
        (1_000, [1_000] * 60, 4, 0.02),
        (1_000, [1_000] * 60, 2, 0.4),
        (1_000, [1_000] * 60, 4, 1.5),
        (30, [1_000] * 40, 4, 0.02),
        (0.5, [1] * 40, 2, 0.4),
        (7_000, [333] * 1_500, 4, 0.02),
        (300, mixed(40_000), 1, 0.02),
        (300, mixed(40_000), 4, 0.02),
        (5_000, mixed(400_000), 2, 0.005),
    ],
)
def test_max_rate(rate: float, sizes: list[int], writers: int, commit_seconds: float) -> None:
    """A limited rate holds on average within 5 %, whatever the chunks hold and however long they take."""
    run = Run(rate, writers, commit_seconds)

    assert run.go(sizes) == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize("commit_seconds", [0.4, 1.9])
@pytest.mark.parametrize(("rate", "sizes"), [(300, mixed(40_000)), (5_000, mixed(100_000)), (50, [10] * 300)])
def test_max_rate_of_slow_commits(rate: float, sizes: list[int], commit_seconds: float) -> None:
    """Where commits are slower than the limit, making up for it never exceeds the limit on average."""
    run = Run(rate, 4, commit_seconds)

    assert run.go(sizes) <= rate * 1.05


@pytest.mark.parametrize("writers", [1, 2, 4])
@pytest.mark.parametrize(("rate", "size"), [(100, 1_000), (1_000, 1_000), (1_000, 1), (50, 10)])
def test_max_rate_at_any_time(rate: float, size: int, writers: int) -> None:
    """Until a chunk of many seconds' worth is paid for, no other goes, however many writers are free."""
    run = Run(rate, writers, 0.02)
    run.go([size] * 50)

    assert run.most_ahead <= max(1, rate * 0.05)


def test_max_rate_after_a_wait(clock: Clock) -> None:
    """A wait, however long, is made up for by one second's worth at once."""
    throttle = Throttle(lambda: IDLE, max_rate=100, clock=clock)
    clock.now += 3_600
    chunks = 0
    while throttle.reason() is None:
        chunks += 1
        throttle.committed(10, 0.02)

    assert chunks == 11


def test_max_rate_of_lost_chunks(clock: Clock) -> None:
    """Chunks that never commit cost the wait for their size once, and slow nothing down afterwards."""
    throttle = Throttle(lambda: IDLE, max_rate=100, clock=clock)
    for _ in range(100):
        paused(throttle, clock, at_most=2.0)
    began = clock.now
    for _ in range(50):
        paused(throttle, clock)
        throttle.committed(100, 0.02)

    assert clock.now - began == pytest.approx(50, rel=0.05)


def test_max_rate_of_parts(clock: Clock) -> None:
    """A chunk that commits in parts is paid for once, all of it."""
    throttle = Throttle(lambda: IDLE, max_rate=100, clock=clock)
    for _ in range(20):
        paused(throttle, clock)
        for _ in range(4):
            throttle.committed(25, 0.02)
    paused(throttle, clock)

    assert clock.now == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize(
    ("rate", "idle", "documents", "expected"),
    [
        (1_000, (0, 0), 1_001, "rate 1,001/s >= 1,000/s"),
        (1_000, (0, 2), 4_000, "rate 2,000/s >= 1,000/s"),
        (1_000, (0, 0.5), 1_000, "rate 1,000/s >= 1,000/s"),
        (1_000, (60, 0.5), 4_000, "rate 1,000/s >= 1,000/s"),
        (0.25, (0, 0), 1, "rate 1/s >= 0.25/s"),
        (2_500_000, (0, 0), 9_000_000, "rate 9,000,000/s >= 2,500,000/s"),
    ],
)
def test_max_rate_said(
    clock: Clock, rate: float, idle: tuple[float, float], documents: int, expected: str
) -> None:
    """A limited rate shows the average so far, which is never shown below the limit."""
    earlier, later = idle
    throttle = Throttle(lambda: IDLE, max_rate=rate, clock=clock)
    clock.now += earlier
    assert throttle.reason() is None
    throttle.committed(documents, 0.02)
    clock.now += later

    assert said(throttle.reason()) == expected


def nightly_batch(answer: Any) -> Any:
    return answer


def asking(answer: Any) -> Callable[[], Any]:
    def nightly_batch() -> Any:
        return answer

    return nightly_batch


class Queue:
    def __call__(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (asking(False), ""),  # noqa: FBT003 - what an author's predicate answers
        (asking(None), ""),
        (asking(""), ""),
        (asking(0), ""),
        (asking(True), "predicate nightly_batch = true"),  # noqa: FBT003 - as above
        (asking(7), "predicate nightly_batch = true"),
        (asking("7 jobs wait"), "predicate nightly_batch (7 jobs wait) = true"),
        (Queue(), "predicate Queue = true"),
        (partial(nightly_batch, "x"), "predicate partial (x) = true"),
    ],
)
def test_predicate(clock: Clock, predicate: Callable[[], Any], expected: str) -> None:
    """The author's predicate pauses a run while its answer is true, under its name, with what it says."""
    assert said(Throttle(lambda: IDLE, predicate=predicate, clock=clock).reason()) == expected


@pytest.mark.parametrize("answer", [True, False])
def test_predicate_is_asked_once_a_second(clock: Clock, answer: bool) -> None:  # noqa: FBT001 - a table's
    """The predicate is asked once a second, paused or not, counted from its answer."""
    asked: list[float] = []

    def slow() -> bool:
        asked.append(clock.now)
        clock.now += 3
        return answer

    throttle = Throttle(lambda: IDLE, predicate=slow, clock=clock)
    for _ in range(80):
        throttle.reason()
        clock.now += 0.125

    assert asked == [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0]


def test_predicate_that_fails(clock: Clock) -> None:
    """What the predicate raises is the caller's to explain."""
    throttle = Throttle(lambda: IDLE, predicate=lambda: 1 / 0, clock=clock)

    with pytest.raises(ZeroDivisionError):
        throttle.reason()


def test_commits_do_not_wait(clock: Clock) -> None:
    """While the predicate and the server are asked, writers can report their commits."""

    def commit() -> bool:
        thread = Thread(target=lambda: throttle.committed(1, 0.02), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        return False

    def load() -> Load:
        commit()
        return IDLE

    throttle = Throttle(load, predicate=commit, clock=clock)

    assert throttle.reason() is None


def test_order(clock: Clock) -> None:
    """Of several reasons the first is said: overload, predicate, flow control, lag, latency, rate."""
    load, wanted = Load(60.0, flow_control=True), True
    throttle = Throttle(lambda: load, predicate=lambda: wanted, max_rate=1, clock=clock, chance=lambda: 1.0)
    throttle.committed(1_000, 30.0)
    throttle.overloaded()
    found = [throttle.reason()]
    clock.now += 1.0
    found.append(throttle.reason())
    clock.now += 1.0
    wanted = False
    found.append(throttle.reason())
    load = Load(60.0, flow_control=False)
    found.append(throttle.reason())
    load = IDLE
    found.append(throttle.reason())
    throttle.committed(1, 0.02)
    found.append(throttle.reason())

    assert [reason.signal for reason in found if reason] == [
        "overload errors",
        "predicate",
        "flow control",
        "replication lag",
        "commit latency",
        "rate",
    ]


def test_a_pause_uses_up_nothing(clock: Clock) -> None:
    """The chunk that may find out whether commits are quick again is still to go after another pause."""
    load = IDLE
    throttle = Throttle(lambda: load, clock=clock)
    throttle.committed(1_000, 3.0)
    clock.now += 3.0
    load = Load(60.0)
    assert said(throttle.reason()) == "replication lag 60 s > 10 s"
    load = IDLE

    assert throttle.reason() is None
    assert said(throttle.reason()) == "commit latency 3 s > 2 s"


LAG = Reason("replication lag", "14 s", ">", "10 s", 0.25)
WORSE_LAG = Reason("replication lag", "15 s", ">", "10 s", 0.25)
LATENCY = Reason("commit latency", "3 s", ">", "2 s", 0.25)
RATE = Reason("rate", "9/s", ">=", "8/s", 0.25)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([(0, LAG), (0.25, WORSE_LAG), (29, LAG), (30, LAG)], [0]),
        ([(0, LAG), (31, LAG), (1, LAG)], [0, 1]),
        ([(0, LAG), (1, LATENCY), (1, LAG), (1, LATENCY)], [0, 1]),
        ([(0, LAG), (20, LATENCY), (20, LAG), (1, LATENCY)], [0, 1, 2]),
        ([(0, RATE), (1, RATE), (3_600, RATE)], [0]),
        ([(0, RATE), (1, LAG), (1, RATE), (3_600, LAG)], [0, 1, 3]),
    ],
)
def test_news(throttle: Throttle, clock: Clock, told: list[tuple[float, Reason]], said: list[int]) -> None:
    """An episode is said once, and is over after half a minute without its signal; a limited rate never."""
    news = []
    for later, reason in told:
        clock.now += later
        news.append(throttle.news(reason))

    assert [index for index, new in enumerate(news) if new] == said
