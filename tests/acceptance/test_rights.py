"""The Role of `job render --rbac`, against what the commands it is for really ask a cluster for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.kubernetes import rbac
from tests.acceptance.test_jobs_live import MANIFEST, operating
from tests.apiserver import reply
from tests.recorded import Scenario, scenario
from tests.unit.test_rbac import allowed

if TYPE_CHECKING:
    from tests.acceptance.test_jobs_live import Operator
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


def asked_for(folder: Path, *, mount: bool) -> dict[str, set[Right]]:
    """What each command asks for, where all goes well and where it does not."""
    manifest = MANIFEST if mount else MANIFEST.partition("---")[2]
    found = {"submit": set[Right]()}
    with operating(folder) as operator:
        operator.cluster.plan("POST /configmaps", reply(201, {}))
        operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": "m"}}))
        assert operator("submit", "-", stdin=manifest).returncode == 0
        found["submit"] |= rights(operator)
    recording = scenario("sigterm-graceful")
    name = recording.job["metadata"]["name"]
    files: dict[str, Any] = {"metadata": {"labels": {"app.kubernetes.io/instance": name}}}
    with operating(folder, mounted(recording) if mount else recording) as operator:
        assert operator("submit", "-", stdin=manifest.replace("name: m}", f"name: {name}}}")).returncode == 2
        found["submit"] |= rights(operator)
        for command in ("watch --logs", f"watch {name}", "diagnose", f"diagnose {name}", "cancel sigterm"):
            operator.cluster.plan("GET /configmaps/files", reply(200, files))
            assert operator(*command.split()).returncode == 0
            found.setdefault(command.split()[0], set()).update(rights(operator))
    return found


def rights(operator: Operator) -> set[Right]:
    """What was asked for since the last look."""
    asked, operator.cluster.asked[:] = [*operator.cluster.asked], []
    return {right(one) for one in asked}


def documented() -> dict[str, set[Right]]:
    """The table of the documentation: a column for each command."""
    text = (Path(__file__).parents[2] / "docs" / "kubernetes-operate.md").read_text("utf-8")
    table = text.partition("## Rights")[2]
    commands, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    found: dict[str, set[Right]] = {command: set() for command in commands[1:]}
    for resource, *cells in rows:
        group = "batch" if resource == "`jobs`" else ""
        for command, cell in zip(commands[1:], cells, strict=True):
            verbs = cell.partition("(")[0].replace(",", " ").split()
            found[command] |= {(group, resource.strip("`"), verb) for verb in verbs}
    return found


@pytest.mark.parametrize("mount", [False, True])
def test_least(tmp_path: Path, mount: bool) -> None:  # noqa: FBT001
    """The Role allows all that the commands ask a cluster for, and nothing else; the documentation says which
    of them asks for what.
    """
    [role, _] = rbac.objects("user:jane", namespace="", mount=mount)
    asked = asked_for(tmp_path, mount=mount)

    assert set[Right]().union(*asked.values()) == allowed(role)
    if mount:
        assert asked == documented()
