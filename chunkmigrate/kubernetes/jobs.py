"""Jobs: how a Job ended, or why it has not, in a sentence.

What the Job's own conditions say comes first; the pod that was the cause completes it. How a pod ended is the
business of ``pods``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import creation
from chunkmigrate.kubernetes.culprits import culprits
from chunkmigrate.kubernetes.ending import GOING, OVER, Ending, Kind, Verdict
from chunkmigrate.kubernetes.evidence import of_job
from chunkmigrate.kubernetes.fields import at, holds, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.kubernetes.culprits import Fate

_LONGER = (
    "It goes on from its checkpoint: `chunkmigrate job cancel {} --now` deletes this Job, then submit one "
    "with a longer activeDeadlineSeconds."
)
_RESUME = (
    '`kubectl patch job {} -p \'{{"spec":{{"suspend":false}}}}\'` resumes it; it goes on from its checkpoint.'
)


def ending(
    job: Mapping[str, Any],
    fates: Sequence[Fate],
    *,
    events: Sequence[Mapping[str, Any]] = (),
    gone: bool = False,
) -> Ending:
    """Return how a Job ended. ``fates`` are its pods in the order they were made, each with its ending.

    ``events`` are the Job's own, oldest first; ``gone``: it was seen to be deleted.
    """
    kind, phrase, advice = _verdict(job, fates, events, gone=gone)
    causes = culprits(job, fates) if kind in OVER - {Kind.COMPLETE} or kind is Kind.FAILING else []
    cause = causes[-1] if causes else None
    told = ", and ".join(lowered(one.sentence).rstrip(".") for one in causes)
    name = text(job, "metadata", "name") or "without a name"
    return Ending(
        kind=kind,
        sentence=f"Job {name} {phrase}{f': {told}' if told else ''}.",
        evidence=of_job(job, events),
        advice=advice or (cause.advice if cause else ""),
        exit_code=cause.exit_code if cause else None,
    )


def _verdict(
    job: Mapping[str, Any], fates: Sequence[Fate], events: Sequence[Mapping[str, Any]], *, gone: bool
) -> Verdict:
    complete, failed = holds(job, "Complete"), holds(job, "Failed")
    if complete and failed:
        return Verdict(Kind.UNKNOWN, "is said to be complete and failed at once")
    if complete or (at(job, "status", "completionTime") and not failed):
        return Verdict(Kind.COMPLETE, f"is complete{_before(fates)}")
    if failed:
        return _failed(job, failed, text(job, "metadata", "name"))
    if gone:
        return Verdict(Kind.DELETED, "was deleted before it had ended")
    if at(job, "metadata", "deletionTimestamp"):
        return Verdict(Kind.DELETING, "is being deleted, once its pods have stopped")
    return _open(job, fates, events)


def _before(fates: Sequence[Fate]) -> str:
    unfinished = sum(1 for _, fate in fates if fate.kind not in GOING | {Kind.SUCCEEDED, Kind.UNKNOWN})
    others = sum(1 for _, fate in fates if fate.kind is Kind.CHILD_OOM_KILLED and fate.exit_code == 0)
    unfinished -= others
    child = ", though a child process was killed for lack of memory" if others else ""
    return f"{child}, after {_counted(unfinished)} that did not finish" if unfinished else child


def _failed(job: Mapping[str, Any], condition: Mapping[str, Any], name_: str) -> Verdict:
    reason, told = text(condition, "reason"), text(condition, "message")
    if reason == "BackoffLimitExceeded":
        limit = whole(job, "spec", "backoffLimit")
        allowed = "" if limit is None else f" ({limit})"
        return Verdict(Kind.BACKOFF, f"failed, for more pods failed than its backoffLimit{allowed} allows")
    if reason == "DeadlineExceeded":
        seconds = whole(job, "spec", "activeDeadlineSeconds")
        allowed = "" if seconds is None else f" of {seconds} s"
        return Verdict(
            Kind.DEADLINE,
            f"failed, for its activeDeadlineSeconds{allowed} are over",
            _LONGER.format(name_ or "NAME"),
        )
    if reason == "PodFailurePolicy":
        return Verdict(Kind.POLICY, "failed, for its podFailurePolicy says so")
    if reason in ("FailedIndexes", "MaxFailedIndexesExceeded"):
        return Verdict(Kind.INDEXES, f"failed{_indexes(job)}")
    return Verdict(Kind.FAILED, f"failed ({': '.join(filter(None, (reason, told))) or 'no reason given'})")


def _indexes(job: Mapping[str, Any]) -> str:
    failed, complete = text(job, "status", "failedIndexes"), text(job, "status", "completedIndexes")
    done = f"; complete are {complete}" if complete else ""
    return f" at its indexes {failed}{done}" if failed else f" at some of its indexes{done}"


def _open(job: Mapping[str, Any], fates: Sequence[Fate], events: Sequence[Mapping[str, Any]]) -> Verdict:
    if failing := holds(job, "FailureTarget"):
        reason = text(failing, "reason") or "no reason given"
        return Verdict(Kind.FAILING, f"has failed ({reason}), and its pods are being stopped")
    if holds(job, "SuccessCriteriaMet"):
        return Verdict(Kind.FINISHING, "has succeeded, and is about to be complete")
    suspended, wanted = holds(job, "Suspended"), at(job, "spec", "suspend")
    if wanted is True or (suspended and wanted is None):
        return Verdict(Kind.SUSPENDED, "is suspended", _resume(job))
    if alive := [fate for fate in fates if fate[1].kind in GOING]:
        return _alive(alive)
    if refused := creation.refused(job, events):
        return refused
    if active := whole(job, "status", "active"):
        return Verdict(Kind.ACTIVE, f"is said to have {_counted(active)} at work, and none of them was seen")
    return _between(fates)


def _resume(job: Mapping[str, Any]) -> str:
    return _RESUME.format(text(job, "metadata", "name") or "NAME")


def _alive(alive: Sequence[Fate]) -> Verdict:
    """One pod that runs is enough for the Job to; else the first that waits tells why."""
    running = [fate for fate in alive if fate[1].kind is Kind.RUNNING]
    _, fate = (running or alive)[-1]
    if fate.kind is Kind.RUNNING:
        others = f" (one of {len(running)})" if len(running) > 1 else ""
        return Verdict(Kind.RUNNING, f"is running{others}: {lowered(fate.sentence).rstrip('.')}")
    return Verdict(fate.kind, f"is not running: {lowered(fate.sentence).rstrip('.')}", fate.advice)


def _between(fates: Sequence[Fate]) -> Verdict:
    if not fates:
        return Verdict(Kind.UNKNOWN, "has no pod and no condition yet: how it stands is not known")
    last = fates[-1][1]
    told = lowered(last.sentence).rstrip(".")
    return Verdict(Kind.UNKNOWN, f"has no pod now, and is not said to be over; its last {told}", last.advice)


def lowered(sentence: str) -> str:
    """Return a sentence to stand inside another."""
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _counted(pods: int) -> str:
    return "1 pod" if pods == 1 else f"{pods} pods"
