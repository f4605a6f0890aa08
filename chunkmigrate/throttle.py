"""The throttle: load, commits and overload in, the moment the next chunk may go out.

It decides the rate and never a size: a chunk sized by time collapses once time means waiting. `load` reads
the server, `pacing` holds what earlier chunks say, and the waiting is the pipeline's, which asks before each
chunk and tells of each commit.
"""

from __future__ import annotations

import math
import random
import time
from threading import Lock
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ThrottleError
from chunkmigrate.pacing import ASK_SECONDS, Latency, Overload, Rate, Reason, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.load import Load

__all__ = ["Reason", "Throttle", "explaining"]

# MongoDB's own flow control aims at ten seconds of majority lag: beyond it the server slows down everybody.
LAG_SECONDS = 10.0

# An author's predicate may ask a database or a service of theirs.
PREDICATE_SECONDS = 1.0

# Pauses of one signal that follow each other this closely are one episode, and said once.
QUIET_SECONDS = 30.0


class Throttle:
    """Says whether the next chunk may go.

    ``load`` is called for each question, so it must be cheap; ``max_rate`` is documents a second, above 0;
    ``predicate`` is the author's: a false answer lets the run go on, True pauses it, a text pauses it and
    is shown. ``committed`` and ``overloaded`` may be called from any thread, the rest is for one.
    """

    def __init__(
        self,
        load: Callable[[], Load],
        *,
        max_rate: float | None = None,
        predicate: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._load, self._clock = load, clock
        self._predicate = None if predicate is None else _Predicate(predicate, clock)
        self._overload, self._latency = Overload(chance), Latency()
        self._rate = None if max_rate is None else Rate(max_rate, clock())
        self._lock = Lock()
        self._paused_at: dict[str, float] = {}

    def reason(self) -> Reason | None:
        """Return why the next chunk must wait; None lets exactly one go.

        Raises what the author's predicate raises.
        """
        with self._lock:
            found = self._overload.reason(self._clock())
        # Without the lock: the author's code and the server take their time, and commits must not wait.
        if found is None and self._predicate is not None:
            found = self._predicate.reason()
        if found is None:
            found = _of_load(self._load())
        if found is None:
            with self._lock:
                found = self._of_commits(self._clock())
        return found

    def committed(self, documents: int, seconds: float) -> None:
        """Note a chunk that the server acknowledged; ``seconds`` is what its majority commit took."""
        with self._lock:
            now = self._clock()
            self._overload.committed(now)
            self._latency.committed(seconds, now)
            if self._rate is not None:
                self._rate.committed(documents, now)

    def overloaded(self, backoff: float = 0.0) -> None:
        """Note that the server refused work as too much; ``backoff`` is the pause it asks for, seconds."""
        with self._lock:
            self._overload.refused(backoff, self._clock())

    def news(self, reason: Reason) -> bool:
        """Whether ``reason`` begins an episode and is to be said; ask it of every reason.

        A limited rate pauses all the time: it is said once.
        """
        now = self._clock()
        before = self._paused_at.get(reason.signal)
        self._paused_at[reason.signal] = now
        return before is None or (reason.signal != Signal.RATE and now - before > QUIET_SECONDS)

    def _of_commits(self, now: float) -> Reason | None:
        """Return what earlier chunks say against the next one; where they say nothing, note that it goes."""
        found = self._latency.reason(now)
        if found is None and self._rate is not None:
            found = self._rate.reason(now)
        if found is None:
            self._latency.sent(now)
            if self._rate is not None:
                self._rate.sent()
        return found


def explaining(predicate: Callable[[], Any]) -> Callable[[], Any]:
    """Return an author's predicate that raises `ThrottleError` for whatever it raised."""
    name = getattr(predicate, "__name__", "throttle")

    def asked() -> Any:
        try:
            return predicate()
        except Exception as error:
            what = f"The throttle {name} raised {type(error).__name__}"
            safe = "What is committed is safe; correct it and run again."
            raise ThrottleError(f"{what}: {error}. {safe}", discreet=f"{what}. {safe}") from error

    asked.__name__ = name
    return asked


class _Predicate:
    """The author's own reason to pause."""

    def __init__(self, ask: Callable[[], Any], clock: Callable[[], float]) -> None:
        self._ask, self._clock = ask, clock
        self._name = getattr(ask, "__name__", type(ask).__name__)
        self._observed = ""
        self._next = -math.inf

    def reason(self) -> Reason | None:
        if self._clock() >= self._next:
            answer = self._ask()
            shown = f"{self._name} ({answer})" if isinstance(answer, str) else self._name
            self._observed = shown if answer else ""
            self._next = self._clock() + PREDICATE_SECONDS
        if not self._observed:
            return None
        return Reason(Signal.PREDICATE, self._observed, "=", "true", ASK_SECONDS)


def _of_load(load: Load) -> Reason | None:
    if load.flow_control:
        return Reason(Signal.FLOW_CONTROL, "lagged", "=", "true", ASK_SECONDS)
    lag = load.lag_seconds
    if lag is None or lag <= LAG_SECONDS:
        return None
    # Rounded up, so that it is never shown equal to the threshold it is above.
    return Reason(Signal.LAG, f"{math.ceil(lag):,} s", ">", f"{LAG_SECONDS:.0f} s", ASK_SECONDS)
