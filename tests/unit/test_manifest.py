"""Manifest: what stands in a Job, and that nothing secret does."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.cgroups import find_cgroup
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.holder import this_process
from chunkmigrate.kubernetes import manifest, pod
from chunkmigrate.kubernetes.renderings import rendered
from chunkmigrate.lease import LEASE_SECONDS, RELEASE_SECONDS
from chunkmigrate.memory import find_budget
from chunkmigrate.records import DEATHS
from chunkmigrate.server import ATTEMPT_SECONDS
from chunkmigrate.settings import resolve
from chunkmigrate.sizing import MAX_CHUNK_SECONDS
from chunkmigrate.units import parse_bytes, parse_duration
from tests.unit.workloads import parsed, pod_of, workload

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    return manifest.job(workload(tmp_path))


@pytest.fixture
def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod_of(job)["containers"][0]
    return found


def test_failures(job: dict[str, Any]) -> None:
    """Exit 2 ends the Job, 75 and a disruption are not counted, and the rest is; no pod is replaced early."""
    spec = job["spec"]
    exits = {"containerName": "chunkmigrate", "operator": "In"}

    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "FailJob", "onExitCodes": exits | {"values": [2]}},
        {"action": "Ignore", "onExitCodes": exits | {"values": [75]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    assert spec["podReplacementPolicy"] == "Failed"
    assert pod_of(job)["restartPolicy"] == "Never"


def test_deaths_fit(job: dict[str, Any]) -> None:
    """A Job outlives what it takes to find a document that kills: two deaths to narrow it down, and three."""
    assert job["spec"]["backoffLimit"] > DEATHS + 2


def test_grace(job: dict[str, Any]) -> None:
    """A pod that is to stop has the time for its longest chunk, and to give its lease back."""
    longest = MAX_CHUNK_SECONDS + ATTEMPT_SECONDS + RELEASE_SECONDS

    assert pod_of(job)["terminationGracePeriodSeconds"] > longest


def test_waits_for_a_lease(container: dict[str, Any]) -> None:
    """A pod waits longer than the lease of one that died somewhere else lasts."""
    arguments = container["args"]

    assert arguments[:2] == ["run", "--only"]
    assert parse_duration(arguments[arguments.index("--wait") + 1]) > LEASE_SECONDS


def test_unprivileged(job: dict[str, Any], container: dict[str, Any]) -> None:
    """The pod is no root, keeps no capability, writes nowhere but in its own folder, and has no token."""
    found = pod_of(job)

    assert found["automountServiceAccountToken"] is False
    assert found["enableServiceLinks"] is False
    assert found["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert found["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": pod.TEMPORARY}]


def told(container: dict[str, Any], memory: str) -> dict[str, str]:
    """The environment as the kubelet makes it of a container's, without secrets."""
    fields = {"metadata.name": "migrate-x7k2p", "metadata.uid": "d756", "spec.nodeName": "node-3"}
    found = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            found[variable["name"]] = fields[source["fieldRef"]["fieldPath"]]
        elif "resourceFieldRef" in source:
            assert source["resourceFieldRef"]["resource"] == "requests.memory"
            divisor = parse_bytes(source["resourceFieldRef"]["divisor"])
            found[variable["name"]] = str(parse_bytes(memory) // divisor)
        elif not source:
            found[variable["name"]] = variable["value"]
    return found


def test_run_understands(container: dict[str, Any], tmp_path: Path) -> None:
    """What the pod is told is what a run asks for: its memory request, its pod, its node."""
    environment = told(container, container["resources"]["requests"]["memory"])
    request = resolve({}, environment, tmp_path).request
    budget = find_budget(memory=None, request=request, cgroup=find_cgroup(tmp_path), host=1 << 40)
    holder = this_process(environment)

    assert budget.size == 64 * 2**20
    assert (holder.pod, holder.pod_uid, holder.node) == ("migrate-x7k2p", "d756", "node-3")


def test_uri(tmp_path: Path) -> None:
    """The URI comes from a Secret, whose name and key may be chosen."""
    for flags, expected in (
        ({}, {"name": "mongodb", "key": "uri"}),
        ({"secret": "shop-db", "secret_key": "connection"}, {"name": "shop-db", "key": "connection"}),
    ):
        found = pod_of(manifest.job(workload(tmp_path, **flags)))["containers"][0]["env"]
        [uri] = [variable for variable in found if variable["name"] == "MONGODB_URI"]

        assert uri == {"name": "MONGODB_URI", "valueFrom": {"secretKeyRef": expected}}


def test_termination_message(container: dict[str, Any]) -> None:
    """What a pod has to say at its end is kept; where it says nothing, the end of its log is."""
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(
    ("age", "alive"), [(0, True), (11, True), (55, True), (70, False), (3600, False), (None, False)]
)
def test_liveness(container: dict[str, Any], tmp_path: Path, age: int | None, alive: bool) -> None:  # noqa: FBT001
    """The probe fails when the file was not touched for a minute, or is not there; it needs no shell."""
    probe, file = container["livenessProbe"], tmp_path / "alive"
    if age is not None:
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    [told_] = [v["value"] for v in container["env"] if v["name"] == "CHUNKMIGRATE_LIVENESS_FILE"]
    command = [str(file) if word == told_ else word for word in probe["exec"]["command"]]

    assert told_ in probe["exec"]["command"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == (0 if alive else 1)


def test_liveness_is_patient(container: dict[str, Any]) -> None:
    """A pod has half a minute to begin, and is not ended before two minutes without a sign of life."""
    probe = container["livenessProbe"]

    assert probe["initialDelaySeconds"] >= 30
    assert pod.STALE_MINUTES * 60 + probe["periodSeconds"] * (probe["failureThreshold"] - 1) >= 120


def test_indexed(tmp_path: Path) -> None:
    """Several pods are an Indexed Job, each with its own failures."""
    spec = manifest.job(workload(tmp_path, pods=4))["spec"]

    assert (spec["completionMode"], spec["parallelism"], spec["completions"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (6, 2)
    assert "backoffLimit" not in spec


def test_apart(tmp_path: Path, job: dict[str, Any]) -> None:
    """Several pods are asked to be on different nodes, where there are: no loss of one takes all."""
    found = manifest.job(workload(tmp_path, pods=4))
    [constraint] = pod_of(found)["topologySpreadConstraints"]
    selected = constraint["labelSelector"]["matchLabels"]

    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == (
        *("kubernetes.io/hostname", "ScheduleAnyway"),
    )
    assert selected.items() <= found["spec"]["template"]["metadata"]["labels"].items()
    assert "topologySpreadConstraints" not in pod_of(job)


def test_times(tmp_path: Path, job: dict[str, Any]) -> None:
    """A Job goes away days after its end, and is ended by its age only where that is asked for."""
    assert job["spec"]["ttlSecondsAfterFinished"] == 3 * 24 * 3600
    assert "activeDeadlineSeconds" not in job["spec"]
    assert manifest.job(workload(tmp_path, deadline="1h30m"))["spec"]["activeDeadlineSeconds"] == 5400


def test_placed(tmp_path: Path) -> None:
    """Where the pod may run, as what and how important it is, stands where Kubernetes looks for it."""
    found = pod_of(
        manifest.job(
            workload(
                tmp_path,
                service_account="migrations",
                pull_secrets=["registry"],
                node_selector=["disk=ssd"],
                tolerations=["dedicated=batch:NoSchedule", "spot", "gpu=:NoExecute"],
                priority_class="low",
            )
        )
    )

    assert found["serviceAccountName"] == "migrations"
    assert found["imagePullSecrets"] == [{"name": "registry"}]
    assert found["nodeSelector"] == {"disk": "ssd"}
    assert found["priorityClassName"] == "low"
    assert found["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "batch", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
        {"key": "gpu", "operator": "Equal", "value": "", "effect": "NoExecute"},
    ]


def test_labels(tmp_path: Path) -> None:
    """Job and pods carry the recommended labels, the migration's name, and those that were chosen."""
    found = manifest.job(workload(tmp_path, labels=["team=shop"], annotations=["example.org/ticket=S 1"]))

    for metadata in (found["metadata"], found["spec"]["template"]["metadata"]):
        assert metadata["labels"] == {
            "app.kubernetes.io/name": "chunkmigrate",
            "app.kubernetes.io/instance": "migrate-20260101000000-count",
            "app.kubernetes.io/component": "migration",
            "app.kubernetes.io/managed-by": "chunkmigrate",
            "chunkmigrate/migration": "20260101000000_count",
            "team": "shop",
        }
        assert metadata["annotations"]["example.org/ticket"] == "S 1"
        assert re.fullmatch("meaning1:[0-9a-f]{64}", metadata["annotations"]["chunkmigrate/checksum"])


def test_namespace(tmp_path: Path, job: dict[str, Any]) -> None:
    """A namespace stands there when it was chosen; else whoever applies the Job says which."""
    assert "namespace" not in job["metadata"]
    for one in manifest.objects(workload(tmp_path, namespace="shop", mount=True)):
        assert one["metadata"]["namespace"] == "shop"


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        ({"env": ["URI=mongodb://root:hunter2@db/shop"]}, "env"),
        ({"env": ["URI=see mongodb+srv://cluster.example.net/shop"]}, "env"),
        ({"env": ["QUEUE=amqp://guest:hunter2@queue"]}, "env"),
        ({"env": ["DB_PASSWORD=hunter2"]}, "env"),
        ({"env": ["apiKey=hunter2"]}, "env"),
        ({"env": ["MONGODB_URI=hunter2"]}, "env"),
        ({"env": ["AWS_SECRET_ACCESS_KEY=hunter2"]}, "env"),
        ({"env": ["SMTP_PASS=hunter2"]}, "env"),
        ({"env": ["SENTRY_DSN=hunter2"]}, "env"),
        ({"env": ["SLACK_WEBHOOK_URL=https://hooks.example.com/hunter2"]}, "env"),
        ({"env": ["CHUNKMIGRATE_NOTIFY=https://hooks.example.com/services/hunter2"]}, "env"),
        ({"env": ["ERRORS=https://hunter2@errors.example.com/1"]}, "env"),
        ({"env": ["BLOBS=https://blobs.example.com/x?sv=1&sig=hunter2"]}, "env"),
        ({"annotations": ["note=https://ci.example.com/?access_token=hunter2"]}, "annotations"),
        ({"env": ["CERT=-----BEGIN RSA PRIVATE KEY-----\nhunter2"]}, "env"),
        ({"annotations": ["note=redis://:hunter2@cache"]}, "annotations"),
        ({"database": "mongodb://root:hunter2@db"}, "database"),
    ],
)
def test_nothing_secret(tmp_path: Path, flags: dict[str, Any], setting: str) -> None:
    """What looks like a secret is not rendered; the sentence says where it belongs, and not what it is."""
    with pytest.raises(InvalidSettingError, match=rf"^The {setting} setting: .*Secret") as caught:
        workload(tmp_path, **flags)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "AWS_ACCESS_KEY_ID=AKIA",
            "PWD=/app",
            "BYPASS=1",
            "PUBLIC_KEY=x",
            "KEYSPACE=a",
            "TOKENS_PER_MINUTE=5",
        ),
        *(
            "DOCS=https://example.com/a?b=c@d",
            "REPO=ssh://git@example.com/a",
            "MAIL=ada@example.com",
            "PASSWORD=",
        ),
    ],
)
def test_not_secret(tmp_path: Path, text: str) -> None:
    """What only looks a little like a secret is rendered as it is."""
    [job] = parsed(rendered(workload(tmp_path, env=[text])))
    name, _, value = text.partition("=")

    assert {"name": name, "value": value} in pod_of(job)["containers"][0]["env"]


def test_environment_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment of whoever renders gets into a manifest."""
    before = rendered(workload(tmp_path))
    monkeypatch.setenv("MONGODB_URI", "mongodb://root:hunter2@db/shop")
    monkeypatch.setenv("CHUNKMIGRATE_MEMORY", "1Gi")
    monkeypatch.setenv("CHUNKMIGRATE_DATABASE", "other")

    assert rendered(workload(tmp_path)) == before
    assert len(parsed(before)) == 1
