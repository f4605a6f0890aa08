"""Pacing: what overload, slow commits and a limited rate say about the moment the next chunk may go.

Three laws, pure but for what they remember: the time is told to them, they wait for nothing and read
nothing. Which of them is heard first, and that they are asked by one thread at a time, is the throttle's.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# During a pause the throttle is asked again this often: four questions a second cost nothing, and a pause
# ends, or a stop is seen, within a quarter of one.
ASK_SECONDS = 0.25

# The first pause is far longer than a commit, and the longest about as long as a server that scales up or
# restarts is away.
FIRST_OVERLOAD_PAUSE = 1.0
MAX_OVERLOAD_PAUSE = 60.0
MAX_OVERLOAD_LEVEL = 6  # 2 ** 6 is the first to reach the longest pause
# So many commits without an error take one doubling back. One would be too quick: chunks commit in tens of
# milliseconds, and every pause would be the first again. A server that refuses more than one chunk in ten
# is left alone for longer and longer.
FORGIVING_COMMITS = 10

# A chunk holds at most 1,000 documents and 4 MiB, and its majority commit takes 10 to 100 ms on a healthy
# server. Two seconds are twenty times the worst of that: its disk, its locks or its replication suffer.
LATENCY_SECONDS = 2.0
MAX_LATENCY_PAUSE = 30.0

# What a limited rate lets through at once after a wait: with less, a run could not make up for the time it
# waited for the server.
BURST_SECONDS = 1.0
# Chunks of one document at 50,000 a second would be 50,000 pauses of 20 microseconds.
SHORTEST_RATE_PAUSE = 0.01
# Far more chunks than there can be in flight; only those that never commit add up to it.
MAX_IN_FLIGHT = 64


class Signal(StrEnum):
    """What may make a run pause."""

    OVERLOAD = "overload errors"
    PREDICATE = "predicate"
    FLOW_CONTROL = "flow control"
    LAG = "replication lag"
    LATENCY = "commit latency"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run pauses, as ``<signal> <observed> <op> <threshold>``; ``seconds`` until asking again."""

    signal: Signal
    observed: str
    op: str
    threshold: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.signal} {self.observed} {self.op} {self.threshold}"


class Overload:
    """Doubles the pause from refusal to refusal. ``chance`` gives numbers from 0 to 1."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._level = self._errors = self._commits = 0
        self._until = -math.inf

    def refused(self, backoff: float, now: float) -> None:
        """Note that the server refused work as too much, and asked for ``backoff`` seconds."""
        self._errors += 1
        self._commits = 0
        if now >= self._until:
            # Else it was sent before the pause, and tells of the same overload as the refusal before it.
            pause = min(MAX_OVERLOAD_PAUSE, FIRST_OVERLOAD_PAUSE * 2**self._level)
            # Between half and all of it, so that the pods of one Job do not come back in the same moment.
            backoff = max(backoff, pause * (1 + self._chance()) / 2)
            self._level = min(MAX_OVERLOAD_LEVEL, self._level + 1)
        self._until = max(self._until, now + backoff)

    def committed(self, now: float) -> None:
        """Note a commit; one that comes during the pause was sent before it, and proves nothing."""
        if now < self._until:
            return
        self._commits += 1
        if self._commits == FORGIVING_COMMITS:
            self._commits, self._level = 0, max(0, self._level - 1)
            self._errors = self._errors if self._level else 0

    def reason(self, now: float) -> Reason | None:
        """Return why the next chunk must wait."""
        if now >= self._until:
            return None
        seconds = min(ASK_SECONDS, self._until - now)
        return Reason(Signal.OVERLOAD, f"{self._errors:,}", ">", "0", seconds)


class Latency:
    """Pauses for as long as a slow commit took, so that a slow server is left alone half of the time.

    Then one chunk finds out whether it is over, and the others wait for its commit. The newest commit is
    what counts: those in flight with a slow one are few, and one of them that was quick ends the pause.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = -math.inf

    def committed(self, seconds: float, now: float) -> None:
        """Note a commit that took ``seconds``."""
        self._seconds = seconds
        self._until = now + min(seconds, MAX_LATENCY_PAUSE)

    def sent(self, now: float) -> None:
        """Note that a chunk goes."""
        # It may never commit (the server may refuse its documents), so there is an end to waiting for it.
        self._until = now + MAX_LATENCY_PAUSE

    def reason(self, now: float) -> Reason | None:
        """Return why the next chunk must wait."""
        if self._seconds <= LATENCY_SECONDS or now >= self._until:
            return None
        # Rounded up, so that it is never shown equal to the threshold it is above.
        shown = f"{math.ceil(self._seconds * 10) / 10:,.1f}".removesuffix(".0")
        seconds = min(ASK_SECONDS, self._until - now)
        return Reason(Signal.LATENCY, f"{shown} s", ">", f"{LATENCY_SECONDS:.0f} s", seconds)


class Rate:
    """Documents a second: a chunk may go while none are owed, and is paid for by waiting afterwards.

    A chunk's size is known when it commits, so one in flight is taken to be like the last that did: several
    writers would otherwise send a chunk each before the first was counted.
    """

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._began = self._counted_at = now
        # Documents that may go; below zero, documents owed. It begins empty: a run of a few chunks would
        # otherwise be a second ahead of its rate.
        self._balance = 0.0
        self._documents = 0.0
        self._guess = limit * BURST_SECONDS
        self._in_flight: deque[float] = deque(maxlen=MAX_IN_FLIGHT)

    def sent(self) -> None:
        """Note that a chunk goes."""
        self._in_flight.append(self._guess)
        self._charge(self._guess)

    def committed(self, documents: int, now: float) -> None:
        """Note a commit of ``documents``."""
        self._refill(now)
        # A chunk may commit in parts, or never. Nothing depends on the two being equal in number: a guess
        # too many is paid off by waiting, like any other.
        guess = self._in_flight.popleft() if self._in_flight else 0.0
        self._charge(documents - guess)
        self._guess = float(documents)

    def reason(self, now: float) -> Reason | None:
        """Return why the next chunk must wait."""
        self._refill(now)
        if self._balance >= 0:
            return None
        owed_seconds = -self._balance / self._limit
        average = self._documents / max(BURST_SECONDS, now - self._began)
        observed = self._limit if average <= self._limit else math.ceil(average)
        seconds = max(SHORTEST_RATE_PAUSE, min(ASK_SECONDS, owed_seconds))
        return Reason(Signal.RATE, f"{observed:,.10g}/s", ">=", f"{self._limit:,.10g}/s", seconds)

    def _charge(self, documents: float) -> None:
        self._balance -= documents
        self._documents += documents

    def _refill(self, now: float) -> None:
        earned = (now - self._counted_at) * self._limit
        self._balance = min(self._limit * BURST_SECONDS, self._balance + earned)
        self._counted_at = now
