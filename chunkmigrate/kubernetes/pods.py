"""Pods: how one pod ended, or why it has not, in a sentence.

Only what is said is used. The cause is the narrowest that the pod's own status and events prove; what would
need another field to be sure is left open. Which pods belong to a Job, ``diagnosis`` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import advising, disruptions, going
from chunkmigrate.kubernetes.containers import ERROR, OOM_KILLED, SIGKILLED, telling
from chunkmigrate.kubernetes.ending import Ending, Kind, Verdict
from chunkmigrate.kubernetes.evidence import of_pod
from chunkmigrate.kubernetes.fields import at, harmless, moment, text, whole
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.kubernetes.containers import Container, Exit
    from chunkmigrate.kubernetes.disruptions import Disruption
    from chunkmigrate.kubernetes.ending import Known

INDEX = "batch.kubernetes.io/job-completion-index"

_STOPPING, _UNRESPONSIVE = "Stopping container", "failed liveness probe"
_MEMORY = advising.ON[Kind.OOM_KILLED]


def ending(
    pod: Mapping[str, Any],
    *,
    events: Sequence[Mapping[str, Any]] = (),
    known: Known | None = None,
    gone: bool = False,
) -> Ending:
    """Return how a pod ended. ``events`` are its own; ``gone``: it was seen to be deleted."""
    container = telling(pod)
    exit_ = _exit(pod, container)
    if exit_ or _over(pod):
        verdict = _ended(pod, container, exit_, events)
    else:
        verdict = going.verdict(pod, container, events, gone=gone)
    kind, phrase, advice = verdict
    own = known if known and known.pod == name(pod) else None
    return Ending(
        kind=kind,
        sentence=f"{_named(pod, container)} {phrase}{_intent(exit_, kind, own)}.",
        evidence=(*of_pod(pod, events), *([f"ledger: the run {harmless(own.status)}"] if own else [])),
        advice=advice or advising.ON.get(kind, ""),
        exit_code=exit_.code if exit_ else None,
        at=exit_.at if exit_ else None,
    )


def name(pod: Mapping[str, Any]) -> str:
    """Return a pod's name; empty where it is not said."""
    return text(pod, "metadata", "name")


def index(pod: Mapping[str, Any]) -> str:
    """Return the index of a pod of an indexed Job; empty of any other."""
    return text(pod, "metadata", "annotations", INDEX)


def _over(pod: Mapping[str, Any]) -> bool:
    return at(pod, "status", "phase") in ("Succeeded", "Failed")


def _exit(pod: Mapping[str, Any], container: Container | None) -> Exit | None:
    """Return how the container ended, unless the kubelet is about to start it again."""
    exit_ = container.ended if container else None
    again = at(pod, "spec", "restartPolicy") == "OnFailure" and at(pod, "status", "phase") == "Running"
    stays = at(pod, "metadata", "deletionTimestamp") is None
    return None if exit_ and again and stays and exit_.code != 0 else exit_


def _named(pod: Mapping[str, Any], container: Container | None) -> str:
    place = f" (index {index(pod)})" if index(pod) else ""
    which = ""
    if container and not container.alone:
        which = f", whose {'init container' if container.init else 'container'} {container.name} tells,"
    return f"Pod {name(pod) or 'without a name'}{place}{which}"


def _ended(
    pod: Mapping[str, Any],
    container: Container | None,
    exit_: Exit | None,
    events: Sequence[Mapping[str, Any]],
) -> Verdict:
    if exit_ and exit_.code == 0 and not (container and container.init):
        return Verdict(exit_.kind, exit_.phrase())
    if disruption := disruptions.of(pod, events):
        return _disrupted(disruption, exit_)
    if exit_ and exit_.known:
        return _exited(pod, exit_, events)
    return _unsaid(pod, exit_)


def _disrupted(disruption: Disruption, exit_: Exit | None) -> Verdict:
    """Tell of the container, too: whether it stopped at a checkpoint, or was killed."""
    how = f"; it {exit_.phrase()}" if exit_ and exit_.known else ""
    if exit_ and exit_.kind is Kind.KILLED:
        how = ", and killed (exit 137)"
    unseen = "" if disruption.ignorable else advising.UNSEEN
    return Verdict(disruption.kind, f"{disruption.phrase}{how}", unseen)


def _exited(pod: Mapping[str, Any], exit_: Exit, events: Sequence[Mapping[str, Any]]) -> Verdict:
    unresponsive = any(_UNRESPONSIVE in message for message in _killing(events))
    if not (unresponsive or _told(pod, exit_, events)):
        return Verdict(exit_.kind, exit_.phrase())
    if exit_.reason == OOM_KILLED and exit_.code == SIGKILLED:
        # Its child may have been the one, and the grace period the other: the two cannot be told apart.
        return Verdict(Kind.KILLED, "was told to stop, and killed; memory had run out in it", _MEMORY)
    if unresponsive:
        killed = "was killed (exit 137)" if exit_.kind is Kind.KILLED else exit_.phrase()
        return Verdict(Kind.UNRESPONSIVE, f"failed its liveness probe, and {killed}")
    return _stopped(exit_)


def _stopped(exit_: Exit) -> Verdict:
    """Tell of a container that was told to stop before it ended."""
    if exit_.kind is Kind.KILLED and exit_.reason == ERROR:
        return Verdict(Kind.OVERDUE, "was told to stop, and had not when it was killed (exit 137)")
    kind = Kind.TERMINATED if exit_.kind is Kind.STOPPED else exit_.kind
    return Verdict(kind, f"was told to stop, and {exit_.phrase()}")


def _told(pod: Mapping[str, Any], exit_: Exit, events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is certain that the container was told to stop before it ended.

    The time of a deletion alone does not say so: once all containers have ended it is set to that moment.
    """
    if any(message.startswith(_STOPPING) for message in _killing(events)):
        return True
    removal = moment(pod, "metadata", "deletionTimestamp")
    grace = whole(pod, "metadata", "deletionGracePeriodSeconds")
    if removal is None or not grace or exit_.at is None:
        return False
    return (removal - exit_.at).total_seconds() < grace


def _killing(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why the kubelet has stopped containers of a pod."""
    return [text(event, "message") for event in events if event.get("reason") == "Killing"]


def _unsaid(pod: Mapping[str, Any], exit_: Exit | None) -> Verdict:
    phase = at(pod, "status", "phase")
    if exit_:
        return Verdict(Kind.UNKNOWN, exit_.phrase())
    if phase == "Succeeded":
        return Verdict(Kind.SUCCEEDED, "succeeded")
    reason, details = text(pod, "status", "reason"), text(pod, "status", "message")
    told = f" ({reason}{': ' if reason and details else ''}{details})" if reason or details else ""
    return Verdict(Kind.UNKNOWN, f"failed, and how is not known{told}")


def _intent(exit_: Exit | None, kind: Kind, known: Known | None) -> str:
    """Return what a killed run was about to do: only the ledger knows."""
    if known is None or not exit_ or exit_.code != SIGKILLED:
        return ""
    if kind is Kind.CHILD_OOM_KILLED or not (known.used or known.after or known.through):
        return ""
    behind = f"behind _id {harmless(known.after)}" if known.after else "at the first documents"
    upto = f" up to _id {harmless(known.through)}" if known.through else ""
    memory = f", with {format_bytes(known.used)} of {format_bytes(known.budget)} in use" if known.used else ""
    return f"; it was about to work {behind}{upto}{memory}"
