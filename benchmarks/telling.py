"""One run, told of as the command line does or not at all, in a process of its own.

``python -m benchmarks.telling told|untold SHAPE URI DATABASE`` prints one JSON line at its end: what the run
took, and what of that telemetry took itself: the JSON lines, the metrics, which are written to a file at the
end, and the timekeeper's record. Every run has a timekeeper; that of a run that is told of is timed.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from unittest import mock

from benchmarks.way import BUDGET, MIGRATIONS, WRITERS
from chunkmigrate import server
from chunkmigrate.audience import Audience
from chunkmigrate.consumers import Together
from chunkmigrate.memory import Sensor
from chunkmigrate.metrics import Metrics
from chunkmigrate.migration import discover, find
from chunkmigrate.notify import Notifier
from chunkmigrate.printing import say, warn
from chunkmigrate.runner import Run
from chunkmigrate.timekeeper import Timekeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from chunkmigrate.migration import Migration
    from chunkmigrate.outcome import Progress

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one run took, in seconds; ``cpu`` and ``own`` are telemetry's, without and with its waiting."""

    documents: int
    seconds: float
    cpu: float
    own: float


class Watch:
    """Adds up what takes place inside it, in any thread; what lies within that is part of it."""

    def __init__(self) -> None:
        self.cpu = self.own = 0.0
        self._lock, self._inside = threading.Lock(), threading.local()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time a block."""
        if getattr(self._inside, "busy", False):
            yield
            return
        self._inside.busy = True
        cpu, own = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self._add(time.thread_time() - cpu, time.perf_counter() - own)
            self._inside.busy = False

    def timed(self, call: Callable[P, R]) -> Callable[P, R]:
        """Return ``call``, timed."""

        @wraps(call)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.running():
                return call(*args, **kwargs)

        return inner

    def _add(self, cpu: float, own: float) -> None:
        with self._lock:
            self.cpu, self.own = self.cpu + cpu, self.own + own


WATCH = Watch()


class TimedTimekeeper(Timekeeper):
    """A timekeeper that is timed, with whoever it tells, and the server that takes its record."""

    begin = WATCH.timed(Timekeeper.begin)
    note = WATCH.timed(Timekeeper.note)
    facts = WATCH.timed(Timekeeper.facts)

    def _chunk(self, progress: Progress) -> None:
        with WATCH.running():
            super()._chunk(progress)


class TimedTogether(Together):
    """Whoever is told of a run, timed."""

    begin = WATCH.timed(Together.begin)
    note = WATCH.timed(Together.note)
    show = WATCH.timed(Together.show)
    end = WATCH.timed(Together.end)


def told(migration: Migration, database: Database[Any]) -> Run:
    """Do a run as the command line does, with a pipe in front of it and metrics in a file."""
    sensor = Sensor(memory=BUDGET)
    with (
        mock.patch("chunkmigrate.runner.Timekeeper", TimedTimekeeper),
        mock.patch("chunkmigrate.audience.Together", TimedTogether),
        TemporaryDirectory() as folder,
        ExitStack() as stack,
    ):
        audience = Audience(say, Notifier(), metrics=Metrics(file=Path(folder, "m.prom"), warn=warn))
        with WATCH.running():
            consumer = stack.enter_context(audience.of_a_run(database.name, sensor.rss_start))
        run = Run(migration, database, sensor, writers=WRITERS, note=consumer.note)
        consumer.begin(migration.name, BUDGET, "--memory")
        for progress in run:
            consumer.show(progress)
        consumer.end(run.outcome)
        with WATCH.running():
            stack.close()
    return run


def untold(migration: Migration, database: Database[Any]) -> Run:
    """Do a run that nobody is told of."""
    run = Run(migration, database, Sensor(memory=BUDGET), writers=WRITERS)
    deque(run, maxlen=0)
    return run


WAYS = {"told": told, "untold": untold}


def main() -> None:
    """Do one run and print what it took."""
    way, shape, uri, name = sys.argv[1:]
    with server.connect(uri) as client:
        migration, database = find(discover(MIGRATIONS), shape), client[name]
        began = time.perf_counter()
        run = WAYS[way](migration, database)
        seconds = time.perf_counter() - began
    documents = run.outcome.counts.written
    print(json.dumps(asdict(Told(documents=documents, seconds=seconds, cpu=WATCH.cpu, own=WATCH.own))))


if __name__ == "__main__":
    main()
