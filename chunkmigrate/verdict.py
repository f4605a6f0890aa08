"""Verdict: how a run would end now: its status and why, and what it has done, as long as it goes on.

It only keeps that and sums it up; what changes it is the runner's business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkmigrate.lease_reading import CANCEL
from chunkmigrate.ledger import APPLIED, CANCELLED, PAUSED, STOPPED
from chunkmigrate.outcome import Outcome
from chunkmigrate.records import Counts

if TYPE_CHECKING:
    from chunkmigrate.direction import Direction
    from chunkmigrate.memory import Sensor
    from chunkmigrate.readmission import Readmission
    from chunkmigrate.step import Step


@dataclass(slots=True)
class Verdict:
    """How the run of one migration would end now. ``done`` is what it did before the ``step`` it is at."""

    migration: str
    sensor: Sensor
    direction: Direction
    status: str = APPLIED
    reason: str = ""
    done: Counts = field(default_factory=Counts)
    step: Step | None = None
    readmission: Readmission | None = None
    _position: str | None = None
    _began: float = field(default_factory=time.monotonic)

    def end(self, status: str, reason: str) -> None:
        """Say how it would end now."""
        self.status, self.reason = status, reason

    def interrupted(self, stopped_by: str, *, stopped: bool, asked: str) -> None:
        """Say what it means that the loop ended early: it knows only that it was to end.

        ``stopped``: the process was asked to; ``asked`` is what an operator asks for.
        """
        if stopped_by == "memory" or stopped:
            self.end(STOPPED, stopped_by)
        elif asked == CANCEL:
            self.end(CANCELLED, "cancel")
        else:
            self.end(PAUSED, "pause")

    def passed(self, step: Step) -> None:
        """Count ``step`` in: it is left behind, done or not."""
        self.done, self._position, self.step = self.counts(), step.position, None

    def counts(self) -> Counts:
        """Count what this run did: earlier steps, and what the current one gained."""
        return self.done + self.step.gained if self.step else self.done

    def outcome(self) -> Outcome:
        """Sum it up."""
        budget = self.sensor.budget
        return Outcome(
            migration=self.migration,
            status=self.direction.called(self.status),
            counts=self.counts(),
            peak=self.sensor.peak(),
            start=self.sensor.rss_start,
            budget=budget.size,
            budget_source=budget.source,
            seconds=time.monotonic() - self._began,
            position=self.step.position if self.step else self._position,
            reason=self.reason,
            stay=self.readmission.stay if self.readmission else None,
            direction=self.direction.word,
        )
