"""Imports: one direction, and only what a run needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "chunkmigrate"


def module_of(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(tree: ast.AST, *, late: bool) -> list[ast.Import | ast.ImportFrom]:
    """The import statements that run: at once, or ``late`` ones too, when a function is called."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif not for_types(node) and (late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            found += statements(node, late=late)
    return found


def imports(module: str, source: str, *, late: bool = True) -> set[str]:
    """The modules that a module imports, by full name."""
    names: set[str] = set()
    for node in statements(ast.parse(source), late=late):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        assert not node.level, f"{module} has a relative import"
        parts = {f"{node.module}.{alias.name}" for alias in node.names}
        names |= {part for part in parts if part in SOURCES}
        if not parts <= set(SOURCES):
            names.add(str(node.module))
    return names


@cache
def graph(*, late: bool = True) -> dict[str, set[str]]:
    return {module: imports(module, path.read_text(), late=late) for module, path in SOURCES.items()}


def test_reads_imports() -> None:
    """Imports are read wherever they stand, except those for types only."""
    source = """
import os.path
from typing import TYPE_CHECKING
from chunkmigrate import sizing, scan
from chunkmigrate.raw import Key
if TYPE_CHECKING:
    import a
try:
    import b
finally:
    pass
class C:
    def f(self):
        import c
"""
    at_once = {"os.path", "typing", "chunkmigrate.sizing", "chunkmigrate.scan", "chunkmigrate.raw", "b"}

    assert imports("x", source, late=False) == at_once
    assert imports("x", source) == at_once | {"c"}


UPDATES = {
    module.removeprefix("chunkmigrate.") for module in SOURCES if module.startswith("chunkmigrate.updates.")
}
LINTING = {
    module.removeprefix("chunkmigrate.") for module in SOURCES if module.startswith("chunkmigrate.linting.")
}


def test_acyclic() -> None:
    """No module imports, at once or late, one that imports it."""
    edges = {
        module: {name for name in names if name in SOURCES and name != module}
        for module, names in graph().items()
    }

    assert sum(map(len, edges.values())) > len(SOURCES)
    assert len(list(TopologicalSorter(edges).static_order())) == len(SOURCES)


