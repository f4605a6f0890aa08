"""Retry: which failures pass, and how they are waited for."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from chunkmigrate.retry import (
    FIRST_PAUSE,
    MOST_OVERLOAD_PAUSE,
    MOST_PAUSE,
    OVERLOAD_PAUSE,
    RETRY_SECONDS,
    Retry,
    is_conflict,
    is_passing,
    is_slow,
    is_too_much,
    overload_backoff,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def failure(code: int, *labels: str, **details: Any) -> OperationFailure:
    """What the driver makes of the server's answer."""
    return OperationFailure("no", code, {"ok": 0, "code": code, "errorLabels": [*labels], **details})


def labelled(error: PyMongoError, *labels: str) -> PyMongoError:
    for label in labels:
        error._add_error_label(label)
    return error


class _PoolClosedError(PyMongoError):
    """The driver's own is in another module with each of its versions."""


TRANSIENT, UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"
OVERLOADED = ("SystemOverloadedError", "RetryableError")

# error, what else holds of it: passing, conflict, slow, much
CASES: list[tuple[BaseException, str]] = [
    # The way to the server.
    (ConnectionFailure("no"), "passing"),
    (AutoReconnect("connection pool paused"), "passing"),
    (ServerSelectionTimeoutError("no"), "passing"),
    (WaitQueueTimeoutError("no"), "passing"),
    (_PoolClosedError("no"), "passing"),
    (NetworkTimeout("no"), "passing slow"),
    (labelled(NetworkTimeout("while connecting"), *OVERLOADED), "passing"),
    (labelled(NetworkTimeout("in a transaction"), TRANSIENT), "passing slow"),
    # The state of the server.
    (NotPrimaryError("no", {"code": 10107}), "passing"),
    (failure(91), "passing"),
    (failure(189), "passing"),
    (failure(10107), "passing"),
    (failure(11600), "passing"),
    (failure(11602), "passing"),
    (failure(216), "passing"),
    (failure(133), "passing"),
    (failure(365), "passing"),
    (failure(433), "passing"),
    (WriteConcernError("no", 189), "passing"),
    (failure(262), "passing"),
    (failure(251, TRANSIENT), "passing"),
    (failure(246, TRANSIENT), "passing"),
    (failure(9_999, "RetryableWriteError"), "passing"),
    (failure(9_999, "RetryableError"), "passing"),
    (failure(9_999, "SystemOverloadedError"), "passing"),
    # Other transactions.
    (failure(112, TRANSIENT), "passing conflict"),
    (failure(24, TRANSIENT), "passing conflict"),
    (failure(267, TRANSIENT), "passing conflict"),
    (failure(112), "passing conflict"),
    # Time.
    (ExecutionTimeout("no", 50), "passing slow"),
    (failure(50), "passing slow"),
    (failure(50, UNKNOWN), "passing slow"),
    (WTimeoutError("no", 64), "passing"),
    (failure(64, UNKNOWN), "passing"),
    # Size.
    (failure(257), "much"),
    (failure(290), "much"),
    (failure(388), "much"),
    (failure(10334), "much"),
    (DocumentTooLarge("no"), "much"),
    (failure(388, UNKNOWN), "passing"),
    # Neither.
    (failure(13), ""),
    (failure(18), ""),
    (failure(100), ""),
    (failure(121), ""),
    (failure(251), ""),
    (failure(14031), ""),
    (failure(11601), ""),
    (failure(371), ""),
    (DuplicateKeyError("no", 11000), ""),
    (CursorNotFound("no", 43), ""),
    (BulkWriteError({}), ""),
    (ConfigurationError("no"), ""),
    (InvalidOperation("Cannot use MongoClient after close"), ""),
    (PyMongoError("no"), ""),
    (ValueError("no"), ""),
    (KeyboardInterrupt(), ""),
]


@pytest.mark.parametrize(
    ("error", "expected"), CASES, ids=[f"{type(e).__name__}-{getattr(e, 'code', '')}" for e, _ in CASES]
)
def test_kinds(error: BaseException, expected: str) -> None:
    """Each failure is told by its class, its labels and its code; none both passes and is too much."""
    kinds = {"passing": is_passing, "conflict": is_conflict, "slow": is_slow, "much": is_too_much}

    assert {name for name, holds in kinds.items() if holds(error)} == set(expected.split())


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (failure(462, *OVERLOADED), 0.0),
        (failure(462, *OVERLOADED, baseBackoffMS=250), 0.25),
        (failure(462), None),
        (failure(112, TRANSIENT), None),
        # Put there by the driver, of a server that may only be down.
        (labelled(AutoReconnect("refused"), *OVERLOADED), None),
        (ValueError("no"), None),
    ],
)
def test_overload(error: BaseException, seconds: float | None) -> None:
    """Overload is what the server says it is, and lasts as long as it says."""
    assert overload_backoff(error) == seconds


