"""Evidence: what of a pod or a Job an ending rests on, as it stands there, for whoever doubts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes.fields import at, items, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# The latest warnings tell; those of an hour before are mostly the same.
MAX_EVENTS = 3


def of_pod(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what is said of a pod: phase, conditions that matter, containers, telling events."""
    return (*_phase(pod), *_conditions(pod, _POD), *_containers(pod), *_events(events))


def of_job(job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what is said of a Job: conditions, counters, telling events."""
    counted = [
        f"{name} {count}"
        for name in ("active", "succeeded", "failed", "terminating")
        if (count := whole(job, "status", name))
    ]
    return (*_conditions(job, _JOB), *filter(None, [", ".join(counted)]), *_events(events))


_POD = ("DisruptionTarget", "PodScheduled")
_JOB = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet", "Suspended")
_TELLING = ("Killing", "Evicted", "Preempted", "FailedCreate", "SuccessfulDelete")


def _phase(pod: Mapping[str, Any]) -> Iterator[str]:
    reason, details = text(pod, "status", "reason"), text(pod, "status", "message")
    yield f"phase {text(pod, 'status', 'phase') or 'not given'}{_because(reason, details)}"
    if at(pod, "metadata", "deletionTimestamp"):
        yield f"deletionTimestamp {text(pod, 'metadata', 'deletionTimestamp')}"


def _conditions(value: Mapping[str, Any], telling: Sequence[str]) -> Iterator[str]:
    for one in items(value, "status", "conditions"):
        usual = one.get("type") == "PodScheduled" and one.get("status") == "True"
        if one.get("type") in telling and not usual:
            because = _because(text(one, "reason"), text(one, "message"))
            yield f"condition {text(one, 'type')} {text(one, 'status')}{because}"


def _containers(pod: Mapping[str, Any]) -> Iterator[str]:
    for statuses in ("initContainerStatuses", "containerStatuses"):
        for status in items(pod, "status", statuses):
            for which in ("state", "lastState"):
                yield from _state(text(status, "name"), which, at(status, which))


def _state(container: str, which: str, state: Any) -> Iterator[str]:
    before = " before" if which == "lastState" else ""
    if (ended := at(state, "terminated")) is not None:
        code = whole(ended, "exitCode")
        when = f" at {text(ended, 'finishedAt')}" if at(ended, "finishedAt") else ""
        exit_ = "no exit code" if code is None else f"exit code {code}"
        yield f"container {container}{before}: {text(ended, 'reason') or 'no reason'}, {exit_}{when}"
        if left := text(ended, "message"):
            yield f"container {container}{before} left: {left}"
    if (waits := at(state, "waiting")) is not None:
        because = _because(text(waits, "reason") or "no reason", text(waits, "message"))
        yield f"container {container} waiting{because}"


def _events(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what warnings and the telling events say, each once, the latest of them."""
    told = [
        f"event{_because(text(event, 'reason'), text(event, 'message'))}"
        for event in events
        if event.get("type") == "Warning" or event.get("reason") in _TELLING
    ]
    return [*dict.fromkeys(told)][-MAX_EVENTS:]


def _because(reason: str, details: str) -> str:
    return f" {': '.join(part for part in (reason, details) if part)}" if reason or details else ""
