"""Trying: dry runs, each shown as it goes and then as what it found out.

What a dry run does is ``dryrun``'s business, how its end looks ``summary``'s, and its exit code the command
line's.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from chunkmigrate import dryrun, sequence, tuned, verification
from chunkmigrate.ledger import Ledger
from chunkmigrate.opening import opened
from chunkmigrate.preflight import means_of
from chunkmigrate.readonly import ReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.database import Database

    from chunkmigrate.dryrun import DryRun, Foreseen
    from chunkmigrate.memory import Sensor
    from chunkmigrate.migration import Migration
    from chunkmigrate.sequence import Wanted
    from chunkmigrate.settings import Settings
    from chunkmigrate.stop import Stop


def each(wanted: Wanted, settings: Settings, stop: Stop, say: Callable[[str], Any], **how: Any) -> bool:
    """Try the migrations a run would apply, and the one that is named; whether all would come to their end.

    ``how`` is as `Trials` has it.
    """
    with opened(settings, [ReadOnly()]) as db:
        trials = Trials(db, settings, stop, say, **how)
        chosen, warnings = sequence.chosen(wanted, Ledger(db))
        for warning in warnings:
            sys.stderr.write(f"Warning: {warning}\n")
        ends_well = [trials.run(migration) for migration in chosen]
        return all(ends_well)


class Trials:
    """The dry runs of one command. ``say`` writes a line where no terminal is.

    ``sample`` is about how many documents of each step to take, None all of them.
    """

    def __init__(
        self,
        database: Database[Any],
        settings: Settings,
        stop: Stop,
        say: Callable[[str], Any],
        *,
        sample: int | None,
        show_values: bool,
    ) -> None:
        self._database, self._settings, self._stop, self._say = database, settings, stop, say
        self._sample, self._show_values = sample, show_values

    def run(self, migration: Migration) -> bool:
        """Try one migration; return whether a run of it would come to its end."""
        settled, unused = tuned.load(migration)
        means = means_of(self._settings, settled)
        sensor = means.sensor
        trial = dryrun.DryRun(
            migration,
            self._database,
            sensor,
            writers=means.writers,
            sample=self._sample,
            most=means.most,
            stopped=lambda: self._stop.asked,
            show_values=self._show_values,
        )
        self._go_through(trial, sensor, [unused, *sensor.budget.warnings])
        self._show(migration, trial.steps)
        return not self._stop.asked and all(map(_is_well, trial.steps))

    def _go_through(self, trial: DryRun, sensor: Sensor, warnings: Sequence[str]) -> None:
        with ExitStack() as stack:
            consumer = None
            if sys.stdout.isatty():
                from chunkmigrate.progress import Display

                consumer = stack.enter_context(Display())
                consumer.begin(f"{trial.migration.name} (dry run)", sensor.budget.size, sensor.budget.source)
                for warning in filter(None, warnings):
                    consumer.note("warning", warning)
            for progress in trial:
                if consumer:
                    consumer.show(progress)

    def _show(self, migration: Migration, steps: Sequence[Foreseen]) -> None:
        from chunkmigrate import foreseen

        verifies = verification.has_one(migration)
        if sys.stdout.isatty():
            foreseen.show(migration.name, steps, verifies=verifies)
            return
        for line in foreseen.as_lines(migration.name, steps, verifies=verifies):
            self._say(line)


def _is_well(step: Foreseen) -> bool:
    return not step.stopped_by and not (step.failures and step.stops)