@pytest.mark.parametrize(
    ("imported", "importers"),
    [
        (
            "typer",
            {
                "bookkeeping",
                "cli",
                "commands",
                "completion",
                "job_options",
                "job_submit",
                "jobs",
                "jobs_live",
                "lint",
                "options",
                "overview",
                "reporting",
                "rollbacks",
                "scaffolding",
                "tuner",
                "verbs",
            }
            | {"verifying"},
        ),
        ("rich", {"job_screen", "progress", "demo", "foreseen", "summary"}),
        ("kubernetes", {"kubernetes.client"}),
        ("urllib3", {"kubernetes.client"}),
        ("chunkmigrate.jobs_live", {"jobs", "job_submit"}),
        ("chunkmigrate.job_submit", {"jobs"}),
        ("chunkmigrate.job_screen", {"jobs_live"}),
        ("chunkmigrate.lastruns", {"jobs_live"}),
        ("msgspec", {"profiles", "profiler", "kubernetes.choices"}),
        ("yaml", {"kubernetes.text", "kubernetes.reading"}),
        ("memory_profiler", {"lines"}),
        ("chunkmigrate.profile_part", set()),
        ("chunkmigrate.profiler", {"tuner"}),
        ("chunkmigrate.parts", {"profiler"}),
        ("chunkmigrate.sweep", {"profile_part"}),
        ("chunkmigrate.mongod", {"opening", "demo", "runner", "testing"}),
        ("chunkmigrate.cli", {"__main__"}),
        ("chunkmigrate.commands", {"bookkeeping", "cli", "jobs", "rollbacks", "verbs"}),
        ("chunkmigrate.verbs", {"cli", "rollbacks"}),
        ("chunkmigrate.rollbacks", {"cli"}),
        ("chunkmigrate.rollback", {"rollbacks", "testing"}),
        ("chunkmigrate.keeping", {"undoing"}),
        ("chunkmigrate.changes", {"keeping"}),
        ("chunkmigrate.restoring", {"rollback", "undoing"}),
        ("chunkmigrate.earlier", {"changes", "restoring", "undo"}),
        ("chunkmigrate.touched", {"images", "keeping", "restoring"}),
        ("chunkmigrate.clearing", {"recorder"}),
        ("chunkmigrate.jobs", {"cli"}),
        ("chunkmigrate.job_options", {"jobs", "job_submit"}),
        ("jinja2", {"report_page"}),
        ("markupsafe", {"report_page"}),
        ("chunkmigrate.reporting", {"cli"}),
        ("chunkmigrate.report_page", {"reporting"}),
        ("chunkmigrate.account", {"reporting"}),
        ("chunkmigrate.evidence", {"reporting"}),
        ("chunkmigrate.plots", {"report_page"}),
        (
            "chunkmigrate.opening",
            {
                "audience",
                "cli",
                "jobs_live",
                "lastruns",
                "lint",
                "overview",
                "reporting",
                "rollbacks",
                "runs",
                "trying",
                "tuner",
                "verbs",
            }
            | {"bookkeeping", "together", "verifying"},
        ),
        ("chunkmigrate.bookkeeping", {"cli"}),
        ("chunkmigrate.marking", {"bookkeeping", "importing"}),
        ("chunkmigrate.importing", {"bookkeeping"}),
        ("chunkmigrate.foreign", {"bookkeeping"}),
        ("chunkmigrate.verifying", {"cli"}),
        ("chunkmigrate.naming", {"bookkeeping", "rollbacks", "verbs"}),
        ("chunkmigrate.verification", {"runner", "trying", "verifying"}),
        ("prometheus_client", {"metrics"}),
        ("urllib.request", {"delivery"}),
        ("chunkmigrate.audience", {"cli", "rollbacks"}),
        ("chunkmigrate.metrics", {"audience"}),
        ("chunkmigrate.notify", {"audience", "cli"}),
        ("chunkmigrate.delivery", {"metrics", "notify"}),
        ("chunkmigrate.runs", {"cli", "rollbacks"}),
        ("chunkmigrate.saying", {"cli", "profiler", "rollbacks", "verifying"}),
        ("chunkmigrate.discretion", {"server", "sending", "executor", "ranged"}),
        (
            "chunkmigrate.lease_record",
            {"lease", "control", "evidence", "verbs", "ledger", "leases", "sharing", "standing"}
            | {"bookkeeping", "marking", "naming", "settlement"},
        ),
        (
            "chunkmigrate.leases",
            {"control", "evidence", "marking", "tuner", "verbs", "ledger", "history", "standing"}
            | {"sharing", "settlement"},
        ),
        ("chunkmigrate.settlement", {"recorder"}),
        ("chunkmigrate.lease_reading", {"lease_record", "control", "leases", "verdict"}),
        ("chunkmigrate.partitions", {"sharing"}),
        ("chunkmigrate.sharing", {"runner"}),
        ("chunkmigrate.verdict", {"runner"}),
        ("chunkmigrate.workers", {"together"}),
        ("chunkmigrate.together", {"cli"}),
        ("chunkmigrate.control", {"bookkeeping", "jobs_live", "lastruns", "rollbacks", "verbs"}),
        (
            "chunkmigrate.pages",
            {"scan", "documents", "previews", "server_trial", "stages", "profile_part"} | {"weighing"},
        ),
        ("chunkmigrate.serverside", {"step"}),
        ("chunkmigrate.committing", {"serverside"}),
        ("chunkmigrate.ranged", {"step", "serverside", "committing", "readmission", "server_trial"}),
        ("chunkmigrate.server_trial", {"dryrun"}),
        ("chunkmigrate.widths", {"serverside", "server_trial", "dryrun"}),
        ("chunkmigrate.server_updates", {"backfill"}),
        (
            "chunkmigrate.raw",
            {
                "pages",
                "scan",
                "records",
                "partitions",
                "quarantine",
                "unchanged",
                "runner",
                "contents",
                "profile_part",
                "sampling",
                "scratch",
                *("earlier", "images", "keeping", "restoring", "touched", "undo", "undoing"),
            }
            | {"updates.tree"},
        ),
        ("chunkmigrate.hints", {"scan", "indexes"}),
        ("chunkmigrate.indexes", {"dryrun", "linting.of_servers"}),
        ("chunkmigrate.lint", {"cli"}),
        ("chunkmigrate.linting", {"lint", *LINTING}),
        ("chunkmigrate.linting.of_servers", {"lint"}),
        ("chunkmigrate.differences", {"previews", "touching", "server_trial"}),
        ("chunkmigrate.foresight", {"differences", "previews", "server_trial"}),
        ("chunkmigrate.display", {"differences"}),
        ("chunkmigrate.updates", {"foresight", "display", "differences", *UPDATES}),
        ("chunkmigrate.dryrun", {"trying"}),
        ("chunkmigrate.overview", {"cli"}),
        ("chunkmigrate.standing", {"overview"}),
        ("chunkmigrate.planning", {"overview"}),
        ("chunkmigrate.touching", {"planning"}),
        ("chunkmigrate.history", {"overview"}),
        ("chunkmigrate.selection", {"sequence"}),
        ("chunkmigrate.sequence", {"cli", "overview", "trying"}),
        ("chunkmigrate.folder", {"linting.checking", "migration", "overview", "sequence"}),
        ("chunkmigrate.scaffolding", {"cli"}),
        ("chunkmigrate.testing", set()),
        ("chunkmigrate.confined", {"testing"}),
        ("chunkmigrate.contents", {"testing"}),
        ("chunkmigrate.interruption", {"testing"}),
        ("pytest", set()),
    ],
)
def test_importers(imported: str, importers: set[str]) -> None:
    """What only some need is imported by those alone: the terminal, the embedded server."""
    found = {
        module.removeprefix("chunkmigrate.")
        for module, names in graph().items()
        if any(name == imported or name.startswith(f"{imported}.") for name in names)
    }

    assert found <= importers


