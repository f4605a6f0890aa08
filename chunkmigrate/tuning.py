"""Tuning: from a profile and past runs to memory, chunk sizes and writers, with the reasons in numbers.

Pure. What was measured comes from ``profiles`` and the ledger; what a run makes of it is ``sizing``'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.errors import ProfileError
from chunkmigrate.plain import listed
from chunkmigrate.profiles import SCRATCH
from chunkmigrate.settings import WRITERS
from chunkmigrate.sizing import MIB
from chunkmigrate.tuned import Tuned
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkmigrate.profiles import Point, Profile, Step

# Above what was seen to be enough: the next run meets documents that the sample, or the last run, had not.
SPARE = 0.15

# Of chunk sizes about as fast, the smallest: it holds locks for a shorter time, and a kill loses less of it.
# One size differs by as much from one profile to the next.
ABOUT_AS_FAST = 0.1

# How far a run may be off the pace of its sample. Three runs of 60,000 and 200,000 documents came to 0.64,
# 0.71 and 0.79 of it: the sample is in the server's cache, and its writes are not on disk yet at its end.
FASTER, SLOWER = 1.2, 0.6

# A server's share of an update of one small field in a chunk of a thousand, where no commit was measured.
SERVER_SECONDS = 30e-6

# What is known of writers where no commit was measured: the measurement that the default comes from.
_OTHER_WRITERS = (
    "which number is best was not measured here: on two cores the second brought a third more documents, and "
    "the fourth nothing"
)


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
    """Return what the evidence says; ``runs`` are oldest first. Raises `ProfileError` where there is none."""
    finished = [run for run in runs if run.applied and run.peak]
    if reason := _nothing(profile, finished):
        raise ProfileError(" ".join((*_killed(runs), reason)))
    steps = profile.steps if profile else ()
    memory, why = _memory(profile, finished)
    enough = _enough(profile, finished)
    chunk, chosen = _chunks(steps)
    writers, as_many = _writers(profile)
    top = sizing.ceiling(sizing.headroom(_start(profile, finished), memory), writers)
    tuned = Tuned(
        memory=memory,
        chunk_bytes=top.chunk_bytes,
        page_bytes=top.page_bytes,
        chunk_documents=chunk,
        writers=writers,
    )
    return Tuning(
        tuned=tuned,
        why=(why, *chosen, as_many, *_deaths(runs, enough, memory, chunk), *_gaps(steps)),
        peak=_peak(steps, finished),
        seconds=_seconds(steps, finished),
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


def span(documents: int, seconds: float, writes: float) -> tuple[float, float]:
    """Return from least to most how long ``documents`` take, where no commit was measured.

    ``seconds`` is what this process needs for one of them, and so the least; at the most the server's share
    comes on top. ``writes`` is how many each has.
    """
    least = documents * seconds
    return least, least + documents * max(1.0, writes) * SERVER_SECONDS / SLOWER


def _nothing(profile: Profile | None, finished: Sequence[PastRun]) -> str:
    """Return why nothing tells how much memory is enough; an empty text where something does."""
    if finished:
        return ""
    if profile is None:
        return (
            "There is neither a profile nor a finished run to tune from. Measure it first, with "
            "`chunkmigrate profile NAME`."
        )
    if not any(step.sampled for step in profile.steps):
        return (
            "No document matched when the profile was made: nothing was measured. Run `chunkmigrate profile` "
            "where some do."
        )
    if _sampled(profile) is None:
        most = max((point.budget for step in profile.steps for point in step.sweep), default=0)
        return f"No budget up to {format_bytes(most)} held in the profile. Read fewer fields."
    return ""


def _memory(profile: Profile | None, finished: Sequence[PastRun]) -> tuple[int, str]:
    """Return the memory to ask for, and why. What runs took outweighs a sample, but for what did not hold."""
    sampled = _sampled(profile)
    if not finished and profile and sampled:
        own = format_bytes(profile.baseline)
        memory = rounded((1 + SPARE) * sampled)
        why = f"Memory: the sample held in {format_bytes(sampled)}, of which {own} are the process itself"
        return memory, f"{why}; +15 %, rounded: {quantity(memory)}."
    peak = max(run.peak for run in finished)
    least = max(run.start for run in finished) + sizing.LEAST_ROOM
    memory = rounded(max((1 + SPARE) * peak, least, sampled or 0))
    runs = f"{len(finished)} run" + ("s" if len(finished) > 1 else "")
    why = f"Memory: peak {format_bytes(peak)} over {runs}, +15 %"
    if memory > rounded((1 + SPARE) * peak):
        why += f", and no less than the {format_bytes(max(least, sampled or 0))} that a run needs to work in"
    return memory, f"{why}, rounded: {quantity(memory)}."


def _sampled(profile: Profile | None) -> int | None:
    """Return the smallest budget in which every step held, if there is one."""
    points = [held(step) for step in profile.steps if step.sampled] if profile else []
    if not points or None in points:
        return None
    return max(point.budget for point in points if point)


def _enough(profile: Profile | None, finished: Sequence[PastRun]) -> tuple[int, str, str]:
    """Return what was seen to be enough, without anything to spare; what saw it; and what less would be.

    In less the sample did not hold, with chunks as small as that takes, or there was no room to begin. What
    finished runs took they took of the budgets they had: in less, their chunks would have been smaller.
    """
    sampled, peak = _sampled(profile) or 0, max((run.peak for run in finished), default=0)
    if sampled >= peak:
        return sampled, f"the sample held in {format_bytes(sampled)}", "would not suffice"
    return peak, f"finished runs took up to {format_bytes(peak)}", "may not suffice"


def _chunks(steps: Sequence[Step]) -> tuple[int, list[str]]:
    """Return how many documents a chunk should have at most: of all steps, which have one size together."""
    paces = [pace for step in steps if (pace := _paces(step))]
    sizes = set(paces[0]).intersection(*paces) if paces else set()
    if not sizes:
        return sizing.MAX_CHUNK_DOCUMENTS, []
    weights = [step.documents or step.sampled or 1 for step in steps if _paces(step)]
    together = {
        size: sum(weights) / sum(weight / pace[size] for weight, pace in zip(weights, paces, strict=True))
        for size in sizes
    }
    fastest = max(together.values())
    chosen = min(size for size, pace in together.items() if pace >= (1 - ABOUT_AS_FAST) * fastest)
    why = f"Chunks: of {chosen:,} documents {together[chosen]:,.0f}/s were committed to a scratch collection"
    return chosen, [f"{why}; the fastest were {fastest:,.0f}/s."]


def _writers(profile: Profile | None) -> tuple[int, str]:
    """Return how many writers a run should have, and why: nothing is known of more, or fewer, than it had."""
    if profile is None:
        return WRITERS, f"Writers: {WRITERS}, as a run has by itself; {_OTHER_WRITERS}."
    why = f"Writers: {profile.writers}, with which the profile was made"
    fastest = max((pace for step in profile.steps for pace in _paces(step).values()), default=0.0)
    if not fastest:
        return profile.writers, f"{why}; {_OTHER_WRITERS}."
    committed = f"up to {fastest:,.0f}/s were committed to a scratch collection"
    return profile.writers, f"{why}: {committed}. Of another number that is not known."


def _paces(step: Step) -> dict[int, float]:
    """Return the documents a second of each chunk size, where chunks were committed.

    That of chunks that were only encoded leaves out the server, and is not what a run comes to.
    """
    return {
        point.chunk_documents: point.documents_per_second
        for point in rehearsed(step)
        if point.documents_per_second and point.against == SCRATCH
    }


def _killed(runs: Sequence[PastRun]) -> list[str]:
    """Say of the last run, if it was killed, what is known of that."""
    if not runs or not runs[-1].died:
        return []
    last = runs[-1]
    if not last.used:
        return [f"The last run was killed; it had {format_bytes(last.budget)}."]
    used, budget = format_bytes(last.used), format_bytes(last.budget)
    return [f"The last run was killed with {used} of {budget} in use."]


def _deaths(runs: Sequence[PastRun], enough: tuple[int, str, str], memory: int, chunk: int) -> Iterator[str]:
    """Say of the last run, if it was killed, whether more memory is needed, or smaller chunks suffice."""
    size, seen, smaller = enough
    then = f"the next run starts with chunks of {max(1, chunk // sizing.AFTER_DEATH):,} documents"
    for said in _killed(runs):
        if (had := runs[-1].budget) < size:
            alone = f"more memory is needed, {quantity(memory)}; smaller chunks alone {smaller}"
            yield f"{said} But {seen}: {alone}."
        elif had < memory:
            spare = f"{quantity(memory)} leaves room to spare"
            yield f"{said} But {seen}: smaller chunks suffice in what it had, and {then}; {spare}."
        else:
            needed = "more memory is not needed, smaller chunks are"
            yield f"{said} {quantity(memory)} is enough: {needed}; {then}."


def _gaps(steps: Sequence[Step]) -> Iterator[str]:
    """Say what the profile does not know."""
    for step in steps:
        failed = sum(step.failures.values())
        if not step.sampled:
            what = "If it reads what an earlier step writes, profile it once that has run."
            yield f"Step {step.step + 1} was not measured: no document matched. {what}"
        elif failed:
            share = f"{failed:,} of {step.sampled:,} sampled documents failed"
            yield f"Step {step.step + 1}: {share} ({listed([*step.failures])}); correct the migration first."


def _start(profile: Profile | None, finished: Sequence[PastRun]) -> int:
    starts = [run.start for run in finished]
    return max((*starts, profile.baseline)) if profile else max(starts)


def _peak(steps: Sequence[Step], finished: Sequence[PastRun]) -> int | None:
    if finished:
        return max(run.peak for run in finished)
    return max((point.peak for step in steps for point in rehearsed(step)), default=None)


def _seconds(steps: Sequence[Step], finished: Sequence[PastRun]) -> tuple[float, float] | None:
    """Return from least to most how long a run takes: at the pace of past ones, or else of the sample."""
    if paces := [run.seconds / run.read for run in finished if run.read]:
        read = sum(step.documents or 0 for step in steps) or max(run.read for run in finished)
        return min(paces) * read / FASTER, max(paces) * read / SLOWER
    spans = [_span(step) for step in steps]
    if not spans or None in spans:
        return None
    return sum(span[0] for span in spans if span), sum(span[1] for span in spans if span)


def _span(step: Step) -> tuple[float, float] | None:
    """Return from least to most how long a step takes."""
    if step.documents is None:
        return None
    if fastest := max(_paces(step).values(), default=0.0):
        seconds = step.documents / fastest
        return seconds / FASTER, seconds / SLOWER
    return span(step.documents, step.seconds_per_document.together, step.writes_per_document)
