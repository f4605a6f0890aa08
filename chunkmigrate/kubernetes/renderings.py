"""Renderings: the same Job for whoever starts it: kubectl, Helm, Argo CD, a CronJob.

Airflow's is in ``airflow``, how text is written in ``text``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import airflow, manifest, text
from chunkmigrate.kubernetes.rules import is_helm_value
from chunkmigrate.kubernetes.together import HOOKS

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.workload import Workload

# A CronJob has to have a schedule, also one that is suspended.
NEVER_MIND = "0 0 1 1 *"


def rendered(workload: Workload) -> str:
    """Return the text of the workload in the format that was chosen."""
    match workload.choices.format:
        case "airflow":
            return airflow.dag(workload)
        case "helm-hook":
            return text.of(_templated(_helm(workload)))
        case "argocd-hook":
            return text.of(_argo_cd(workload))
        case "cronjob":
            return text.of([*manifest.config_maps(workload), _cron_job(workload)])
        case "job":
            return text.of(manifest.objects(workload))


def _helm(workload: Workload) -> list[dict[str, Any]]:
    """Return the objects as hooks. The last one stays until the next: it is what tells how it went."""
    return [
        _annotated(
            one,
            {
                "helm.sh/hook": _hook(workload),
                "helm.sh/hook-weight": str(weight),
                "helm.sh/hook-delete-policy": "before-hook-creation",
            },
        )
        for one, weight in _weighted(workload)
    ]


def _argo_cd(workload: Workload) -> list[dict[str, Any]]:
    """Return the objects as hooks. A Job that went by itself would be missed, and the sync never end."""
    found = [
        _annotated(
            one,
            {
                "argocd.argoproj.io/hook": _hook(workload),
                "argocd.argoproj.io/sync-wave": str(weight),
                "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
            },
        )
        for one, weight in _weighted(workload)
    ]
    del found[-1]["spec"]["ttlSecondsAfterFinished"]
    return found


def _hook(workload: Workload) -> str:
    """Return when it runs: before the new version, where nothing else was said."""
    return workload.choices.hook or HOOKS[workload.choices.format][0]


def _weighted(workload: Workload) -> list[tuple[dict[str, Any], int]]:
    """Return the objects in order, each with its weight: what is mounted has to be there first."""
    found, last = manifest.objects(workload), workload.choices.weight
    return [(one, last - len(found) + number) for number, one in enumerate(found, start=1)]


def _annotated(one: dict[str, Any], more: dict[str, str]) -> dict[str, Any]:
    metadata = one["metadata"]
    return {**one, "metadata": {**metadata, "annotations": {**more, **metadata["annotations"]}}}


def _cron_job(workload: Workload) -> dict[str, Any]:
    """Return a CronJob. Without a schedule it is suspended, for `kubectl create job --from=cronjob/NAME`."""
    schedule = workload.choices.schedule
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": workload.metadata(),
        "spec": {
            "schedule": schedule or NEVER_MIND,
            "timeZone": "Etc/UTC",
            "suspend": not schedule,
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {
                "metadata": {"labels": workload.labels(), "annotations": workload.annotations()},
                "spec": manifest.specification(workload),
            },
        },
    }


def _templated(one: Any) -> Any:
    """Return the same with nothing in it that Helm takes for a template, but an image that is one."""
    if isinstance(one, dict):
        return {
            name: value if name == "image" and is_helm_value(str(value)) else _templated(value)
            for name, value in one.items()
        }
    if isinstance(one, list):
        return [_templated(value) for value in one]
    return one.replace("{{", "{{`{{`}}") if isinstance(one, str) else one
