"""Going: a pod that has not ended: that it runs, or why it has not started and what would let it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import disruptions
from chunkmigrate.kubernetes.ending import Kind, Verdict
from chunkmigrate.kubernetes.fields import at, because, items, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.kubernetes.containers import Container, Exit

_PULL = (
    "Check the image's name and tag, the registry, and imagePullSecrets; once it can be pulled the pod "
    "starts by itself."
)
_PRESENT = "Load the image onto the node, or let it be pulled (imagePullPolicy: IfNotPresent), in a new Job."
_NAME = "Correct the image's name, in a new Job."
_CONFIGURE = "Create what is missing in the pod's namespace; the pod then starts by itself."
_CREATE = "Correct what the message names, in a new Job."

_REASONS = {
    "ErrImageNeverPull": (Kind.IMAGE, "has no image, and must not pull it", _PRESENT),
    "ErrImagePull": (Kind.IMAGE, "cannot pull its image", _PULL),
    "ImagePullBackOff": (Kind.IMAGE, "cannot pull its image", _PULL),
    "RegistryUnavailable": (Kind.IMAGE, "cannot pull its image", _PULL),
    "ImageInspectError": (Kind.IMAGE, "has an image that cannot be read", _PULL),
    "InvalidImageName": (Kind.IMAGE, "has an image whose name is none", _NAME),
    "CreateContainerConfigError": (Kind.CONFIG, "cannot be configured", _CONFIGURE),
    "CreateContainerError": (Kind.CONFIG, "cannot be created", _CREATE),
    "RunContainerError": (Kind.CONFIG, "cannot be started", _CREATE),
}
_MEMORY = (
    "Ask for less memory (`chunkmigrate tune` says what the migration takes), or add a node that has it; the "
    "Job counts the pod as active, and waits for ever."
)
_PLACE = "Change what keeps it off the nodes, or add one that suits; the Job waits for ever."


def verdict(
    pod: Mapping[str, Any],
    container: Container | None,
    events: Sequence[Mapping[str, Any]],
    *,
    gone: bool,
) -> Verdict:
    """Return how a pod stands that has not ended; ``gone``: it was deleted before anybody saw it end."""
    disruption = disruptions.of(pod, events)
    if gone:
        kind, befell = (disruption.kind, disruption.phrase) if disruption else (Kind.UNKNOWN, "was deleted")
        return Verdict(kind, f"{befell}; how it ended was not seen")
    stopping = ", and is being stopped" if at(pod, "metadata", "deletionTimestamp") else ""
    stopping = f", and {disruption.phrase}" if disruption else stopping
    if (again := _again(container)) is not None:
        return Verdict(Kind.RESTARTING, f"is about to be started again{stopping}; it {again.phrase()}")
    if (wait := _why(pod, container)) and not stopping:
        return wait
    return _alive(pod, container, stopping)


def _again(container: Container | None) -> Exit | None:
    """Return how the container ended, where it is to be started again."""
    waits = container.waits() if container else None
    if container is None or not (container.ended or (waits and waits[0] == "CrashLoopBackOff")):
        return None
    return container.ended or container.before


def _alive(pod: Mapping[str, Any], container: Container | None, stopping: str) -> Verdict:
    if (container and container.runs) or at(pod, "status", "phase") == "Running":
        again = f" again, for it {container.before.phrase()}" if container and container.before else ""
        return Verdict(Kind.RUNNING, f"is running{stopping}{again}")
    if at(pod, "status", "phase") == "Pending":
        return Verdict(Kind.WAITING, f"is pending{stopping}")
    return Verdict(Kind.UNKNOWN, f"stands in a way that is not known{stopping}")


def _why(pod: Mapping[str, Any], container: Container | None) -> Verdict | None:
    """Return why a pod waits to be started; None where nothing says that it does."""
    waits = container.waits() if container else None
    return _container(*waits) if waits else _scheduling(pod)


def _container(reason: str, details: str) -> Verdict:
    told = because(details)
    if reason in _REASONS:
        kind, phrase, advice = _REASONS[reason]
        return Verdict(kind, f"{phrase}{told}", advice)
    if reason in ("ContainerCreating", "PodInitializing"):
        return Verdict(Kind.WAITING, "is being started")
    return Verdict(Kind.WAITING, f"waits to be started ({reason or 'no reason given'}){told}")


def _scheduling(pod: Mapping[str, Any]) -> Verdict | None:
    scheduled = next(
        (one for one in items(pod, "status", "conditions") if one.get("type") == "PodScheduled"), None
    )
    if scheduled is None or scheduled.get("status") != "False":
        return None
    if scheduled.get("reason") != "Unschedulable":
        reason = text(scheduled, "reason") or "no reason given"
        return Verdict(Kind.WAITING, f"waits for a node ({reason})")
    return _unschedulable(pod, text(scheduled, "message").partition(" preemption:")[0].rstrip("."))


def _unschedulable(pod: Mapping[str, Any], details: str) -> Verdict:
    told = because(details)
    if "Insufficient memory" not in details:
        return Verdict(Kind.UNSCHEDULABLE, f"cannot be scheduled{told}", _PLACE)
    asked = f", and asks for {_memory(pod)} of memory" if _memory(pod) else ""
    return Verdict(Kind.UNSCHEDULABLE, f"cannot be scheduled{asked}{told}", _MEMORY)


def _memory(pod: Mapping[str, Any]) -> str:
    """Return what the containers ask for, as the manifest spells it."""
    asked = [text(one, "resources", "requests", "memory") for one in items(pod, "spec", "containers")]
    return " + ".join(filter(None, asked))
