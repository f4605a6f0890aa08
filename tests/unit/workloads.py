"""Workloads for the tests of manifests: made of a migration in a folder, what its project says, and flags."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import yaml

from chunkmigrate.kubernetes.choices import choose
from chunkmigrate.kubernetes.workload import prepare
from chunkmigrate.migration import Migration, find
from chunkmigrate.order import ordered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from chunkmigrate.kubernetes.workload import Workload

SOURCE = '"""Count."""\n\n\ndef upgrade(db):\n    return None\n'
NAME = "20260101000000_count"

# The flags that nothing can be rendered without.
LEAST = {"image": "shop/migrations:1.2", "memory": "64Mi"}


def written(folder: Path, name: str = NAME, source: str = SOURCE) -> Path:
    """A migration in the project of that folder."""
    path = folder / "migrations" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(source, "utf-8")
    return path


def workload(
    folder: Path, name: str = NAME, *, table: Mapping[str, Any] | None = None, **flags: Any
) -> Workload:
    """The workload of a migration, which is written where it is not there. A flag of None is none."""
    if not (folder / "migrations" / f"{name}.py").exists():
        written(folder, name)
    # Whatever a file is called: a rendering relies on no rule for names.
    found = ordered([Migration.read(path) for path in sorted((folder / "migrations").glob("*.py"))])
    typed = {flag: value for flag, value in (LEAST | flags).items() if value is not None}
    return prepare(find(found, name), found, choose(table or {}, typed))


def parsed(text: str) -> list[Any]:
    """The documents of a text of YAML."""
    return list(yaml.safe_load_all(text))


def of_dag(text: str) -> dict[str, Any]:
    """The pod in a DAG's file."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "POD":
            pod: dict[str, Any] = ast.literal_eval(node.value)
            return pod
    raise AssertionError(text)


def without_helm(text: str) -> str:
    """What Helm makes of a template in which everything stands for itself."""
    assert "{{" not in text.replace("{{`{{`}}", "")
    return text.replace("{{`{{`}}", "{{")


def pod_of(one: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of a Job's pod."""
    pod: dict[str, Any] = one["spec"]["template"]["spec"]
    return pod
