"""Metrics: what a scrape, a Pushgateway and a file get to see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from chunkmigrate.families import FAMILIES, LABELS, PREFIX
from chunkmigrate.ledger import APPLIED
from chunkmigrate.metrics import Metrics, registry_of
from chunkmigrate.sizing import MIB, Zone
from chunkmigrate.tally import SIGNALS, STATUSES, Tally
from tests.unit.hearing import WHO, outcome, progress
from tests.unit.scraped import key, parsed


def samples(*tallies: Tally) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return parsed(generate_latest(registry_of(tallies)).decode())


def tally_of(*, migration: str = "cents", database: str = "shop") -> Tally:
    """A run of three chunks, with a pause and a retry."""
    tally = Tally(database, 40 * MIB, WHO, clock=lambda: 1_000.5)
    tally.begin(migration, 128 * MIB, "--memory 128Mi")
    for number, seconds in ((1, 0.03), (2, 0.03), (3, 3.0)):
        tally.show(progress(number, seconds=seconds, total=1_000))
    tally.note("retrying", "", seconds=0.1)
    tally.note("throttled", "replication lag 14 s > 10 s", signal="replication lag")
    tally.note("throttled", "", signal="replication lag", seconds=1.25)
    return tally


def test_samples() -> None:
    """A run's counts, sizes, memory, pauses and standing are samples under their names."""
    found = samples(tally_of())

    assert {name: found[key(name)] for name in EXPECTED} == EXPECTED
    assert found[key("pauses_total", signal="replication lag")] == 1
    assert found[key("paused_seconds_total", signal="replication lag")] == 1.25
    assert found[key("paused_seconds_total", signal="operator")] == 0
    assert {zone: found[key("zone", zone=zone)] for zone in ("grow", "hold", "shrink", "stop")} == {
        "grow": 1,
        "hold": 0,
        "shrink": 0,
        "stop": 0,
    }
    assert [status for status in STATUSES if found[key("run_status", status=status)]] == ["running"]
    assert found[key("run_info", **WHO, budget_source="--memory 128Mi")] == 1
    assert key("last_success_timestamp_seconds") not in found


EXPECTED = {
    "documents_read_total": 300,
    "documents_written_total": 180,
    "documents_skipped_total": 117,
    "documents_quarantined_total": 3,
    "documents_changed_total": 2,
    "writes_total": 210,
    "chunks_total": 3,
    "chunk_bytes": 4_096,
    "chunk_documents": 100,
    "chunk_commit_seconds_count": 3,
    "chunk_commit_seconds_sum": 3.06,
    "retries_total": 1,
    "memory_rss_bytes": 53 * MIB,
    "memory_used_bytes": 63 * MIB,
    "memory_budget_bytes": 128 * MIB,
    "memory_start_bytes": 40 * MIB,
    "memory_peak_bytes": 53 * MIB,
    "step": 1,
    "steps": 2,
    "documents_left": 700,
}


def test_histogram() -> None:
    """Each bound of the commits' histogram counts all that took no longer; the last one counts all."""
    found = samples(tally_of())
    bounds = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "chunkmigrate_chunk_commit_seconds_bucket"
    }

    assert (bounds["0.025"], bounds["0.05"], bounds["2.0"], bounds["5.0"], bounds["+Inf"]) == (0, 2, 2, 3, 3)
    assert [*bounds.values()] == sorted(bounds.values())


def test_end() -> None:
    """A run that has ended shows how, and when it succeeded."""
    tally = tally_of()
    tally.end(outcome(APPLIED))
    found = samples(tally)

    assert [status for status in STATUSES if found[key("run_status", status=status)]] == ["applied"]
    assert found[key("last_success_timestamp_seconds")] == 1_000.5
    assert found[key("documents_left")] == 0


def test_before_it_begins() -> None:
    """A run that has not begun has no samples: nothing is ever known under an empty name."""
    assert samples(Tally("shop", 40 * MIB, WHO)) == {}


def test_before_the_first_chunk() -> None:
    """A run without a chunk has its counters at zero, and no sample of what it does not know."""
    tally = Tally("shop", 40 * MIB, WHO)
    tally.begin("cents", 128 * MIB, "--memory 128Mi")
    found = samples(tally)

    assert found[key("documents_read_total")] == found[key("chunk_commit_seconds_count")] == 0
    assert {found[key("pauses_total", signal=signal)] for signal in SIGNALS} == {0}
    assert found[key("memory_rss_bytes")] == 40 * MIB
    for unknown in ("chunk_bytes", "chunk_documents", "memory_used_bytes", "documents_left"):
        assert key(unknown) not in found


def test_runs_of_one_command() -> None:
    """The runs of one command are told apart by migration and database, and none changes another."""
    first, second = tally_of(), tally_of(migration="names", database="crm")
    both = samples(first, second)

    assert both == samples(first) | samples(second)
    assert len(both) == 2 * len(samples(first))


def test_labels() -> None:
    """No metric has a label beyond its family's, and there are as many series after a chunk as before it."""
    tally = tally_of()
    before = samples(tally)
    tally.show(progress(4, total=1_000))
    allowed = {PREFIX + family.name: {*LABELS, *family.labels} for family in FAMILIES}

    assert samples(tally).keys() == before.keys()
    for name, labels in before:
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        assert {label for label, _ in labels} - {"le"} == allowed[family]


def test_names() -> None:
    """Names follow Prometheus' conventions: a prefix, base units, and _total for counters alone."""
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert not re.search(r"milli|micro|minutes|kilo|mega|percent|_ms\b|_kb|_mb|_mib", family.name)
        assert family.meaning.endswith(".")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_text() -> None:
    """The text has one HELP and one TYPE for each metric, and nothing that was not meant to be there."""
    text = generate_latest(registry_of([tally_of()])).decode()

    assert re.findall(r"^# HELP (\S+)", text, re.MULTILINE) == [PREFIX + family.name for family in FAMILIES]
    assert re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE) == [
        (PREFIX + family.name, family.kind) for family in FAMILIES
    ]
    assert "_created" not in text


def test_no_global_state() -> None:
    """Nothing is registered where other code of the process would find it."""
    from prometheus_client import REGISTRY

    registered: Any = generate_latest(REGISTRY)
    with Metrics(warn=pytest.fail).of_a_run("shop", 0) as tally:
        tally.begin("cents", 1, "x")

    assert b"chunkmigrate" not in registered + generate_latest(REGISTRY)


DOCS = Path(__file__).parents[2] / "docs"
MANUAL = (DOCS / "metrics.md").read_text("utf-8")


def test_manual() -> None:
    """The manual's table names every metric, its kind, its labels and what it means, and no other."""
    rows = re.findall(r"^\| `(chunkmigrate_\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$", MANUAL, re.MULTILINE)

    assert [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows
    ] == [(PREFIX + family.name, family.kind, family.labels, family.meaning) for family in FAMILIES]


def test_manual_words() -> None:
    """The manual lists every signal, status and zone there is."""
    for word in (*SIGNALS, *STATUSES, *Zone):
        assert f"`{word}`" in MANUAL
