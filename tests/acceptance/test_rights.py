"""The Role of `job render --rbac`, against what the commands it is for really ask a cluster for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.kubernetes import rbac
from tests.acceptance.test_jobs_live import MANIFEST, operating
from tests.apiserver import reply
from tests.recorded import Scenario, scenario
from tests.unit.test_rbac import allowed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.apiserver import Asked

Right = tuple[str, str, str]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v1/namespaces/migrations/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?P<sub>/.+)?)?"
)


def right(asked: Asked) -> Right:
    """What the cluster's authorizer takes a request for."""
    found = _PATH.fullmatch(asked.path)
    assert found, asked.path
    reads = "get" if found["name"] else "watch" if "watch" in asked.query else "list"
    if asked.method == "DELETE" and not found["name"]:
        return found["group"] or "", found["resource"], "deletecollection"
    return found["group"] or "", found["resource"] + (found["sub"] or ""), _VERBS.get(asked.method, reads)


def mounted(recording: Scenario) -> Scenario:
    """The Job with a ConfigMap that was rendered for it."""
    for job in (recording.job, *recording.versions("Job")):
        volume = {"name": "migrations", "configMap": {"name": "files"}}
        job["spec"]["template"]["spec"]["volumes"] = [volume]
    return recording


def asked_for(folder: Path, *, mount: bool) -> Iterator[Asked]:
    """All that is asked for by somebody who submits, watches, diagnoses and cancels, well and badly."""
    with operating(folder) as operator:
        operator.cluster.plan("POST /configmaps", reply(201, {}))
        operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": "m"}}))
        assert (
            operator("submit", "-", stdin=MANIFEST if mount else MANIFEST.partition("---")[2]).returncode == 0
        )
        yield from operator.cluster.asked
    recording = scenario("sigterm-graceful")
    name = recording.job["metadata"]["name"]
    with operating(folder, mounted(recording) if mount else recording) as operator:
        assert operator("submit", "-", stdin=MANIFEST.replace("name: m}", f"name: {name}}}")).returncode == 2
        assert operator("watch", "--logs").returncode == 0
        assert operator("diagnose").returncode == 0
        files: dict[str, Any] = {"metadata": {"labels": {"app.kubernetes.io/instance": name}}}
        operator.cluster.plan("GET /configmaps/files", reply(200, files))
        assert operator("cancel", name).returncode == 0
        assert operator("diagnose", name).returncode == 0
        yield from operator.cluster.asked


@pytest.mark.parametrize("mount", [False, True])
def test_least(tmp_path: Path, mount: bool) -> None:  # noqa: FBT001
    """The Role allows all that the commands ask a cluster for, and nothing else."""
    [role, _] = rbac.objects("user:jane", namespace="", mount=mount)

    assert {right(asked) for asked in asked_for(tmp_path, mount=mount)} == allowed(role)
