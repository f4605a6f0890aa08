"""Bottlenecks: what held a run up, and what would make it faster.

Pure: a report in, one `Advice` or None out, as all rules of ``advice`` are. Each looks at one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate.outcome import OPERATOR
from chunkmigrate.report import Advice
from chunkmigrate.settings import MAX_WRITERS
from chunkmigrate.units import format_duration

if TYPE_CHECKING:
    from chunkmigrate.profiles import Step
    from chunkmigrate.report import Report

# What takes a quarter of the time is worth a sentence, what takes half of it is what to begin with.
MUCH, MOST = 0.25, 0.50
# One document in a hundred that is read again: somebody works on the same ones.
OFTEN = 0.01
# Writers that wait nine tenths of their time for the server; in a shorter run they mostly wait for the first.
BUSY, TELLING_SECONDS = 0.90, 10.0

_SIGNALS = {
    "replication lag": ("replication lag", "Run it at a quieter time, or look at why secondaries are slow."),
    "flow control": ("flow control", "The server slowed all writers down: its secondaries lag."),
    "commit latency": ("slow commits", "The server's disk or its secondaries are the bottleneck."),
    "overload errors": ("overload", "The server refused work: run it at a quieter time."),
    "rate": ("its limited rate", "A higher `--max-rate` shortens it."),
    "predicate": ("the migration's own throttle", "It is for its author to say whether that is right."),
    OPERATOR: ("an operator's pause", "Nothing is wrong with that."),
}

_PHASES = {
    "transform": (
        "The transform is the bottleneck",
        "Where it looks things up, `each_chunk` does so once for many documents.",
    ),
    "decode": (
        "Read fewer fields",
        "Name those that the transform needs: `scan(..., fields=[...])`.",
    ),
    "encode": (
        "Write less",
        "Set the fields that change, where whole documents or large values are written.",
    ),
}


def _held_up(report: Report) -> Advice | None:
    if not report.seconds or not report.pauses:
        return None
    signal = max(report.pauses, key=lambda one: report.pauses[one])
    seconds = min(report.pauses[signal], report.seconds)
    if seconds < MUCH * report.seconds:
        return None
    name, what = _SIGNALS.get(signal, (signal, ""))
    text = (
        f"Of {format_duration(report.seconds)} it waited {format_duration(seconds)} because of {name}, "
        f"{seconds / report.seconds:.0%}. {what}"
    )
    share = "Most" if seconds >= MOST * report.seconds else "Much"
    return Advice(f"{share} of the time it waited", text.strip())


def _edited(report: Report) -> Advice | None:
    changed, read = report.counts.changed, report.counts.read
    if not changed or changed < OFTEN * read:
        return None
    text = (
        f"{changed:,} times somebody edited a document while it was being migrated; it read {read:,}. "
        "Run it at a quieter time, or compare less: name only the `fields` that matter."
    )
    return Advice("Others work on the same documents", text)


def _halved(report: Report) -> Advice | None:
    halved = [mark for mark in report.timeline.marks if mark.word == "smaller_chunks"]
    if not halved:
        return None
    times = "once" if len(halved) == 1 else f"{len(halved)} times"
    return Advice(f"The server had chunks halved {times}", halved[-1].sentence)


def _server_bound(report: Report) -> Advice | None:
    if not (report.committing and report.seconds and report.writers):
        return None
    working = report.seconds - report.paused
    share = report.committing / (working * report.writers) if working >= TELLING_SECONDS else 0.0
    if share < BUSY:
        return None
    more = min(MAX_WRITERS, 2 * report.writers)
    text = f"Its {report.writers} writers waited for the server {min(share, 1.0):.0%} of the time."
    if more > report.writers:
        text += f" Try `--writers {more}`."
    return Advice("The server is the bottleneck", text)


def _slow_phase(report: Report) -> Advice | None:
    """Say what takes most of a document's time, where a profile tells."""
    for step in report.profile.steps if report.profile else ():
        for phase, (title, what) in _PHASES.items():
            seconds = step.seconds_per_document
            if seconds.together and getattr(seconds, phase) >= MOST * seconds.together:
                return Advice(title, f"{_share(step, phase)} {what}")
    return None


def _share(step: Step, phase: str) -> str:
    seconds, all_of_it = getattr(step.seconds_per_document, phase), step.seconds_per_document.together
    return (
        f"In the profile of step {step.step + 1}, to {phase} a document takes {seconds / all_of_it:.0%} of "
        f"its time, {1e6 * seconds:,.0f} of {1e6 * all_of_it:,.0f} µs."
    )


RULES = (_held_up, _edited, _halved, _server_bound, _slow_phase)
