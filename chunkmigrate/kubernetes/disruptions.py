"""Disruptions: what took a pod away that had done nothing wrong.

The condition DisruptionTarget says it, but not always: a pod that outgrew its emptyDir has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes.ending import Kind
from chunkmigrate.kubernetes.fields import because, holds, items, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONDITION = "DisruptionTarget"
_EVICTED = "Evicted"

# The reasons of the condition, and what they tell for certain.
_BY_REASON = {
    "EvictionByEvictionAPI": (Kind.EVICTED, "was evicted through the API, as a drain of its node does"),
    "PreemptionByScheduler": (Kind.PREEMPTED, "had to make room for a pod of higher priority"),
    "DeletionByTaintManager": (Kind.NODE_LOST, "was deleted because its node does not tolerate it any more"),
    "DeletionByPodGC": (Kind.NODE_LOST, "was cleaned up because its node is gone"),
    "TerminationByKubelet": (Kind.DISRUPTED, "was ended by its node"),
}
_PRESSURE = ("The node was low on resource", "The node had condition")
_SHUTDOWN = "imminent node shutdown"
_REFUSALS = ("OutOf", "NodeAffinity", "UnexpectedAdmissionError", "Preempting")
# Whatever the reason is called, in Kubernetes 1.27 and later.
_REJECTED = "Pod was rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Disruption:
    """What befell a pod; ``phrase`` follows its name. ``ignorable``: with the condition a Job may ignore."""

    kind: Kind
    phrase: str
    ignorable: bool


def of(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Disruption | None:
    """Return what befell a pod; None where nothing says that anything did. ``events`` are the pod's own."""
    condition = holds(pod, _CONDITION)
    kind, phrase = _by_status(pod, events) or _by_condition(condition) or (None, "")
    return Disruption(kind=kind, phrase=phrase, ignorable=condition is not None) if kind else None


def _by_status(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> tuple[Kind, str] | None:
    """What the kubelet says in words is more than its condition."""
    reason, details = text(pod, "status", "reason"), text(pod, "status", "message")
    if reason != _EVICTED:
        evictions = [text(event, "message") for event in events if event.get("reason") == _EVICTED]
        if evictions:
            reason, details = _EVICTED, evictions[-1]
    told = because(details)
    if reason == _EVICTED:
        if details.startswith(_PRESSURE):
            return Kind.NODE_PRESSURE, f"was evicted because its node ran short{told}"
        return Kind.EVICTED, f"was evicted by its node{told}"
    if _SHUTDOWN in details:
        return Kind.NODE_LOST, "was ended because its node shut down"
    if reason == "NodeLost":
        return Kind.NODE_LOST, "was on a node that does not answer any more"
    if (reason.startswith(_REFUSALS) or details.startswith(_REJECTED)) and not pod_started(pod):
        return Kind.REFUSED, f"was refused by its node ({reason}){told}"
    return None


def _by_condition(condition: Mapping[str, Any] | None) -> tuple[Kind, str] | None:
    if condition is None:
        return None
    reason = text(condition, "reason")
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    return Kind.DISRUPTED, f"was disrupted ({reason or 'no reason given'})"


def pod_started(pod: Mapping[str, Any]) -> bool:
    """Whether anything is said of a container of the pod."""
    return bool(items(pod, "status", "containerStatuses"))
