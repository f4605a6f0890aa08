"""The account: what happened to a run, made of what is on record about it, and told in a sentence.

Pure: evidence in, a `Report` out. What to change next is ``advice``'s business. The sentence of a failure may
quote documents: it is left out unless it is asked for.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from chunkmigrate import advice, disorder, errors, timeline
from chunkmigrate.direction import UP
from chunkmigrate.holder import runner
from chunkmigrate.ledger import APPLIED, CANCELLED, DIED, FAILED, PAUSED, ROLLED_BACK, RUNNING, STOPPED
from chunkmigrate.outcome import ALREADY
from chunkmigrate.records import Counts
from chunkmigrate.report import Failure, Memory, Report
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from chunkmigrate.evidence import Evidence
    from chunkmigrate.profiles import Profile
    from chunkmigrate.timeline import Timeline

_SAFE = "What is committed is safe, and the next run goes on from there."


def of(
    evidence: Evidence,
    *,
    profile: Profile | None = None,
    profile_trouble: str | None = None,
    show_values: bool = False,
) -> Report:
    """Return the report on a run. ``profile_trouble`` says why there is no profile to show."""
    run, left = evidence.run, evidence.left
    kept = timeline.read(run.get("timeline") or {})
    report = Report(
        migration=run["migration"],
        run=str(run["_id"]),
        database=evidence.database,
        status=run["status"],
        direction=run.get("direction", UP.word),
        reason=_reason(run),
        quarantine_retry=bool(run.get("quiet")),
        shared=bool(run.get("group")),
        began=_utc(run.get("began")),
        ended=_utc(run.get("ended")),
        seen=evidence.seen,
        seconds=_seconds(run, kept),
        runner=runner(run),
        version=run.get("version"),
        checksum=run.get("checksum"),
        writers=run.get("writers"),
        max_rate=run.get("max_rate"),
        counts=Counts(**{name: run.get(name, 0) for name in asdict(Counts())}),
        position=run.get("position"),
        progress=run.get("progress"),
        memory=_memory(evidence, kept),
        committing=run.get("committing"),
        pauses=run.get("pauses") or {},
        sizes=run.get("sizes"),
        warnings=tuple(run.get("warnings") or ()),
        failure=_failure(run, show_values=show_values),
        at_work=left.document if left else None,
        among=left.among if left else 1,
        quarantine=tuple(evidence.quarantine),
        timeline=kept,
        profile=profile,
        profile_trouble=profile_trouble,
    )
    return replace(report, headline=headline(report), advice=advice.on(report))


def headline(report: Report) -> str:
    """Return what happened, in a sentence or two."""
    name = report.migration
    if report.quarantine_retry:
        name = f"The quarantine retry of {name}"
    elif report.is_rollback and report.status != ROLLED_BACK:
        name = f"The rollback of {name}"
    ended = _ENDS.get(report.status)
    return f"{name} {ended(report)}" if ended else f"{name} is {report.status}; {_done(report)}."


def _applied(report: Report) -> str:
    if report.reason == ALREADY:
        return "is applied already: another run was faster."
    if report.quarantine_retry:
        return f"is done{_in(report)}: {report.counts.read:,} documents left quarantine."
    most, budget = report.memory.most, format_bytes(report.memory.budget)
    memory = f", with at most {format_bytes(most)} of its {budget}" if most else ""
    return f"is applied: {_done(report)}{_in(report)}{memory}."


def _failed(report: Report) -> str:
    failure = report.failure
    what = f" with {failure.kind}" if failure and failure.kind else ""
    cause = f" ({failure.cause})" if failure and failure.cause else ""
    where = f" at the document with _id {failure.document}" if failure and failure.document else ""
    return f"failed{_after(report)}{what}{cause}{where}; {_done(report)}. {_SAFE}"


def _died(report: Report) -> str:
    last, budget = report.memory.last, report.memory.budget
    share = f"{format_bytes(last)} of {format_bytes(budget)} were in use, {last / budget:.0%}" if last else ""
    used = f" When last heard of, {share}." if last else ""
    return f"was killed{_after(report)}, or cut off from MongoDB; {_done(report)}.{used} {_SAFE}"


def _stopped(report: Report) -> str:
    why = {"stop": "was stopped as asked", "memory": "ended at a checkpoint for lack of memory"}
    told = why.get(report.reason, "ended after a pause, for another run had taken over")
    return f"{told}{_after(report)}; {_done(report)}. {_SAFE}"


def _cancelled(report: Report) -> str:
    return f"was cancelled{_after(report)}; {_done(report)}. What is committed stays."


def _paused(report: Report) -> str:
    return f"is paused{_after(report)}; {_done(report)} so far, and it keeps its place."


def _rolled_back(report: Report) -> str:
    return f"was rolled back{_in(report)}: {_done(report)}."


def _running(report: Report) -> str:
    return f"is running; {_done(report)}{_in(report)} so far."


_ENDS = {
    APPLIED: _applied,
    CANCELLED: _cancelled,
    DIED: _died,
    FAILED: _failed,
    PAUSED: _paused,
    ROLLED_BACK: _rolled_back,
    RUNNING: _running,
    STOPPED: _stopped,
}


def _done(report: Report) -> str:
    counts = report.counts
    aside = f", {counts.quarantined:,} set aside" if counts.quarantined else ""
    shared = " by this one of several runs" if report.shared else ""
    return f"{counts.read:,} documents read, {counts.written:,} written{aside}{shared}"


def _after(report: Report) -> str:
    return f" after {format_duration(report.seconds)}" if report.seconds is not None else ""


def _in(report: Report) -> str:
    return f" in {format_duration(report.seconds)}" if report.seconds is not None else ""


def _reason(run: Mapping[str, Any]) -> str:
    """Return the word for the end, or a sentence of our own; that of a failure is its own affair."""
    return "" if run["status"] == FAILED else run.get("reason") or ""


def _failure(run: Mapping[str, Any], *, show_values: bool) -> Failure | None:
    if run["status"] != FAILED:
        return None
    told, said = run.get("failure") or {}, run.get("reason") or None
    kind = told.get("kind")
    # Said by the run itself, of no exception; a run of an older version did not tell the two apart.
    shown = show_values or ("failure" in run and kind is None)
    return Failure(
        kind=kind,
        meaning=_meaning(kind),
        cause=told.get("cause"),
        document=told.get("document"),
        sentence=said if shown else None,
        withheld=bool(said) and not shown,
    )


def _meaning(kind: str | None) -> str:
    """Return what a class of ours says by itself: the first line of its docstring."""
    found = getattr(errors, kind or "", None) or getattr(disorder, kind or "", None)
    known = isinstance(found, type) and issubclass(found, errors.ChunkmigrateError)
    return (found.__doc__ or "").partition("\n")[0] if known else ""


def _seconds(run: Mapping[str, Any], kept: Timeline) -> float | None:
    sampled = kept.samples[-1].second if kept.samples else None
    seconds: float | None = run.get("seconds", sampled)
    return seconds


def _memory(evidence: Evidence, kept: Timeline) -> Memory:
    run, intent = evidence.run, evidence.left.intent if evidence.left else None
    sampled = kept.samples[-1].used if kept.samples else None
    # An intent rides with every chunk, a sample may be some seconds old.
    heard = [size for size in (sampled, intent and intent.used) if size]
    return Memory(
        start=run.get("start"),
        peak=run.get("peak"),
        used=kept.peak.used if kept.peak else None,
        used_second=kept.peak.second if kept.peak else None,
        last=max(heard, default=None),
        budget=run["budget"],
        budget_source=run.get("budget_source"),
        limit=kept.samples[-1].limit if kept.samples else run.get("limit"),
    )


def _utc(time: datetime | None) -> datetime | None:
    """Return a time as it is stored, which says no zone, with its zone."""
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time
