"""The timekeeper: takes the samples and marks of a run as it goes, and has them put on record.

Often enough that a run which is killed can be told of, seldom enough that it costs nothing. What is kept of
them is ``timeline``'s business, how it is stored the ledger's.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import TYPE_CHECKING, Any

from chunkmigrate.holder import user
from chunkmigrate.sizing import zone_of
from chunkmigrate.timeline import Sample, Timeline
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from chunkmigrate.consumers import Note
    from chunkmigrate.memory import Reading, Sensor
    from chunkmigrate.outcome import Progress
    from chunkmigrate.sizing import Sizes, Zone

# Measured: a sample takes 6 µs, beside some 30 ms for its chunk; to keep all of them, at their most (31 KB),
# takes 1 ms, beside five seconds. Where the server is slow to take it, it is asked so seldom that a
# hundredth of the time is the most it can cost.
KEEP_SECONDS = 5.0
_SHARE = 100
# A run that waits has little to tell, and an operator may have it wait for days.
WAITING_KEEP_SECONDS = 60.0


class Timekeeper:
    """Keeps the time of one run. ``tell`` hears every note, ``keep`` is called to put `facts` on record.

    ``note`` may be called from any thread, the rest is for one. ``keep`` must raise nothing.
    """

    def __init__(
        self,
        sensor: Sensor,
        *,
        tell: Note,
        keep: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sensor, self._tell, self._keep, self._clock = sensor, tell, keep, clock
        self._timeline, self._lock = Timeline(), Lock()
        self._pauses: dict[str, float] = {}
        self._first: Sizes | None = None
        self._committing = 0.0
        self._progress: Progress | None = None
        self._began, self._kept_at, self._took = clock(), -math.inf, 0.0

    def begin(self) -> None:
        """Start the clock: waiting for another run's lease is no part of this one."""
        self._began = self._clock()
        self._sample(self._sensor.read())

    def note(self, word: str, sentence: str, /, **facts: Any) -> None:
        """Mark what an operator is told, or for how long the run waited, and tell it."""
        if sentence:
            self._mark(word, sentence)
        elif "signal" in facts:
            self._waited(facts["signal"], facts["seconds"])
        self._tell(word, sentence, **facts)

    def sampled(self, run: Iterable[Progress]) -> Iterator[Progress]:
        """Yield what the run yields, and take a sample of each."""
        for progress in run:
            self._chunk(progress)
            yield progress

    def _waited(self, signal: str, seconds: float) -> None:
        """Note that the run waited so long because of ``signal``, until now."""
        self._pauses[signal] = self._pauses.get(signal, 0.0) + seconds
        self._sample(self._sensor.read())
        self._keep_in_time(WAITING_KEEP_SECONDS)

    def facts(self) -> dict[str, Any]:
        """Return what is to be on record. ``committing`` is the seconds of all writers together."""
        with self._lock:
            timeline = self._timeline.document()
        return {
            "timeline": timeline,
            "pauses": {signal: round(seconds, 3) for signal, seconds in self._pauses.items()},
            "committing": round(self._committing, 3),
            "sizes": self._sizes(),
            "progress": self._standing(),
        }

    def _chunk(self, progress: Progress) -> None:
        before, self._progress = self._progress, progress
        result = progress.result
        self._first = self._first or result.sizes
        self._committing += result.seconds
        if before is not None and before.step != progress.step:
            self._mark("step", f"Step {progress.step} of {progress.steps} begins.")
        if before is not None and before.result.zone is not result.zone:
            self._mark("zone", _change(before.result.zone, result.zone, result.reading))
        self._sample(result.reading)
        self._keep_in_time(KEEP_SECONDS)

    def _sizes(self) -> dict[str, Any] | None:
        """Return how large chunks might be, at first and at last."""
        if self._first is None or self._progress is None:
            return None
        return {"first": asdict(self._first), "last": asdict(self._progress.result.sizes)}

    def _standing(self) -> dict[str, Any] | None:
        progress = self._progress
        if progress is None:
            return None
        names = ("step", "steps", "step_read", "total")
        return {name: getattr(progress, name) for name in names}

    def _mark(self, word: str, sentence: str) -> None:
        with self._lock:
            self._timeline.mark(round(self._now(), 3), word, sentence)

    def _sample(self, reading: Reading) -> None:
        progress = self._progress
        sample = Sample(
            second=round(self._now(), 3),
            rss=reading.rss,
            used=reading.used,
            budget=reading.budget,
            limit=self._sensor.limit,
            read=progress.counts.read if progress else 0,
            documents=progress.result.read if progress else 0,
            size=progress.result.size if progress else 0,
            zone=zone_of(reading).value,
            paused=round(sum(self._pauses.values()), 3),
        )
        with self._lock:
            self._timeline.add(sample)

    def _keep_in_time(self, seconds: float) -> None:
        began = self._clock()
        if began - self._kept_at >= max(seconds, _SHARE * self._took):
            self._keep()
            self._kept_at = self._clock()
            self._took = self._kept_at - began

    def _now(self) -> float:
        return self._clock() - self._began


def circumstances(sensor: Sensor, *, writers: int, max_rate: float | None, **more: Any) -> dict[str, Any]:
    """Return what is known of a run before it does anything, and ``more``."""
    budget = sensor.budget
    return {
        **more,
        "version": _version(),
        "user": user(),
        "writers": writers,
        "max_rate": max_rate,
        "start": sensor.rss_start,
        "budget_source": budget.source,
        "limit": sensor.limit,
        "warnings": [*budget.warnings],
    }


def _version() -> str:
    try:
        return version("chunkmigrate")
    except PackageNotFoundError:  # a folder of sources that was never installed
        return "unknown"


def _change(before: Zone, after: Zone, reading: Reading) -> str:
    used = f"{format_bytes(reading.used)} of {format_bytes(reading.budget)}"
    return f"{before.value} to {after.value} at {reading.fraction:.0%}: {used}"
