"""The cluster: what is asked of it about one Job, its pods, its events and its ConfigMaps.

How requests are made and refused is ``client``'s business, how changes are followed ``watching``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from chunkmigrate.errors import ClusterRefusedError
from chunkmigrate.kubernetes.fields import at, items, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.kubernetes.client import Answer, Api

# What `job render` puts on each Job, to find them again.
SELECTOR = "app.kubernetes.io/name=chunkmigrate"
MANAGER = "chunkmigrate"

# The events of so many pods are looked at: each is a request, and the latest tell.
MAX_PODS = 10

_NOT_FOUND = 404
_STRICT = {"fieldManager": MANAGER, "fieldValidation": "Strict"}


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects to list or to watch: where they are, which of them, and what they are called."""

    path: str
    name: str
    query: Mapping[str, str]


class Cluster:
    """One cluster, in one namespace."""

    def __init__(self, api: Api) -> None:
        self.api, self.namespace = api, api.namespace
        space = quote(api.namespace, safe="")
        self._jobs = f"/apis/batch/v1/namespaces/{space}/jobs"
        self._core = f"/api/v1/namespaces/{space}"

    def named(self, job: str) -> Collection:
        """Return the Jobs of a name: one, or none."""
        return Collection(self._jobs, f"Job {job}", {"fieldSelector": f"metadata.name={job}"})

    def pods_of(self, job: str) -> Collection:
        """Return the pods of the Jobs of a name."""
        return Collection(f"{self._core}/pods", f"pods of Job {job}", {"labelSelector": f"job-name={job}"})

    def job(self, name: str) -> Mapping[str, Any] | None:
        """Return a Job; None where there is none of that name."""
        return self._found(self._jobs, f"Job {name}", name)

    def _found(self, path: str, what: str, name: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self.api.get(f"{path}/{quote(name, safe='')}", f"get {what}")
        except ClusterRefusedError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return found

    def jobs(self) -> list[Mapping[str, Any]]:
        """Return the Jobs that chunkmigrate has made."""
        return items(self.api.get(self._jobs, "list Jobs", labelSelector=SELECTOR), "items")

    def pods(self, job: str) -> list[Mapping[str, Any]]:
        """Return the pods of the Jobs of a name that are there."""
        pods = self.pods_of(job)
        return items(self.api.get(pods.path, f"list {pods.name}", **pods.query), "items")

    def events(self, job: str, pods: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Return the events of a Job and of the last of its pods. The cluster keeps them for an hour."""
        return [
            event
            for kind, name in [("Job", job), *(("Pod", pod) for pod in pods[-MAX_PODS:])]
            for event in items(self._events(kind, name), "items")
        ]

    def _events(self, kind: str, name: str) -> Any:
        chosen = f"involvedObject.kind={kind},involvedObject.name={name}"
        return self.api.get(f"{self._core}/events", f"list events of {kind} {name}", fieldSelector=chosen)

    def log_of(self, pod: str, container: str) -> Collection:
        """Return where the log of a container is."""
        path = f"{self._core}/pods/{quote(pod, safe='')}/log"
        return Collection(path, f"the log of pod {pod}", {"container": container})

    def create(self, job: Mapping[str, Any]) -> Answer:
        """Create a Job. Fields nobody knows are refused: a slip of the keyboard must not be dropped."""
        name = text(job, "metadata", "name") or text(job, "metadata", "generateName")
        return self.api.send("POST", self._jobs, f"create Job {name}", query=_STRICT, body=job)

    def config_map(self, name: str) -> Mapping[str, Any] | None:
        """Return a ConfigMap; None where there is none of that name."""
        return self._found(f"{self._core}/configmaps", f"ConfigMap {name}", name)

    def create_config_map(self, config_map: Mapping[str, Any]) -> Answer:
        """Create a ConfigMap."""
        doing = f"create ConfigMap {text(config_map, 'metadata', 'name')}"
        return self.api.send("POST", f"{self._core}/configmaps", doing, query=_STRICT, body=config_map)

    def delete_config_map(self, name: str) -> None:
        """Delete a ConfigMap."""
        path = f"{self._core}/configmaps/{quote(name, safe='')}"
        self.api.send("DELETE", path, f"delete ConfigMap {name}")

    def delete(self, job: Mapping[str, Any]) -> None:
        """Ask for a Job to be deleted once its pods have stopped; no later one of its name."""
        name = text(job, "metadata", "name")
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": at(job, "metadata", "uid")},
        }
        self.api.send("DELETE", f"{self._jobs}/{quote(name, safe='')}", f"delete Job {name}", body=body)
