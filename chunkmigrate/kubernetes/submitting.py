"""Submitting: a Job is created, its ConfigMaps before it. Nothing that is there is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ClusterRefusedError
from chunkmigrate.kubernetes.diagnosis import Seen, diagnose
from chunkmigrate.kubernetes.ending import OVER
from chunkmigrate.kubernetes.fields import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkmigrate.kubernetes.cluster import Cluster
    from chunkmigrate.kubernetes.reading import Manifest

_TAKEN = 409, "AlreadyExists"


def submit(cluster: Cluster, manifest: Manifest, warn: Callable[[str], None]) -> str:
    """Create what a manifest holds; return the Job's name. ``warn`` is told what the cluster warns of.

    Raises `ClusterRefusedError` where a Job of its name is there, or a ConfigMap that holds something else.
    """
    there = cluster.job(manifest.name) if manifest.name else None
    if there is not None:
        raise _taken(cluster, there)
    for config_map in manifest.config_maps:
        for warning in _put(cluster, config_map):
            warn(warning)
    try:
        answer = cluster.create(manifest.job)
    except ClusterRefusedError as error:
        there = cluster.job(manifest.name) if (error.status, error.reason) == _TAKEN else None
        if there is None:
            raise
        raise _taken(cluster, there) from error
    for warning in answer.warnings:
        warn(warning)
    return text(answer.value, "metadata", "name") or manifest.name


def _put(cluster: Cluster, config_map: Mapping[str, Any]) -> tuple[str, ...]:
    """Create a ConfigMap, unless it is there as it should be; return what the cluster warns of."""
    name = text(config_map, "metadata", "name")
    there = cluster.config_map(name)
    if there is None:
        return cluster.create_config_map(config_map).warnings
    if any((there.get(field) or {}) != (config_map.get(field) or {}) for field in ("data", "binaryData")):
        raise ClusterRefusedError(
            f"There is a ConfigMap {name} in namespace {cluster.namespace} that holds something else, and it "
            "is not replaced: pods may be reading it. Delete it if none does, or rename the new one.",
            *_TAKEN,
        )
    return ()


def _taken(cluster: Cluster, job: Mapping[str, Any]) -> ClusterRefusedError:
    name = text(job, "metadata", "name")
    found = diagnose(Seen(job=job, pods=cluster.pods(name))).job
    advice = f"`chunkmigrate job watch {name}` follows it, and `chunkmigrate job cancel {name}` ends it."
    if found.kind in OVER:
        advice = f"`chunkmigrate job cancel {name} --now` deletes it; then submit again."
    there = f"There is a Job {name} in namespace {cluster.namespace}, and it is not replaced."
    return ClusterRefusedError(f"{there} {found.sentence} {advice}", *_TAKEN)
