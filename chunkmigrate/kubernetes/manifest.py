"""Manifest: a workload's Job, and the ConfigMap it mounts, as plain data. Nothing here asks a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import mounting, pod
from chunkmigrate.kubernetes.workload import CONTAINER
from chunkmigrate.units import parse_duration

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.workload import Workload

# The exit codes of `chunkmigrate run` that are no failures to be counted.
AGAIN, UNUSABLE = 75, 2

# A document that kills its pods is found out and set aside after five deaths; one more for anything else.
BACKOFF_LIMIT = 6

# What fails on Friday evening is still there on Monday.
TTL_SECONDS = 3 * 24 * 3600


def objects(workload: Workload) -> list[dict[str, Any]]:
    """Return what is to be applied, in order."""
    return [*config_maps(workload), job(workload)]


def config_maps(workload: Workload) -> list[dict[str, Any]]:
    """Return the ConfigMap that holds the migration, where it is mounted."""
    if not workload.files:
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": workload.metadata(mounting.name_of(workload.name, workload.files)),
            "immutable": True,
            "data": dict(workload.files),
        }
    ]


def job(workload: Workload) -> dict[str, Any]:
    """Return the Job."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": workload.metadata(),
        "spec": specification(workload),
    }


def specification(workload: Workload) -> dict[str, Any]:
    """Return what the Job is to do: run until it is done, and count only what counts as a failure."""
    deadline = workload.choices.deadline
    return {
        **_counts(workload.choices.pods),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        **({"activeDeadlineSeconds": int(parse_duration(deadline))} if deadline else {}),
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "template": pod.template(workload),
    }


def _counts(pods: int) -> dict[str, Any]:
    if pods == 1:
        return {"backoffLimit": BACKOFF_LIMIT}
    return {
        "completionMode": "Indexed",
        "parallelism": pods,
        "completions": pods,
        "backoffLimitPerIndex": BACKOFF_LIMIT,
        # What one pod leaves undone another one does. Where half of them have failed it is not the pods.
        "maxFailedIndexes": pods // 2,
    }


def _failure_rules() -> list[dict[str, Any]]:
    return [
        # It cannot be used as asked, and will not be able to a second time.
        {"action": "FailJob", "onExitCodes": _exits_with(UNUSABLE)},
        # It stopped at a checkpoint, to be run again.
        {"action": "Ignore", "onExitCodes": _exits_with(AGAIN)},
        # It was evicted, preempted or drained.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _exits_with(code: int) -> dict[str, Any]:
    # Of this container: what a service mesh adds to the pod exits as it likes.
    return {"containerName": CONTAINER, "operator": "In", "values": [code]}