def test_kubernetes_apart() -> None:
    """What is known of a cluster needs no run, nor anything a run is made of."""
    inside = {module for module in SOURCES if module.startswith("chunkmigrate.kubernetes")}
    imported = {name for module in inside for name in graph()[module] if name.startswith("chunkmigrate")}

    assert imported - inside <= {
        f"chunkmigrate.{name}" for name in ("errors", "plain", "retry", "server", "tuned", "units")
    }


DIAGNOSIS = [
    "advising",
    "containers",
    "creation",
    "culprits",
    "diagnosis",
    "disruptions",
    "ending",
    "evidence",
    "fields",
    "going",
    "jobs",
    "message",
    "pods",
]
PURE = [
    *("sizing", "frontier", "units", "raw", "records", "pacing", "errors", "widths", "server_updates"),
    *("earlier", "touched", "disorder"),
    *("timeline", "axes", "stretches", "plots", "plain", "foresight", "display", "foreign"),
    *sorted(UPDATES),
    *(f"kubernetes.{module}" for module in DIAGNOSIS),
]

# Who may know of a cluster: no run, and nothing a run is made of.
OF_A_CLUSTER = {
    *("jobs", "jobs_live", "job_cancel", "job_lines", "job_options", "job_screen", "job_submit", "job_watch"),
    "lastruns",
}


@pytest.mark.parametrize("module", PURE)
def test_pure(module: str) -> None:
    """The pure modules import nothing of this library but each other, and never the driver."""
    found = graph()[f"chunkmigrate.{module}"]

    assert {name for name in found if name.startswith("chunkmigrate")} <= {
        f"chunkmigrate.{pure}" for pure in PURE
    }
    assert not any(name.split(".")[0] in ("pymongo", "psutil", "rich", "typer") for name in found)


def test_late() -> None:
    """The command line knows what a report is made of only once one is asked for: a pod never does."""
    parts = {"account", "advice", "evidence", "plots", "profiles", "report", "report_page"}
    at_once = graph(late=False)["chunkmigrate.reporting"]

    assert at_once.isdisjoint({f"chunkmigrate.{part}" for part in parts})
    assert at_once


def test_linting_late() -> None:
    """The command line knows what lint is made of only once it is asked for: a pod never does."""
    at_once = {name for name in graph(late=False)["chunkmigrate.lint"] if name.startswith("chunkmigrate.")}

    assert at_once
    assert not any(name.startswith("chunkmigrate.linting") for name in at_once)


def test_light() -> None:
    """Importing chunkmigrate brings in no terminal, profiler or Kubernetes client."""
    heavy = {
        "rich",
        "memory_profiler",
        "kubernetes",
        "prometheus_client",
        "typer",
        "pydantic",
        "msgspec",
        "jinja2",
        "yaml",
    }
    code = "import sys, chunkmigrate; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert "chunkmigrate" in run.stdout.split()
    assert heavy.isdisjoint(run.stdout.split())


def test_cluster_is_nobodys() -> None:
    """Only the commands of a Job know that there are clusters, and import nothing of it before they run."""
    found = {
        module.removeprefix("chunkmigrate.")
        for module, names in graph().items()
        if any(name.startswith("chunkmigrate.kubernetes") for name in names)
    }
    at_once = {
        name
        for module in ("jobs", "jobs_live", "job_options", "job_submit")
        for name in graph(late=False)[f"chunkmigrate.{module}"]
        if "kubernetes" in name or name in ("chunkmigrate.job_watch", "chunkmigrate.job_cancel")
    }

    assert {module for module in found if not module.startswith("kubernetes")} <= OF_A_CLUSTER
    assert not at_once


def test_plugin_is_light() -> None:
    """The fixtures, which pytest loads everywhere, bring in neither the driver nor chunkmigrate."""
    code = "import sys, pytest_chunkmigrate; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert "pytest_chunkmigrate" in run.stdout.split()
    assert {"chunkmigrate", "pymongo", "bson", "psutil"}.isdisjoint(run.stdout.split())


def test_every_room_is_listed() -> None:
    """Each module stands in the design's list of rooms, and nothing else does."""
    design = (PROJECT / "docs" / "design.md").read_text("utf-8")
    listed = re.findall(r"`([a-z_]+)/?`", design.partition("## The rooms")[2].partition("The state lives")[0])
    there = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert sorted({*listed} - {"_id", "new"}) == sorted({*there, *folders})
