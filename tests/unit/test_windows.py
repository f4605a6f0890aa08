"""Windows: reads in a bounded time, whatever the filter, and every document once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, OperationFailure, PyMongoError

from chunkmigrate.pages import Page
from chunkmigrate.raw import enclosed, ends, key_of
from chunkmigrate.retry import Retry
from chunkmigrate.windows import FIRST_WIDTH, LONGER, MOST_WIDTH, NARROWER, Interrupted, Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chunkmigrate.raw import Key

SECONDS = 5.0


def key(number: int) -> Key:
    return key_of(bson.encode({"_id": number}))


def number_of(key: Key | None) -> int:
    """The number of an `_id`; -1 stands in front of the first."""
    return -1 if key is None else bson.decode(key.document().raw)["_id"]


def page_of(numbers: Iterable[int]) -> Page:
    documents = (b"\3%d\0" % place + bson.encode({"_id": one}) for place, one in enumerate(numbers))
    array = enclosed(b"".join(documents))
    return Page(memoryview(array), ends(array))


@dataclass
class Slow:
    """A scan of the numbers up to ``upto`` that takes its time to look at each, and some of which match.

    It hangs up like the server and the driver do, after ``SECONDS``, or four times as long for one document.
    """

    upto: int
    matches: Callable[[int], bool] = lambda _: False
    each: float = 0.0
    count: float = 0.0
    now: float = 0.0
    failing: list[PyMongoError] = field(default_factory=list)
    asked: list[tuple[str, int, int, float]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def page(self, after: Key | None, upto: Key, limit: int) -> Page:
        return page_of(self._between("page", after, upto, limit))

    def keys(self, after: Key | None, upto: Key, limit: int) -> list[Key]:
        return [key(one) for one in self._between("keys", after, upto, limit)]

    def sizes(self, after: Key | None, upto: Key, limit: int) -> list[int]:
        return self._between("sizes", after, upto, limit)

    def last(self, upto: Key) -> Page:
        return page_of(self._at(upto))

    def last_size(self, upto: Key) -> list[int]:
        return self._at(upto)

    def ahead(self, after: Key | None, upto: Key, count: int) -> Key | None:
        first, last = number_of(after), number_of(upto)
        self._take("ahead", first, first + count, count * self.count)
        return key(first + count) if first + count < last else None

    def _between(self, what: str, after: Key | None, upto: Key, limit: int) -> list[int]:
        first, last = number_of(after), number_of(upto)
        assert first < last
        found: list[int] = []
        seen = first
        while seen + 1 < last and len(found) < limit:
            seen += 1
            found += [seen] if self.matches(seen) else []
        self._take(what, first, last, (seen - first) * self.each)
        return found

    def _at(self, upto: Key) -> list[int]:
        one = number_of(upto)
        self._take("last", one, one, self.each)
        return [one] if self.matches(one) else []

    def _take(self, what: str, first: int, last: int, seconds: float) -> None:
        if self.failing:
            raise self.failing.pop()
        alone = last - first <= 1 and self.each > SECONDS
        allowed = SECONDS * (LONGER if alone else 1)
        self.now += min(seconds, allowed)
        self.asked.append((what, first, last, seconds))
        if seconds > allowed:
            raise ExecutionTimeout("no", 50) if len(self.asked) % 2 else NetworkTimeout("no")

    def windows(self, **how: Any) -> Windows:
        retry = Retry(clock=self.clock, sleep=self.sleep, **how)
        return Windows(self, key(self.upto), retry, clock=self.clock, seconds=SECONDS)  # type: ignore[arg-type]

    def widths(self) -> list[int]:
        return [last - first for what, first, last, _ in self.asked if what == "ahead"]


@pytest.mark.parametrize("seed", range(30))
def test_every_document_once(seed: int) -> None:
    """Whatever it takes to look at a document, those that match are read once each and in order."""
    chance = random.Random(seed)
    some = chance.choice([1, 2, 3, 50, 400, 3_000])
    scan = Slow(
        chance.choice([0, 1, 5, 128, 129, 5_000]),
        lambda one: one % some == 0,
        each=chance.choice([0.0, 0.0001, 0.002, 0.04, 0.9, 5.1, 19.0]),
        count=chance.choice([0.0, 0.00001, 0.01]),
    )
    scan.upto = min(scan.upto, 300) if scan.each >= 0.9 else scan.upto
    found, after, windows = [], None, scan.windows()
    while number_of(after) != scan.upto and (page := windows.page(after, chance.choice([1, 7, 1_000]))):
        found += [number_of(page.key(place)) for place in range(len(page))]
        after = page.through

    assert found == [one for one in range(scan.upto + 1) if one % some == 0]


def test_quick() -> None:
    """A filter that is quick enough is asked as it is: no window, one read for each page."""
    scan = Slow(100_000, lambda one: one % 1_000 == 0, each=0.00004)
    windows = scan.windows()

    assert len(windows.page(None, 50)) == 50
    assert len(windows.page(key(49_000), 1_000)) == 50
    assert windows.page(key(99_000), 1_000).through == key(100_000)
    assert [what for what, *_ in scan.asked] == ["page", "page", "page", "last"]


def test_nothing_matches() -> None:
    """Where nothing matches, what is left is read in windows that take no longer than a read may."""
    scan = Slow(60_000, each=0.002)

    assert not scan.windows().page(None, 1_000)
    assert scan.asked[0][3] > 100
    assert all(seconds <= SECONDS for *_, seconds in scan.asked[1:])
    assert scan.now < 60_000 * scan.each + 3 * SECONDS


def test_widths() -> None:
    """Windows widen while they take no time, then stay, and become narrower when they take too much."""
    scan = Slow(40_000, each=0.001)
    scan.windows().page(None, 1_000)
    doubling = [FIRST_WIDTH * 2**n for n in range(5)]

    assert scan.widths()[:5] == doubling
    assert set(scan.widths()[5:]) == {doubling[-1]}

    scan = Slow(1_000, each=0.5)
    scan.windows().page(None, 1_000)

    assert scan.widths()[:3] == [FIRST_WIDTH, FIRST_WIDTH // NARROWER, FIRST_WIDTH // NARROWER**2]
    assert set(scan.widths()[2:]) == {FIRST_WIDTH // NARROWER**2}


def test_widest() -> None:
    """No window is so wide that finding its end would take long."""
    scan = Slow(10 * MOST_WIDTH)
    windows = scan.windows()
    windows._width, windows._end, windows._quick = MOST_WIDTH - 1, None, True
    windows._window()

    assert scan.widths() == [MOST_WIDTH]


def test_window_end_slow() -> None:
    """Where even counting ahead takes too long, it counts less far."""
    scan = Slow(500, lambda one: one == 400, each=0.04, count=0.3)

    assert scan.windows().page(None, 1).through == key(400)
    assert scan.widths()[:3] == [FIRST_WIDTH, FIRST_WIDTH // NARROWER, FIRST_WIDTH // NARROWER**2]


def test_one_document() -> None:
    """A document that alone takes longer than a read may is given more time, and then it is an error."""
    scan = Slow(3, lambda _: True, each=SECONDS * (LONGER - 1))

    assert number_of(scan.windows().page(None, 1_000).through) == 0

    scan = Slow(3, lambda _: True, each=SECONDS * (LONGER + 1))
    with pytest.raises(PyMongoError) as caught:
        scan.windows().page(None, 1_000)
    assert caught.value.timeout
    assert caught.value.__notes__


@pytest.mark.parametrize("what", ["page", "sizes", "keys"])
def test_again(what: str) -> None:
    """Every read is asked again after a passing failure, and not after another one."""
    scan = Slow(10, lambda one: one == 10, failing=[AutoReconnect("no") for _ in range(5)])
    found = getattr(scan.windows(), what)(None, 5)

    assert len(found) == 1
    assert not scan.failing

    scan = Slow(10, lambda one: one == 10, failing=[OperationFailure("no", 13), AutoReconnect("no")])
    with pytest.raises(OperationFailure):
        getattr(scan.windows(), what)(None, 5)


@pytest.mark.parametrize("what", ["page", "sizes", "keys"])
def test_stopped_between_windows(what: str) -> None:
    """A stop while nothing matches ends the reading there, and says how far it came."""
    scan = Slow(100_000, lambda one: one == 100_000, each=0.001)
    asked = scan.asked
    with pytest.raises(Interrupted) as caught:
        getattr(scan.windows(stopped=lambda: len(asked) > 30), what)(key(10), 5)
    through = number_of(caught.value.through)

    assert 10 < through < 100_000
    assert through == max(last for what, _, last, _ in asked if what != "ahead" and last != 100_000)
    assert getattr(scan.windows(), what)(caught.value.through, 5)


def test_stopped_before_an_answer() -> None:
    """A stop while the server is away ends the reading where it stood; another failure stays one."""
    scan = Slow(100, failing=[AutoReconnect("no") for _ in range(100)])
    with pytest.raises(Interrupted) as caught:
        scan.windows(stopped=lambda: True).page(key(7), 5)

    assert caught.value.through == key(7)
    assert isinstance(caught.value.__cause__, AutoReconnect)
    with pytest.raises(OperationFailure):
        Slow(100, failing=[OperationFailure("no", 13)]).windows(stopped=lambda: True).page(key(7), 5)


def test_stop_does_not_hide_documents() -> None:
    """What was found is returned, stop or not."""
    scan = Slow(100, lambda one: one > 50)

    assert len(scan.windows(stopped=lambda: True).page(None, 10)) == 10


def test_gives_up() -> None:
    """A server that stays away ends the reading with the driver's failure."""
    scan = Slow(100, failing=[AutoReconnect("no") for _ in range(1_000)])
    with pytest.raises(AutoReconnect):
        scan.windows().page(None, 5)

    assert 50 < scan.now <= 60


def test_passes_over_once() -> None:
    """Windows in which there is nothing are looked at once, whatever is asked for behind them."""
    scan = Slow(20_000, lambda one: one == 20_000, each=0.001)
    windows = scan.windows()

    assert windows.sizes(None, 5) == [20_000]
    before = len(scan.asked)
    assert windows.keys(None, 5) == [key(20_000)]
    assert windows.page(None, 5).through == key(20_000)
    assert len(scan.asked) - before <= 4
