"""Airflow: the same pod, started by the pod operator of Airflow's provider: the text of a DAG's file.

Nothing of Airflow is imported to write it. The pod goes in whole and not by the operator's parameters, which
Airflow takes for templates, and fills in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import pod
from chunkmigrate.kubernetes.manifest import BACKOFF_LIMIT
from chunkmigrate.kubernetes.workload import CONTAINER
from chunkmigrate.units import parse_duration

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.workload import Workload

# What the operator sets by itself it would set otherwise, so it is said here what stands in the pod.
_DAG = '''"""Apply a migration with chunkmigrate, in a pod."""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

POD = {pod}

with DAG(
    dag_id={name!r},
    schedule={schedule!r},
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["chunkmigrate"],
):
    KubernetesPodOperator(
        task_id="migrate",
        name={name!r},
        full_pod_spec=PodGenerator.deserialize_model_dict(POD),
        base_container_name={container!r},
        automount_service_account_token=False,
        termination_grace_period={grace},
        termination_message_policy="FallbackToLogsOnError",
        startup_timeout_seconds=600,
        log_events_on_failure=True,
        on_finish_action="delete_succeeded_pod",
        # Exit code 75 means "run me again": what is committed is kept, and a retry goes on from there.
        retries={retries},
        retry_delay=timedelta(seconds=10),
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(minutes=6),
    )
'''


def dag(workload: Workload) -> str:
    """Return the file's text."""
    return _DAG.format(
        pod=_literal(_pod(workload)),
        name=workload.name,
        schedule=workload.choices.schedule or None,
        container=CONTAINER,
        grace=pod.GRACE_SECONDS,
        retries=BACKOFF_LIMIT,
    )


def _pod(workload: Workload) -> dict[str, Any]:
    specification = pod.template(workload)["spec"]
    if workload.choices.deadline:
        specification["activeDeadlineSeconds"] = int(parse_duration(workload.choices.deadline))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": workload.metadata(), "spec": specification}


def _literal(value: Any, indent: str = "") -> str:
    """Return a value as Python source, a line for each part."""
    inner = f"{indent}    "
    match value:
        case dict() if value:
            parts = [f"{inner}{name!r}: {_literal(one, inner)},\n" for name, one in value.items()]
            return f"{{\n{''.join(parts)}{indent}}}"
        case list() if value:
            parts = [f"{inner}{_literal(one, inner)},\n" for one in value]
            return f"[\n{''.join(parts)}{indent}]"
        case _:
            return repr(value)