@dataclass
class Time:
    """A clock that sleeping moves; work may move it, too."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Work:
    """Fails with these errors, one after the other, then returns the number of tries."""

    errors: list[BaseException]
    time: Time
    takes: float = 0.0
    tries: list[float] = field(default_factory=list)

    def __call__(self) -> int:
        self.tries.append(self.time.now)
        self.time.now += self.takes
        if len(self.tries) <= len(self.errors):
            raise self.errors[len(self.tries) - 1]
        return len(self.tries)


def retry(time: Time, *, chance: float = 1.0, **how: Any) -> Retry:
    return Retry(clock=time.clock, sleep=time.sleep, chance=lambda: chance, **how)


def lost(count: int) -> list[BaseException]:
    return [AutoReconnect(f"lost {number}") for number in range(count)]


def test_first_try() -> None:
    """What succeeds is done once, without a look at the clock."""
    time = Time()

    assert retry(time)(Work([], time)) == 1
    assert time.slept == []


def test_again() -> None:
    """A passing failure is tried again until it has passed."""
    time = Time()

    assert retry(time)(Work([*lost(4), failure(112, TRANSIENT)], time)) == 6


@pytest.mark.parametrize(
    "error", [failure(13), ValueError("no"), KeyboardInterrupt(), DocumentTooLarge("no")]
)
def test_not_again(error: BaseException) -> None:
    """A failure that does not pass is raised as it is, at once, even after others that do."""
    for before in (0, 2):
        time = Time()
        work = Work([*lost(before), error], time)
        with pytest.raises(type(error)) as caught:
            retry(time)(work)

        assert caught.value is error
        assert len(work.tries) == before + 1


def pauses(errors: list[BaseException], *, chance: float) -> list[float]:
    """The pauses before each next try."""
    time, said = Time(), list[float]()
    work = Work(errors, time)
    retry(time, chance=chance, seconds=1e9, noticed=lambda _, pause: said.append(pause))(work)
    between = [after - before for before, after in zip(work.tries, work.tries[1:], strict=False)]

    assert between == pytest.approx(said)
    return said


def test_backoff() -> None:
    """Pauses double from a twentieth of a second to five, and half of each is chance."""
    longest, shortest = pauses(lost(30), chance=1.0), pauses(lost(30), chance=0.0)

    assert longest[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert longest == sorted(longest)
    assert longest[-1] == MOST_PAUSE
    assert shortest == [pause / 2 for pause in longest]


def test_overload_backoff() -> None:
    """An overloaded server is left alone for a second and longer, and never shorter than it asks for."""
    errors: list[BaseException] = [failure(462, *OVERLOADED)] * 20
    asking: list[BaseException] = [failure(462, *OVERLOADED, baseBackoffMS=3_000)] * 20

    assert pauses(errors, chance=1.0)[:3] == [OVERLOAD_PAUSE, 2 * OVERLOAD_PAUSE, 4 * OVERLOAD_PAUSE]
    assert pauses(errors, chance=1.0)[-1] == MOST_OVERLOAD_PAUSE
    assert pauses(asking, chance=0.0)[:4] == [3.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize("takes", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("seconds", [0.0, 1.0, RETRY_SECONDS])
def test_bounded(takes: float, seconds: float) -> None:
    """No try begins later than the time after the first failure; then the last failure is raised as it is."""
    time = Time()
    errors = lost(10_000)
    work = Work(errors, time, takes)
    with pytest.raises(AutoReconnect) as caught:
        retry(time, seconds=seconds)(work)
    first = work.tries[0] + takes

    assert work.tries[-1] <= first + seconds or len(work.tries) == 1
    assert work.tries[-1] + takes + MOST_PAUSE >= first + seconds
    assert caught.value is errors[len(work.tries) - 1]


def test_long_work() -> None:
    """The time runs from the first failure: how long the first try took does not count."""
    time = Time()

    assert retry(time)(Work(lost(1), time, takes=1_000.0)) == 2


def test_says_how_long() -> None:
    """The failure that is raised in the end has a note on how long it was tried, if it was tried again."""
    time = Time()
    with pytest.raises(AutoReconnect) as caught:
        retry(time)(Work(lost(10_000), time))

    assert time.now - 1_000 > 50
    assert caught.value.__notes__ == [f"It was tried again for {time.now - 1_000:.1f} s."]
    with pytest.raises(AutoReconnect) as caught:
        retry(time, seconds=0)(Work(lost(1), time))
    assert not hasattr(caught.value, "__notes__")


def test_noticed() -> None:
    """Each failure that is tried again is told of before the pause, and the last one is not."""
    time, said = Time(), list[tuple[PyMongoError, float]]()
    errors = lost(5)
    work = Work([*errors[:4], failure(13)], time)
    with pytest.raises(OperationFailure):
        retry(time, noticed=lambda error, _: said.append((error, time.now)))(work)

    assert [error for error, _ in said] == errors[:4]
    assert [now for _, now in said] == work.tries[:4]


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_stopped(after: int) -> None:
    """A stop ends the trying with the failure at hand, without another try, however long the pause is."""
    time, asked = Time(), list[float]()

    def stopped() -> bool:
        asked.append(time.now)
        return len(asked) > after

    errors = [failure(462, *OVERLOADED, baseBackoffMS=5_000)] * 100
    work = Work([*errors], time)
    with pytest.raises(OperationFailure) as caught:
        retry(time, stopped=stopped)(work)

    assert caught.value in errors
    assert time.now == pytest.approx(asked[after])
    assert len(work.tries) == 1


def test_stop_is_noticed_soon() -> None:
    """A stop that comes during a pause is noticed within half a second of it."""
    stop, began = threading.Event(), time.monotonic()
    threading.Timer(0.2, stop.set).start()

    def overloaded() -> None:
        raise failure(462, *OVERLOADED, baseBackoffMS=30_000)

    with pytest.raises(OperationFailure):
        Retry(stopped=stop.is_set)(overloaded)

    assert time.monotonic() - began < 0.7


def test_stop_beats_nothing() -> None:
    """Work that succeeds is not held up by a stop, and is not asked for twice."""
    time = Time()

    assert retry(time, stopped=lambda: True)(Work([], time)) == 1


def test_other_failures() -> None:
    """What passes can be said otherwise."""
    time = Time()
    only: Callable[[BaseException], bool] = lambda error: isinstance(error, DuplicateKeyError)  # noqa: E731
    given = replace(retry(time), passing=only)

    assert given(Work([DuplicateKeyError("no", 11000)], time)) == 2
    with pytest.raises(AutoReconnect):
        given(Work(lost(1), time))
