"""Runs: one migration after the other, each told to its audience from beginning to end.

What a run does is ``runner``'s business; which of them are started, and the exit code of an end, are the
command line's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import CancelledError, ChunkmigrateError, LeaseHeldError, StoppedWaitingError
from chunkmigrate.memory import Sensor
from chunkmigrate.runner import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.database import Database

    from chunkmigrate.audience import Audience
    from chunkmigrate.consumers import Consumer
    from chunkmigrate.migration import Migration
    from chunkmigrate.outcome import Outcome
    from chunkmigrate.settings import Settings
    from chunkmigrate.stop import Stop


class Runs:
    """The runs of one command. ``wait`` is how many seconds each waits for another run's lease."""

    def __init__(
        self, database: Database[Any], settings: Settings, stop: Stop, audience: Audience, *, wait: float
    ) -> None:
        self.database, self.stop = database, stop
        self._settings, self._audience, self._wait = settings, audience, wait
        self._sensor = Sensor(memory=settings.memory, request=settings.request)
        self._warnings: Sequence[str] = self._sensor.budget.warnings

    def run(self, migration: Migration, **how: Any) -> Outcome:
        """Run one migration and return how that ended; a failure is told, and raised.

        Raises `StoppedWaitingError` where it was asked to stop before it had the lease.
        """
        with self._audience.of_a_run() as consumer:
            warnings, self._warnings = self._warnings, ()
            for warning in warnings:
                consumer.note("warning", warning)
            run = Run(
                migration,
                self.database,
                self._sensor,
                writers=self._settings.writers,
                wait=self._wait,
                max_rate=self._settings.max_rate,
                stopped=lambda: self.stop.asked,
                note=consumer.note,
                **how,
            )
            return self._told(run, consumer)

    def _told(self, run: Run, consumer: Consumer) -> Outcome:
        consumer.begin(run.migration.name, self._sensor.budget.size, self._sensor.budget.source)
        try:
            for progress in run:
                consumer.show(progress)
        except LeaseHeldError as error:  # it never began: there is nothing to sum up
            if not self.stop.asked:
                raise
            raise StoppedWaitingError(error) from error
        except CancelledError:
            raise
        except ChunkmigrateError as error:
            consumer.end(run.failure(str(error)))
            raise
        consumer.end(run.outcome)
        return run.outcome
