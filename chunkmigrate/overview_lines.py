"""Overview lines: how a migration stands, a plan of it, and a past run, for people.

They print nothing, and ask nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate.plain import in_line
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.history import PastRun
    from chunkmigrate.planning import Planned, PlannedStep
    from chunkmigrate.standing import Progress, Standing
    from chunkmigrate.touching import Written


# What follows stands in one column: the longest word for how a migration stands, and for how a run ended.
STANDING_WIDTH, RUN_WIDTH = len("cancelled"), len("marked applied")


def standing(row: Standing) -> str:
    """Return how a migration stands as people read it."""
    read = f"{row.read:,} documents read" if row.read else ""
    aside = f"{row.quarantined:,} in quarantine" if row.quarantined else ""
    told = "; ".join(filter(None, [read, aside, _going(row.progress) if row.progress else ""]))
    marks = "".join(f"  ({mark})" for mark in _marks(row))
    return (
        f"{row.status:<{STANDING_WIDTH}}  {in_line(row.name)}  {in_line(row.description)}".rstrip()
        + (f"  {told}" if told else "")
        + marks
    )


def _marks(row: Standing) -> Iterator[str]:
    if row.direction == "down":
        yield "being rolled back" if row.progress else "half rolled back"
    if row.drifted:
        yield "drifted: its file means something else since"
    if row.missing:
        yield "missing: it has no file here"
    if row.asked:
        yield f"{row.asked} was asked for; `chunkmigrate resume {row.name}` takes it back"
    if row.late:
        yield "older than the last applied"


def _going(progress: Progress) -> str:
    """Return how far it is, and by whom: ``step 1 of 2, 300 of about 900 documents, 120/s, by pod x``."""
    step = f"step {progress.step} of {progress.steps}" if progress.step else ""
    total = f" of about {progress.total:,}" if progress.total is not None else ""
    read = f"{progress.read:,}{total} documents of this run"
    rate = f"{progress.documents_per_second:,.0f}/s" if progress.documents_per_second is not None else ""
    return ", ".join(filter(None, [step, read, rate, f"by {', '.join(progress.by)}"]))


def planned(number: int, one: Planned) -> Iterator[str]:
    """Yield the lines of one migration in a plan."""
    late = ", older than the last applied" if one.late else ""
    yield f"{number}. {one.name}  ({one.status}{late})  {in_line(one.description)}".rstrip()
    if one.acts:
        yield f"   acts by itself ({one.acts}): what it touches is known to nobody but its author"
    elif one.trouble:
        yield f"   {in_line(one.trouble)} What it touches is not known."
    elif not one.steps:
        yield "   returns nothing to do"
    for place, step in enumerate(one.steps, 1):
        yield from _planned_step(place, step)
    if one.seconds:
        yield f"   takes {_span(one.seconds)}, by {one.by}"


def _planned_step(number: int, step: PlannedStep) -> Iterator[str]:
    fields = "whole documents" if step.fields is None else ", ".join(step.fields) or "_id"
    where = f" where {', '.join(step.filtered_by)}" if step.filtered_by else ""
    if step.done:
        yield f"   step {number}: done by an earlier run"
        return
    many = "how many documents is not known" if step.documents is None else f"{step.documents:,} documents"
    size = "" if step.bytes is None else f", {format_bytes(step.bytes)}"
    yield f"   step {number} reads {fields} of {step.namespace}{where}: {many}{size}"
    if step.writes is None:
        yield "     writes: the first documents do not tell"
    for one in step.writes or ():
        yield f"     writes {_written(one)}"


def _written(one: Written) -> str:
    fields = f": {', '.join(one.fields)}" if one.fields else ""
    return f"{one.namespace} ({one.kind}{fields})"


def _span(seconds: tuple[float, float]) -> str:
    least, most = map(format_duration, seconds)
    return least if least == most else f"{least} to {most}"


def past_run(run: PastRun) -> str:
    """Return a run as a line."""
    began = f"{run.began:%Y-%m-%d %H:%M:%S}" if run.began else "at no known time"
    down = "  (rolling back)" if run.direction == "down" and run.status != "rolled back" else ""
    took = "" if run.seconds is None else format_duration(run.seconds)
    counts = {name: count for name, count in run.counts.items() if name in ("read", "written", "quarantined")}
    done = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count is not None)
    peak = f"peak {format_bytes(run.peak)}" if run.peak else ""
    failed = " ".join(filter(None, [run.failure, f"at _id {run.document}" if run.document else ""]))
    facts = [took, done, peak, run.by, run.version and f"chunkmigrate {run.version}", failed, run.reason]
    told = in_line("; ".join(filter(None, facts)))
    return f"{began}  {run.status:<{RUN_WIDTH}}  {in_line(run.migration)}{down}  {told}"
