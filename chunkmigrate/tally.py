"""Tally: a consumer that keeps what is known of a run as numbers, for whoever asks at any moment.

What they are called outside, and where they go, is ``metrics``' business.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, PAUSED, ROLLED_BACK, RUNNING, STOPPED
from chunkmigrate.outcome import ALREADY, OPERATOR
from chunkmigrate.pacing import Signal
from chunkmigrate.records import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkmigrate.outcome import Outcome, Progress

STATUSES = (RUNNING, PAUSED, APPLIED, ROLLED_BACK, FAILED, STOPPED, CANCELLED)
SIGNALS = (*map(str, Signal), OPERATOR)

# Upper bounds, in seconds. A commit takes 10 to 100 ms on a healthy server; above 2 s the throttle pauses,
# and after 20 s a try is given up.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


class Tally:
    """The numbers of one run in ``database``, which began with ``start`` bytes resident.

    ``who`` is what is known of the process: its version, pod and host; ``clock`` is in seconds since 1970.
    Hold ``lock`` while reading several of them. Bytes and seconds; None is what is not known. ``commits``
    counts the chunks whose commit took no longer than each of `BUCKETS`, and longer than the one before.
    """

    def __init__(
        self,
        database: str,
        start: int,
        who: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database, self.start, self.who, self._clock = database, start, who, clock
        self.lock = threading.Lock()
        self.migration, self.budget_source = "", ""
        self.status = RUNNING
        self.counts, self.chunks, self.retries = Counts(), 0, 0
        self.commits, self.commit_seconds = [0] * (len(BUCKETS) + 1), 0.0
        self.pauses, self.paused_seconds = dict.fromkeys(SIGNALS, 0), dict.fromkeys(SIGNALS, 0.0)
        self.budget, self.rss, self.peak = 0, start, start
        self.step = self.steps = 0
        self.last: Progress | None = None
        self.left: int | None = None
        self.succeeded_at: float | None = None
        self.worth_telling = False

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Begin to count."""
        with self.lock:
            self.migration, self.budget, self.budget_source = migration, budget, source

    def note(self, event: str, message: str, /, **facts: Any) -> None:
        """Count a retry, a pause, or a bit of one."""
        with self.lock:
            if event == "retrying":
                self.retries += 1
            if event in ("paused", "resumed"):
                self.status = PAUSED if event == "paused" else RUNNING
            if (signal := facts.get("signal")) in self.pauses:
                self.pauses[signal] += bool(message)
                self.paused_seconds[signal] += facts.get("seconds", 0.0)

    def show(self, progress: Progress) -> None:
        """Count a chunk."""
        result = progress.result
        with self.lock:
            self.last, self.counts = progress, progress.counts
            self.chunks += 1
            self.commits[bisect_left(BUCKETS, result.seconds)] += 1
            self.commit_seconds += result.seconds
            self.step, self.steps = progress.step, progress.steps
            self.budget, self.rss = result.reading.budget, result.reading.rss
            self.peak = max(self.peak, self.rss)
            self.left = None if progress.total is None else max(0, progress.total - progress.step_read)

    def end(self, outcome: Outcome) -> None:
        """Note how it ended. One that found its work done has nothing to tell that is not known already."""
        with self.lock:
            self.status, self.counts = outcome.status, outcome.counts
            self.budget, self.peak = outcome.budget, outcome.peak
            self.worth_telling = outcome.reason != ALREADY
            if outcome.status in (APPLIED, ROLLED_BACK) and self.worth_telling:
                self.succeeded_at = self._clock()
                self.left = None if self.left is None else 0
