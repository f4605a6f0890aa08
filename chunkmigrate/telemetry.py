"""Telemetry: what a run says about itself where nobody watches, one JSON object a line.

Speaks when the zone changes, at most every ten seconds otherwise, and once at the end. The sentence at the
end is made here for terminals too. Showing live progress is ``progress``' business.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, ROLLED_BACK, STOPPED
from chunkmigrate.outcome import ALREADY, counted
from chunkmigrate.records import Counts
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.outcome import Outcome, Progress

LINE_SECONDS = 10.0

ROLLBACK = "chunkmigrate rollback"

# The names of what is known of an end beside its sentence.
NUMBERS = (*counted(Counts()), "start", "peak", "budget", "seconds", "position")


class JsonLines:
    """Writes the lines of one run."""

    def __init__(self, write: Callable[[str], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._zone, self._said_at = "", clock()
        self._began = clock()

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Say which migration begins, and inside which budget."""
        self._line("started", migration=migration, budget=budget, budget_source=source)

    def note(self, event: str, message: str, /, **facts: Any) -> None:
        """Say something the operator should know; ``event`` is the word for it."""
        if message:
            self._line(event, message=message, **facts)

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
            event_of(outcome),
            message=sentence(outcome),
            migration=outcome.migration,
            **numbers(outcome),
            **({"reason": outcome.reason} if outcome.status == FAILED else {}),
        )

    def _line(self, event: str, **facts: Any) -> None:
        self._write(line(event, **facts))


def line(event: str, **facts: Any) -> str:
    """Return one line of JSON: what happened, when, and what is known of it."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"at": at, "event": event} | facts)


def numbers(outcome: Outcome) -> dict[str, Any]:
    """Return what is known of an end beside its sentence, by name. Bytes and seconds."""
    return {
        **counted(outcome.counts),
        "start": outcome.start,
        "peak": outcome.peak,
        "budget": outcome.budget,
        "seconds": round(outcome.seconds, 3),
        "position": outcome.position,
    }


def event_of(outcome: Outcome) -> str:
    """Return the word for an end: "applied" is only what this run has applied itself."""
    if outcome.reason == ALREADY:
        return f"already_{outcome.status.replace(' ', '_')}"
    readmitted = outcome.stay is not None and outcome.status == APPLIED
    return "readmitted" if readmitted else outcome.status.replace(" ", "_")


def sentence(outcome: Outcome) -> str:
    """Return what happened, how much of it, inside which memory, how long it took, and where it stands."""
    counts = outcome.counts
    if outcome.reason == ALREADY:
        return f"{outcome.migration} is {outcome.status} already: another run was faster."
    if outcome.stay is not None:
        return _readmitted(outcome, outcome.stay)
    return (
        f"{outcome.migration} {_ended(outcome)}: {counts.read:,} documents read, {counts.written:,} written, "
        f"{counts.skipped:,} skipped{_set_aside(counts)}; "
        f"peak memory {format_bytes(outcome.peak)} of {format_bytes(outcome.budget)}; "
        f"{format_duration(outcome.seconds)}; {_stands(outcome)}"
    )


def _readmitted(outcome: Outcome, stay: int) -> str:
    """Return what became of the documents in quarantine; how far the migration is, it does not tell."""
    left = outcome.counts.read - outcome.counts.quarantined
    name, ended = outcome.migration, "" if outcome.status == APPLIED else f" {_ended(outcome)}"
    again = {
        STOPPED: f"; run `chunkmigrate quarantine retry {name}` again to go on",
        CANCELLED: f"; `chunkmigrate resume {name}` allows it to run again",
    }
    listed = "; `chunkmigrate quarantine list` shows them" if stay else ""
    moved = f"{left:,} of {left + stay:,} documents left quarantine, {stay:,} stay"
    return (
        f"{name} quarantine retry{ended}: {moved}; "
        f"peak memory {format_bytes(outcome.peak)} of {format_bytes(outcome.budget)}; "
        f"{format_duration(outcome.seconds)}{again.get(outcome.status, listed)}."
    )


def _set_aside(counts: Counts) -> str:
    aside = f", {counts.quarantined:,} in quarantine" if counts.quarantined else ""
    return aside + (f", {counts.changed:,} read again after edits" if counts.changed else "")


def _ended(outcome: Outcome) -> str:
    reasons = {"stop": "stopped as asked", "memory": "stopped for lack of memory", "cancel": "was cancelled"}
    return reasons.get(outcome.reason, outcome.status)


def _stands(outcome: Outcome) -> str:
    if outcome.status == APPLIED:
        aside = "; `chunkmigrate quarantine list` shows what is not" if outcome.counts.quarantined else ""
        return f"it is complete{aside}."
    if outcome.status == ROLLED_BACK:
        return "it is pending again."
    again = "run again" if outcome.direction == "up" else f"run `{ROLLBACK} {outcome.migration}` again"
    if outcome.status == CANCELLED:
        again = f"`chunkmigrate resume {outcome.migration}` allows it to run again"
    begun = outcome.position is not None
    where = f"it stands behind _id {outcome.position}" if begun else "nothing is committed yet"
    if outcome.reason == "memory" and not outcome.made_progress:
        return f"{where}, and does not get on in this memory: give it more, as with --memory."
    return f"{where}; {again} to {'continue from there' if begun else 'start'}."


def _standing(progress: Progress, seconds: float) -> dict[str, Any]:
    result = progress.result
    return {
        "step": progress.step,
        "steps": progress.steps,
        **counted(progress.counts),
        "total": progress.total,
        "documents_per_second": round(progress.counts.read / seconds) if seconds else None,
        "zone": result.zone.value,
        "chunk_bytes": result.sizes.chunk_bytes,
        "rss": result.reading.rss,
        "used": result.reading.used,
        "budget": result.reading.budget,
    }
