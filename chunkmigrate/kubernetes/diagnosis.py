"""Diagnosis: how a Job and each of its pods ended, from what was seen of them. Nothing is asked of anybody.

What was seen may be old, doubled, out of order, or another Job's: here it is put in order. What it means is
the business of ``pods`` and ``jobs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import jobs, pods
from chunkmigrate.kubernetes.creation import when
from chunkmigrate.kubernetes.ending import Ending, Kind
from chunkmigrate.kubernetes.fields import at, items, moment, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chunkmigrate.kubernetes.culprits import Fate
    from chunkmigrate.kubernetes.ending import Known


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen of a Job. Pods may be there in several versions.

    ``gone`` are the ``uid``s of the objects that were seen to be deleted, ``known`` what the ledger knows.
    """

    job: Mapping[str, Any] | None
    pods: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    gone: frozenset[str] = frozenset()
    known: Sequence[Known] = ()
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """How the Job ``name`` ended, and its pods, in the order they were made."""

    name: str
    job: Ending
    pods: tuple[tuple[str, Ending], ...] = field(default=())


def diagnose(seen: Seen) -> Diagnosis:
    """Return how what was seen ended."""
    events = sorted(seen.events, key=_time)
    fates = [_fate(pod, seen, events) for pod in _own(seen)]
    name = text(seen.job, "metadata", "name") or seen.name or _named_by(fates)
    endings = tuple((pods.name(pod), ending) for pod, ending in fates)
    return Diagnosis(name=name, job=_job(seen, name, fates, events), pods=endings)


def _job(seen: Seen, name: str, fates: Sequence[Fate], events: Sequence[Mapping[str, Any]]) -> Ending:
    if seen.job is not None:
        own = _of(events, "Job", seen.job)
        return jobs.ending(seen.job, fates, events=own, gone=_is_gone(seen.job, seen))
    last = f"; its last {jobs.lowered(fates[-1][1].sentence)}" if fates else "."
    return Ending(kind=Kind.UNKNOWN, sentence=f"Job {name or 'without a name'} is not there{last}")


def _named_by(fates: Sequence[Fate]) -> str:
    return next((text(pod, "metadata", "labels", "job-name") for pod, _ in fates), "")


def _fate(pod: Mapping[str, Any], seen: Seen, events: Sequence[Mapping[str, Any]]) -> Fate:
    known = next((one for one in seen.known if one.pod and one.pod == pods.name(pod)), None)
    own = _of(events, "Pod", pod)
    return pod, pods.ending(pod, events=own, known=known, gone=_is_gone(pod, seen))


def _is_gone(thing: Mapping[str, Any], seen: Seen) -> bool:
    return text(thing, "metadata", "uid") in seen.gone


def _own(seen: Seen) -> list[Mapping[str, Any]]:
    """Return the latest version of each pod that is not another Job's, in the order they were made."""
    latest: dict[Any, Mapping[str, Any]] = {}
    for pod in seen.pods:
        key = text(pod, "metadata", "uid") or pods.name(pod) or id(pod)
        latest[key] = max(latest.get(key, pod), pod, key=_age)
    return sorted(
        (pod for pod in latest.values() if _belongs(pod, seen.job)),
        key=lambda pod: (_stamp(moment(pod, "metadata", "creationTimestamp")), pods.name(pod)),
    )


def _age(pod: Mapping[str, Any]) -> tuple[bool, bool, int]:
    """Return how late a version is. What has ended does not come back, whatever its number says."""
    over = at(pod, "status", "phase") in ("Succeeded", "Failed")
    ended = any(at(status, "state", "terminated") for status in items(pod, "status", "containerStatuses"))
    version = text(pod, "metadata", "resourceVersion", most=20)
    return over, ended, int(version) if version.isdecimal() else -1


def _belongs(pod: Mapping[str, Any], job: Mapping[str, Any] | None) -> bool:
    """Whether a pod is the Job's: an earlier Job of the same name had pods, too."""
    if job is None:
        return True
    uid, name = at(job, "metadata", "uid"), at(job, "metadata", "name")
    owners = [at(owner, "uid") for owner in items(pod, "metadata", "ownerReferences")]
    if uid and any(owners):
        return uid in owners
    made, began = moment(pod, "metadata", "creationTimestamp"), moment(job, "metadata", "creationTimestamp")
    earlier = made is not None and began is not None and made < began
    return bool(name) and at(pod, "metadata", "labels", "job-name") == name and not earlier


def _of(events: Iterable[Mapping[str, Any]], kind: str, thing: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [event for event in events if _about(at(event, "involvedObject"), kind, at(thing, "metadata"))]


def _about(involved: Any, kind: str, metadata: Any) -> bool:
    """Whether an event is about an object: by its uid, for names are used again."""
    uid = at(metadata, "uid")
    if uid and at(involved, "uid"):
        return bool(at(involved, "uid") == uid)
    name = at(metadata, "name")
    return bool(name) and (at(involved, "kind"), at(involved, "name")) == (kind, name)


def _time(event: Mapping[str, Any]) -> float:
    return _stamp(when(event))


def _stamp(at_: Any) -> float:
    return at_.timestamp() if at_ else 0.0
