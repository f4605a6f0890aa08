"""The story: what is seen of one Job and its pods, at a glance, or since somebody looks on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ClusterRefusedError
from chunkmigrate.kubernetes.diagnosis import Seen
from chunkmigrate.kubernetes.fields import text
from chunkmigrate.kubernetes.watching import DELETED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from chunkmigrate.kubernetes.cluster import Cluster
    from chunkmigrate.kubernetes.ending import Known
    from chunkmigrate.kubernetes.watching import Change


@dataclass(slots=True)
class Story:
    """What was seen of the Job ``name``. Of each object the last version is kept, also once it is deleted."""

    name: str
    job: Mapping[str, Any] | None = None
    known: Sequence[Known] = ()
    _pods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _events: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)

    def job_changed(self, change: Change) -> None:
        """Keep a change of the Job. A later Job of its name is not it."""
        uid = text(change.object, "metadata", "uid")
        if self.job is None or uid == text(self.job, "metadata", "uid"):
            self.job = change.object
            self._note(uid, change)

    def pod_changed(self, change: Change) -> None:
        """Keep a change of a pod."""
        uid = text(change.object, "metadata", "uid")
        self._pods[uid] = change.object
        self._note(uid, change)

    def happened(self, events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Keep events; return those that are new, or came again with another message."""
        fresh = []
        for event in events:
            uid = text(event, "metadata", "uid") or str(len(self._events))
            if text(self._events.get(uid), "message") != text(event, "message"):
                fresh.append(event)
            self._events[uid] = event
        return fresh

    def pods(self) -> list[str]:
        """Return the names of all pods that were seen, in the order they were."""
        return [text(pod, "metadata", "name") for pod in [*self._pods.values()]]

    def container(self, pod: str) -> str:
        """Return the container of a pod whose log is to be read: the first."""
        found = next((one for one in self._pods.values() if text(one, "metadata", "name") == pod), {})
        return text(found, "spec", "containers", 0, "name")

    def seen(self) -> Seen:
        """Return all of it, to be diagnosed."""
        return Seen(
            job=self.job,
            pods=[*self._pods.values()],
            events=[*self._events.values()],
            gone=frozenset(self._gone),
            known=self.known,
            name=self.name,
        )

    def _note(self, uid: str, change: Change) -> None:
        if change.type == DELETED:
            self._gone.add(uid)


def looked(cluster: Cluster, job: Mapping[str, Any], say: Callable[[str], None]) -> Seen:
    """Return what is to be seen of a Job now. ``say`` is told where that is all but its events."""
    name = text(job, "metadata", "name")
    pods = cluster.pods(name)
    names = [text(pod, "metadata", "name") for pod in pods]
    try:
        events = cluster.events(name, names)
    except ClusterRefusedError as error:
        say(f"Going on without the cluster's events: {error}")
        events = []
    return Seen(job=job, pods=pods, events=events, name=name)


def left(cluster: Cluster, name: str | None) -> Seen:
    """Return what is left of a Job that is not there any more: pods, and events for an hour."""
    try:
        pods, events = (cluster.pods(name), cluster.events(name)) if name else ([], [])
    except ClusterRefusedError:  # what no Job can be called is not taken for a name
        return Seen(job=None)
    return Seen(job=None, pods=pods, events=events, name=name or "")
