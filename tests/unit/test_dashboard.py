"""The dashboard and the alerts: every metric they ask for exists, with the labels they ask of it."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.families import FAMILIES, LABELS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
ALERTS = re.findall(
    r"expr: (?:>\n)?(.*?)\n +(?:for|annotations)", (DOCS / "metrics.md").read_text("utf-8"), re.DOTALL
)

# Metrics the dashboard leaves out on purpose, each with the reason.
LEFT_OUT: dict[str, str] = {}

_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
ALLOWED = {
    PREFIX + family.name + suffix: {*LABELS, *family.labels, *(["le"] if suffix == "_bucket" else [])}
    for family in FAMILIES
    for suffix in _SUFFIXES.get(family.kind, ("",))
}
# What Prometheus itself adds to what it scrapes.
ADDED = {"instance", "job"}


def targets() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel, target


def variables() -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


EXPRESSIONS = [target["expr"] for _, target in targets()]
QUERIES = [variables()[name]["definition"] for name in ("database", "migration")]


def metrics(expression: str) -> set[str]:
    return set(re.findall(rf"{PREFIX}\w+", expression))


def labels(expression: str) -> set[str]:
    """The labels an expression names: in braces, and behind by, without and on."""
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", expression)
    return {*matched, *(label.strip() for group in grouped for label in group.split(","))}


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *QUERIES, *ALERTS])
def test_metrics_exist(expression: str) -> None:
    """An expression asks for metrics that exist, and of labels that each of them has."""
    asked = metrics(expression)

    assert asked <= set(ALLOWED)
    assert asked
    assert labels(expression) <= set.union(*(ALLOWED[name] for name in asked)) | ADDED
    for name, matchers in re.findall(rf"({PREFIX}\w+)\{{([^}}]*)\}}", expression):
        assert labels(matchers) <= ALLOWED[name]


def test_reads_labels() -> None:
    """Labels are found wherever an expression names them."""
    expression = 'sum by (a, b) (m{c="x", d=~"y"}) and on (e) sum without (f) (n{g!="z"})'

    assert labels(expression) == {"a", "b", "c", "d", "e", "f", "g"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_filtered(expression: str) -> None:
    """Every metric of the dashboard is that of the chosen migrations and databases."""
    chosen = 'migration=~"$migration", database=~"$database"'

    assert expression.count(PREFIX) == expression.count(chosen)


def test_every_metric_is_used() -> None:
    """Every metric there is stands on the dashboard, or is left out on purpose."""
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for one in EXPRESSIONS for name in metrics(one)}

    assert shown | set(LEFT_OUT) == {PREFIX + family.name for family in FAMILIES}
    assert not shown & set(LEFT_OUT)


def test_legends() -> None:
    """A legend names labels that the series have."""
    for _, target in targets():
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))

        assert named <= labels(target["expr"])


def test_importable() -> None:
    """The dashboard is of no particular Grafana: no identity, no data source but the one that is chosen."""
    source = {"type": "prometheus", "uid": "${datasource}"}

    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 41
    assert variables()["datasource"]["type"] == "datasource"
    assert variables()["datasource"]["query"] == "prometheus"
    assert [*variables()] == ["datasource", "database", "migration"]
    for panel, target in targets():
        assert panel["datasource"] == target["datasource"] == source
    assert all(variables()[name]["datasource"] == source for name in ("database", "migration"))


def test_layout() -> None:
    """Panels have a number of their own, a title and a description, and none covers another."""
    panels = DASHBOARD["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]

        assert panel["description"].endswith(".")
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]

        assert beside or below


def test_alerts() -> None:
    """There is an alert for a failure, for a run without progress, and for memory above the guard."""
    assert len(ALERTS) == 3
    for part in ('status="failed"', "chunks_total", "memory_used_bytes"):
        assert any(part in alert for alert in ALERTS)
