"""`job render`, through the command line: no server, and no cluster, is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster import problems
from tests.unit.workloads import NAME, SOURCE, parsed, pod_of, written

if TYPE_CHECKING:
    from pathlib import Path

UNREACHABLE = "mongodb://nobody:hunter2@127.0.0.1:1/shop"


@dataclass(frozen=True)
class Project:
    """A project with one migration, and the command line in it."""

    folder: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "chunkmigrate", "job", "render", *arguments],
            cwd=self.folder,
            env=os.environ | {"MONGODB_URI": UNREACHABLE},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def says(self, text: str) -> None:
        (self.folder / "pyproject.toml").write_text(f"[tool.chunkmigrate.kubernetes]\n{text}")


@pytest.fixture
def render(tmp_path: Path) -> Project:
    written(tmp_path)
    return Project(tmp_path)


def test_flags(render: Project) -> None:
    """With flags alone a Job is printed that a cluster takes; nothing of the server is in it."""
    done = render("count", "--image", "shop:1", "--memory", "64Mi", "--label", "team=shop", "--env", "A=1e3")
    [job] = parsed(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert problems(job) == []
    assert job["metadata"]["labels"]["team"] == "shop"
    assert {"name": "A", "value": "1e3"} in pod_of(job)["containers"][0]["env"]
    assert "hunter2" not in done.stdout


def test_project(render: Project) -> None:
    """What the project says stands in every Job, and a flag wins over it."""
    render.says(
        'image = "shop:1"\nnamespace = "shop"\nservice_account = "migrations"\n'
        'tolerations = ["dedicated=batch:NoSchedule"]\n[tool.chunkmigrate.kubernetes.env]\nA = "1"\nB = "1"\n'
    )
    done = render("count", "--memory", "64Mi", "--image", "shop:2", "--env", "B=2", "--mount", "--pods", "3")
    config_map, job = parsed(done.stdout)
    pod = pod_of(job)

    assert (done.returncode, done.stderr) == (0, "")
    assert problems(job) == []
    assert (job["metadata"]["namespace"], config_map["metadata"]["namespace"]) == ("shop", "shop")
    assert (pod["containers"][0]["image"], pod["serviceAccountName"]) == ("shop:2", "migrations")
    assert pod["containers"][0]["env"][-2:] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert config_map["data"] == {f"{NAME}.py": SOURCE}
    assert job["spec"]["completions"] == 3


def test_same_bytes(render: Project) -> None:
    """Rendered twice, it is the same to the byte."""
    arguments = ("count", "--image", "shop:1", "--memory", "64Mi", "--mount", "--format", "helm-hook")

    assert render(*arguments).stdout == render(*arguments).stdout != ""


def test_module_says_memory(render: Project) -> None:
    """A migration may say itself how much memory its pod gets."""
    written(render.folder, source=f'{SOURCE}memory = "96Mi"\n')
    [job] = parsed(render("count", "--image", "shop:1").stdout)

    assert pod_of(job)["containers"][0]["resources"]["limits"]["memory"] == "96Mi"


def test_warning(render: Project) -> None:
    """A warning goes to stderr, and the manifest is printed all the same."""
    done = render("count", "--image", "shop:1", "--memory", "64Mi", "--memory-limit", "1Gi")

    assert done.returncode == 0
    assert done.stderr.startswith("Warning: the memory limit (1 GiB) is more than the request (64 MiB)")
    assert problems(parsed(done.stdout)[0]) == []


def test_airflow(render: Project) -> None:
    """A DAG's file is printed as Python that compiles."""
    done = render("count", "--image", "shop:1", "--memory", "64Mi", "--format", "airflow")

    assert done.returncode == 0
    compile(done.stdout, "dag.py", "exec")


def test_rbac(render: Project) -> None:
    """The Role for whoever handles Jobs is printed without a migration or an image."""
    done = render("--rbac", "serviceaccount:ci", "--namespace", "shop")

    assert (done.returncode, done.stderr) == (0, "")
    assert [one["kind"] for one in parsed(done.stdout)] == ["Role", "RoleBinding"]


@pytest.mark.parametrize(
    ("arguments", "project", "message"),
    [
        ([], "", "Error: Name the migration whose Job is to be printed."),
        (
            ["nothing", "--image", "a:1"],
            "",
            "Error: There is no migration nothing. There is 20260101000000_count.",
        ),
        (
            ["count"],
            "",
            "Error: No image is named. Use --image, or image in [tool.chunkmigrate.kubernetes] of",
        ),
        (["count", "--image", "a:1"], "", "Error: Nothing says how much memory 20260101000000_count needs."),
        (["count", "--image", "A"], "", "Error: The image setting: 'A' is not an image; write"),
        (
            ["count", "--format", "x"],
            "",
            "Error: The format setting: it is job, helm-hook, argocd-hook, cronjob or",
        ),
        (
            ["count", "--pods", "0", "--image", "a:1"],
            "",
            "Error: The pods setting: 0 is not a number of pods",
        ),
        (["count", "--pods", "many"], "", "Usage: "),
        (
            ["count"],
            "image = 5",
            "Error: [tool.chunkmigrate.kubernetes]: the setting image is a text in quotes.",
        ),
        (
            ["count"],
            'imag = "a"',
            "Error: [tool.chunkmigrate.kubernetes] has no setting imag; it has annotations,",
        ),
        (
            ["count", "--env", "U=mongodb://a:hunter2@b"],
            'image = "a:1"',
            "Error: The env setting: a server's ",
        ),
        (
            ["--rbac", "jane"],
            "",
            "Error: --rbac jane: write whom it is for: serviceaccount:NAME, user:NAME or",
        ),
    ],
)
def test_unusable(render: Project, arguments: list[str], project: str, message: str) -> None:
    """What cannot be rendered is refused with a sentence and exit 2, and nothing is printed."""
    render.says(project)
    done = render(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_table_is_no_table(render: Project) -> None:
    """Where the project's table is none, every command says so."""
    (render.folder / "pyproject.toml").write_text("[tool.chunkmigrate]\nkubernetes = 5\n")
    done = render("count", "--image", "shop:1")

    assert done.returncode == 2
    assert done.stderr == "Error: pyproject.toml: [tool.chunkmigrate.kubernetes] is a table, not 5.\n"
