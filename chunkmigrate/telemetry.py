"""Telemetry: what a run says about itself where nobody watches, one JSON object a line.

Speaks when the zone changes, at most every ten seconds otherwise, and once at the end. The sentence at the
end is made here for terminals too. Showing live progress is ``progress``' business.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate.ledger import APPLIED
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.checkpoint import Counts
    from chunkmigrate.runner import Outcome, Progress

LINE_SECONDS = 10.0


class JsonLines:
    """Writes the lines of one run."""

    def __init__(self, write: Callable[[str], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._zone, self._said_at = "", clock()
        self._began = clock()

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Say which migration begins, and inside which budget."""
        self._line("started", migration=migration, budget=budget, budget_source=source)

    def warn(self, message: str) -> None:
        """Say something the operator should know."""
        self._line("warning", message=message)

    def show(self, progress: Progress) -> None:
        """Say where the run stands, if the zone changed or ten seconds passed."""
        now, zone = self._clock(), progress.result.zone.value
        if zone == self._zone and now - self._said_at < LINE_SECONDS:
            return
        self._zone, self._said_at = zone, now
        self._line("progress", **_standing(progress, now - self._began))

    def end(self, outcome: Outcome) -> None:
        """Say what happened. Always the last line."""
        self._line(
            outcome.status,
            message=sentence(outcome),
            migration=outcome.migration,
            **_counted(outcome.counts),
            start=outcome.start,
            peak=outcome.peak,
            budget=outcome.budget,
            seconds=round(outcome.seconds, 3),
            position=outcome.position,
        )

    def _line(self, event: str, **facts: Any) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._write(json.dumps({"at": at, "event": event} | facts))


def sentence(outcome: Outcome) -> str:
    """Return what happened, how much of it, inside which memory, how long it took, and where it stands."""
    counts = outcome.counts
    return (
        f"{outcome.migration} {_ended(outcome)}: {counts.read:,} documents read, {counts.written:,} written, "
        f"{counts.skipped:,} skipped; "
        f"peak memory {format_bytes(outcome.peak)} of {format_bytes(outcome.budget)}; "
        f"{format_duration(outcome.seconds)}; {_stands(outcome)}"
    )


def _ended(outcome: Outcome) -> str:
    reasons = {"stop": "stopped as asked", "memory": "stopped for lack of memory"}
    return reasons.get(outcome.reason, outcome.status)


def _stands(outcome: Outcome) -> str:
    if outcome.status == APPLIED:
        return "it is complete."
    if outcome.position is None:
        return "nothing is committed yet; run again to start."
    return f"it stands behind _id {outcome.position}; run again to continue from there."


def _counted(counts: Counts) -> dict[str, int]:
    return {
        "read": counts.read,
        "written": counts.written,
        "skipped": counts.skipped,
        "writes": counts.writes,
    }


def _standing(progress: Progress, seconds: float) -> dict[str, Any]:
    result = progress.result
    return {
        "step": progress.step,
        "steps": progress.steps,
        **_counted(progress.counts),
        "total": progress.total,
        "documents_per_second": round(progress.counts.read / seconds) if seconds else None,
        "zone": result.zone.value,
        "chunk_bytes": result.sizes.chunk_bytes,
        "rss": result.reading.rss,
        "used": result.reading.used,
        "budget": result.reading.budget,
    }
