"""Runs: one migration after the other, each told to its audience from beginning to end.

What a run does is ``runner``'s business; which of them are started, and the exit code of an end, are the
command line's.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from chunkmigrate import server, tuned
from chunkmigrate.disorder import HalfRolledBackError
from chunkmigrate.errors import (
    CancelledError,
    ChunkmigrateError,
    LeaseHeldError,
    StoppedError,
    UnreachableError,
)
from chunkmigrate.ledger import FAILED
from chunkmigrate.opening import opened
from chunkmigrate.pod import Pulse
from chunkmigrate.preflight import means_of
from chunkmigrate.runner import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.database import Database

    from chunkmigrate.audience import Audience
    from chunkmigrate.consumers import Consumer
    from chunkmigrate.memory import Budget
    from chunkmigrate.migration import Migration
    from chunkmigrate.outcome import Outcome
    from chunkmigrate.settings import Settings
    from chunkmigrate.stop import Stop


@contextmanager
def begun(stop: Stop, settings: Settings) -> Iterator[Database[Any]]:
    """Open the database for runs, which signals stop from now on.

    A server that does not answer is what ended the waiting, where it was asked to stop: `StoppedError`.
    """
    with stop.on_signals():
        try:
            with opened(settings) as database:
                yield database
        except UnreachableError as error:
            if not stop.asked:
                raise
            raise StoppedError(f"Stopped while waiting. {error}") from error


class Runs:
    """The runs of one command.

    ``said`` makes a sentence of a failure; ``wait`` is how many seconds each waits for another run's lease.
    ``pulse`` gives the signs of life somebody may have asked for.
    """

    def __init__(
        self,
        database: Database[Any],
        settings: Settings,
        stop: Stop,
        audience: Audience,
        said: Callable[[BaseException], str],
        *,
        wait: float,
        pulse: Pulse | None = None,
    ) -> None:
        self.database, self.stop = database, stop
        self._settings, self._audience, self._said, self._wait = settings, audience, said, wait
        self._warned, self._pulse = set[str](), pulse or Pulse(None)

    def run(self, migration: Migration, **how: Any) -> Outcome:
        """Run one migration and return how that ended; a failure is told, and raised.

        Raises `StoppedError` where it was asked to stop before it had the lease.
        """
        settled, unused = tuned.load(migration)
        means = means_of(self._settings, settled)
        sensor = means.sensor
        with self._audience.of_a_run(self.database.name, sensor.rss_start) as consumer:
            for warning in self._news([unused, *sensor.budget.warnings]):
                consumer.note("warning", warning)
            run = Run(
                self._pulse.kept_up(migration),
                self.database,
                sensor,
                writers=means.writers,
                most=means.most,
                wait=self._wait,
                max_rate=self._settings.max_rate,
                stopped=self._is_stopped,
                note=consumer.note,
                about={"follows": migration.follows},
                **how,
            )
            return self._told(run, consumer, sensor.budget)

    def _is_stopped(self) -> bool:
        # Asked all the time by whatever goes on, also while it waits or pauses: what hangs does not ask.
        self._pulse.beat()
        return self.stop.asked

    def _news(self, warnings: Sequence[str]) -> list[str]:
        """Return the warnings that were not given yet: several runs may have the same budget."""
        fresh = [warning for warning in warnings if warning and warning not in self._warned]
        self._warned.update(fresh)
        return fresh

    def _told(self, run: Run, consumer: Consumer, budget: Budget) -> Outcome:
        consumer.begin(run.migration.name, budget.size, budget.source)
        try:
            for progress in run:
                consumer.show(progress)
        except (LeaseHeldError, PyMongoError) as error:  # it never began: there is nothing to sum up
            if not self.stop.asked:
                raise
            why = server.explained(error) if isinstance(error, PyMongoError) else error
            raise StoppedError(f"Stopped while waiting. {why}") from error
        except (CancelledError, HalfRolledBackError):
            raise
        except ChunkmigrateError as error:
            consumer.end(replace(run.outcome, status=FAILED, reason=self._said(error)))
            raise
        outcome = run.outcome  # once: the time in it goes on
        consumer.end(outcome)
        return outcome
