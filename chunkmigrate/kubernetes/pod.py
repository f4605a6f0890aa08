"""Pod: the pod a migration runs in, the same one whoever starts it. Pure: a workload in, a document out.

It may do nothing but reach its database: it is nobody's root, its file system is read-only, and it holds no
token of the cluster's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes.choices import reference, toleration
from chunkmigrate.kubernetes.mounting import FOLDER, name_of
from chunkmigrate.kubernetes.workload import CONTAINER, INSTANCE_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.kubernetes.workload import Workload

# The image's own user, by number.
USER = 10001

# A chunk is built for 5 s at most and sent for 20, and then the lease is given back within 5. Twice that.
GRACE_SECONDS = 60

# A pod that died on another machine leaves a lease of half a minute behind: its successor waits for that and
# does not fail.
WAIT = "2m"

# On disk: what is written into memory would count against the pod's. A run writes next to nothing.
TEMPORARY, TEMPORARY_SIZE = "/tmp", "64Mi"  # noqa: S108 (a folder of the pod's own)

LIVENESS_FILE = f"{TEMPORARY}/alive"
# A healthy run touches the file every 10 s. `find` fails where it is older than a minute, or not there; it
# takes 2.7 MiB of the pod's memory, where a Python that asks the same takes 13. A pod has half a minute to
# begin, and is ended when three looks, half a minute apart, found nothing new.
STALE_MINUTES = 1
LIVENESS = {
    "exec": {"command": ["find", LIVENESS_FILE, "-mmin", f"+{STALE_MINUTES}", "-exec", "false", "{}", "+"]},
    "initialDelaySeconds": 30,
    "periodSeconds": 30,
    "timeoutSeconds": 10,
    "failureThreshold": 3,
}


def template(workload: Workload) -> dict[str, Any]:
    """Return the pod as a template: labels, annotations and specification."""
    return {
        "metadata": {"labels": workload.labels(), "annotations": workload.annotations()},
        "spec": _spec(workload),
    }


def _spec(workload: Workload) -> dict[str, Any]:
    choices = workload.choices
    optional = {
        "serviceAccountName": choices.service_account,
        "imagePullSecrets": [{"name": name} for name in choices.pull_secrets],
        "nodeSelector": dict(sorted(choices.node_selector.items())),
        "tolerations": [_toleration(text) for text in choices.tolerations],
        "topologySpreadConstraints": [_apart(workload)] if choices.pods > 1 else [],
        "priorityClassName": choices.priority_class,
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        # A Service called chunkmigrate would set variables that look like settings.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **{name: value for name, value in optional.items() if value},
        "containers": [_container(workload)],
        "volumes": [volume for volume, _ in _volumes(workload)],
    }


def _container(workload: Workload) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": workload.choices.image,
        "args": _arguments(workload),
        "env": list(_environment(workload)),
        "resources": workload.resources.document(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "livenessProbe": LIVENESS,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount for _, mount in _volumes(workload)],
    }


def _arguments(workload: Workload) -> list[str]:
    # Whatever a file is called, it is a name and not a flag.
    # Alone: what else is pending has a Job of its own, and its file may not even be mounted.
    return ["run", "--only", "--wait", WAIT, "--", _literal(workload.migration)]


def _environment(workload: Workload) -> Iterator[dict[str, Any]]:
    choices = workload.choices
    yield _from("MONGODB_URI", secretKeyRef={"name": choices.secret, "key": choices.secret_key})
    yield _from(
        "CHUNKMIGRATE_MEMORY_REQUEST",
        resourceFieldRef={"containerName": CONTAINER, "resource": "requests.memory", "divisor": "1"},
    )
    yield _from("CHUNKMIGRATE_POD", fieldRef={"fieldPath": "metadata.name"})
    yield _from("CHUNKMIGRATE_POD_UID", fieldRef={"fieldPath": "metadata.uid"})
    yield _from("CHUNKMIGRATE_NODE", fieldRef={"fieldPath": "spec.nodeName"})
    yield {"name": "CHUNKMIGRATE_LIVENESS_FILE", "value": LIVENESS_FILE}
    if choices.database:
        yield {"name": "CHUNKMIGRATE_DATABASE", "value": _literal(choices.database)}
    if workload.files:
        yield {"name": "CHUNKMIGRATE_DIR", "value": FOLDER}
    for name, value in sorted(choices.env.items()):
        yield {"name": name, "value": _literal(value)}
    for kind, chosen in (
        ("secretKeyRef", choices.env_from_secrets),
        ("configMapKeyRef", choices.env_from_configmaps),
    ):
        for name, text in sorted(chosen.items()):
            yield _from(name, **{kind: dict(zip(("name", "key"), reference(text), strict=True))})


def _volumes(workload: Workload) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each volume, and where it is mounted."""
    yield (
        {"name": "tmp", "emptyDir": {"sizeLimit": TEMPORARY_SIZE}},
        {"name": "tmp", "mountPath": TEMPORARY},
    )
    if workload.files:
        source = {"name": name_of(workload.name, workload.files)}
        yield (
            {"name": "migrations", "configMap": source},
            {"name": "migrations", "mountPath": FOLDER, "readOnly": True},
        )


def _apart(workload: Workload) -> dict[str, Any]:
    """Ask for a node for each pod, where there are so many: a scheduler sees no reason to by itself."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {INSTANCE_LABEL: workload.name}},
    }


def _toleration(text: str) -> dict[str, str]:
    key, value, effect = toleration(text)
    found = (
        {"key": key, "operator": "Exists"}
        if value is None
        else {"key": key, "operator": "Equal", "value": value}
    )
    return found | ({"effect": effect} if effect else {})


def _from(name: str, **source: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "valueFrom": source}


def _literal(text: str) -> str:
    """Return a text that means itself: Kubernetes puts variables in where it finds ``$(NAME)``."""
    return text.replace("$", "$$")
