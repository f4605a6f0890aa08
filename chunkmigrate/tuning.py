"""Tuning: from a profile and past runs to memory, chunk sizes and writers, with the reasons in numbers.

Pure. What was measured comes from ``profiles`` and the ledger; what a run makes of it is ``sizing``'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.errors import ProfileError
from chunkmigrate.profiles import SCRATCH
from chunkmigrate.sizing import MIB
from chunkmigrate.tuned import Tuned
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkmigrate.profiles import Point, Profile, Step

# Above what was seen to be enough: the next run meets documents that the sample, or the last run, had not.
SPARE = 0.15

# Of chunk sizes about as fast, the smallest: it holds locks for a shorter time, and a kill loses less of it.
ABOUT_AS_FAST = 0.05

# How far a run may be off the speed of its rehearsal: a machine's speed drifts by a factor within minutes.
FASTER, SLOWER = 1.25, 0.75

# A server's share of an update of one small field in a chunk of a thousand, where no commit was measured.
SERVER_SECONDS = 30e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """What is known of a run of this migration: bytes and seconds.

    ``peak`` is 0 of a run that was killed; ``used`` is what it had in use the last time it was asked.
    """

    applied: bool
    died: bool
    peak: int
    used: int
    budget: int
    start: int
    read: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """What to set, why, and what to expect: bytes, and seconds from least to most, where they are known."""

    tuned: Tuned
    why: tuple[str, ...]
    peak: int | None
    seconds: tuple[float, float] | None


def tune(profile: Profile | None, runs: Sequence[PastRun]) -> Tuning:
    """Return what the evidence says. Raises `ProfileError` where there is none."""
    finished = [run for run in runs if run.applied and run.peak]
    if profile is None and not finished:
        message = "There is neither a profile nor a finished run to tune from. Make a profile first."
        raise ProfileError(message)
    memory, why = _memory(profile, finished)
    chunk, chosen = _chunks(profile)
    room = sizing.headroom(_start(profile, finished), memory)
    writers = profile.writers if profile else 2
    top = sizing.ceiling(room, writers)
    tuned = Tuned(
        memory=memory,
        chunk_bytes=top.chunk_bytes,
        page_bytes=top.page_bytes,
        chunk_documents=chunk,
        writers=writers,
    )
    sentences = (*why, *chosen, *_deaths(profile, runs, memory, chunk))
    return Tuning(
        tuned=tuned, why=sentences, peak=_peak(profile, finished), seconds=_seconds(profile, finished)
    )


def rounded(size: float) -> int:
    """Return bytes in whole mebibytes, upwards: nobody writes a request in bytes."""
    return math.ceil(size / MIB) * MIB


def held(step: Step) -> Point | None:
    """Return the rehearsal in the smallest budget that held."""
    return next((point for point in step.sweep if point.held), None)


def rehearsed(step: Step) -> list[Point]:
    """Return the rehearsals of several chunk sizes, all in the budget that is then recommended."""
    smallest = held(step)
    return [point for point in step.sweep if point.held and smallest and point is not smallest]


def _memory(profile: Profile | None, finished: Sequence[PastRun]) -> tuple[int, list[str]]:
    """Return the memory to ask for, and why. What runs took outweighs a sample, but for what did not hold."""
    sampled = None if profile is None else _sampled(profile, finished=bool(finished))
    if not finished and profile and sampled:
        own = format_bytes(profile.baseline)
        memory = rounded((1 + SPARE) * sampled)
        why = f"Memory: the sample held in {format_bytes(sampled)}, of which {own} are the process itself"
        return memory, [f"{why}; +15 %, rounded: {quantity(memory)}."]
    peak = max(run.peak for run in finished)
    least = max(run.start for run in finished) + sizing.LEAST_ROOM
    memory = rounded(max((1 + SPARE) * peak, least, sampled or 0))
    runs = f"{len(finished)} run" + ("s" if len(finished) > 1 else "")
    held = f", and no less than the {format_bytes(sampled)} the sample held in" if sampled else ""
    return memory, [
        f"Memory: peak {format_bytes(peak)} over {runs}, +15 %{held}, rounded: {quantity(memory)}."
    ]


def _sampled(profile: Profile, *, finished: bool) -> int | None:
    """Return the smallest budget in which every step held; None where that is not needed, nor known."""
    points = [held(step) for step in profile.steps if step.sampled]
    if points and None not in points:
        return max(point.budget for point in points if point)
    if finished:
        return None
    most = max((point.budget for step in profile.steps for point in step.sweep), default=0)
    message = f"No budget up to {format_bytes(most)} held in the profile. Read fewer fields."
    raise ProfileError(message)


def _chunks(profile: Profile | None) -> tuple[int, list[str]]:
    """Return how many documents a chunk should have at most."""
    points = [point for step in (profile.steps if profile else ()) for point in rehearsed(step)]
    speeds = {
        point.chunk_documents: point.documents_per_second for point in points if point.against == SCRATCH
    }
    if not speeds:
        return sizing.MAX_CHUNK_DOCUMENTS, []
    fastest = max(speeds.values())
    chosen = min(size for size, speed in speeds.items() if speed >= (1 - ABOUT_AS_FAST) * fastest)
    why = f"Chunks: of {chosen:,} documents {speeds[chosen]:,.0f}/s were committed to a scratch collection"
    return chosen, [f"{why}; the fastest were {fastest:,.0f}/s."]


def _deaths(profile: Profile | None, runs: Sequence[PastRun], memory: int, chunk: int) -> list[str]:
    """Say of the last run, if it was killed, what would have been enough."""
    if not runs or not runs[-1].died:
        return []
    last = runs[-1]
    at = f"The last run was killed with {format_bytes(last.used)} of {format_bytes(last.budget)} in use"
    if profile and memory <= last.budget:
        fewer = f"Chunks of {max(1, chunk // sizing.AFTER_DEATH):,} documents suffice: the next run starts so"
        return [f"{at}, and the sample held in less: more memory is not needed. {fewer}."]
    return [f"{at}; {quantity(memory)} would have been enough. Smaller chunks alone would not."]


def _start(profile: Profile | None, finished: Sequence[PastRun]) -> int:
    starts = [run.start for run in finished]
    return max((*starts, profile.baseline)) if profile else max(starts)


def _peak(profile: Profile | None, finished: Sequence[PastRun]) -> int | None:
    if profile:
        return max((point.peak for step in profile.steps for point in rehearsed(step)), default=None)
    return max(run.peak for run in finished)


def _seconds(profile: Profile | None, finished: Sequence[PastRun]) -> tuple[float, float] | None:
    if profile is None:
        pace = [run.seconds / run.read for run in finished if run.read]
        read = max(run.read for run in finished)
        return (min(pace) * read, max(pace) * read) if pace else None
    spans = [_span(step) for step in profile.steps]
    if None in spans:
        return None
    return sum(span[0] for span in spans if span), sum(span[1] for span in spans if span)


def _span(step: Step) -> tuple[float, float] | None:
    """Return from least to most how long a step takes."""
    if step.documents is None:
        return None
    measured = [point.documents_per_second for point in rehearsed(step) if point.against == SCRATCH]
    if fastest := max(measured, default=0.0):
        seconds = step.documents / fastest
        return seconds / FASTER, seconds / SLOWER
    return span(step.documents, sum(step.seconds_per_document.values()), step.writes_per_document)


def span(documents: int, seconds: float, writes: float) -> tuple[float, float]:
    """Return from least to most how long ``documents`` take, where no commit was measured.

    ``seconds`` is what this process needs for one of them, and so the least; at the most the server's share
    comes on top. ``writes`` is how many each has.
    """
    least = documents * seconds
    return least, least + documents * max(1.0, writes) * SERVER_SECONDS / SLOWER
