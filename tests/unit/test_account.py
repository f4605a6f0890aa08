"""The account: what happened to a run, from what is on record about it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chunkmigrate.evidence import Left
from chunkmigrate.records import Intent
from chunkmigrate.sizing import MIB
from tests.unit.telling import BUDGET, evidence_of, run_of, steady, told

NAME = "20260101000000_cents"
SAFE = "What is committed is safe, and the next run goes on from there."
LEFT = Left(intent=Intent(after=None, through=None, used=492 * MIB, budget=BUDGET), document=None, among=1)

DIED = (
    "was killed after 1 min 00 s, or cut off from MongoDB; 60,000 documents read, 60,000 written. "
    f"When last heard of, 492 MiB of 512 MiB were in use, 96%. {SAFE}"
)

SENTENCES = [
    (
        told(),
        "is applied: 60,000 documents read, 60,000 written in 1 min 00 s, with at most 320 MiB of its 512",
    ),
    (told(quarantined=3), "is applied: 60,000 documents read, 60,000 written, 3 set aside in 1 min 00 s"),
    (
        told(group="g"),
        "is applied: 60,000 documents read, 60,000 written by this one of several runs in 1 min",
    ),
    (told(reason="already"), "is applied already: another run was faster."),
    (
        told("died", how={"left": LEFT}),
        DIED,
    ),
    (told("stopped", reason="stop"), "was stopped as asked after 1 min 00 s"),
    (told("stopped", reason="memory"), "ended at a checkpoint for lack of memory after 1 min 00 s"),
    (told("stopped", reason="m is being run by box"), "ended after a pause, for another run had taken over"),
    (told("cancelled", reason="cancel"), "was cancelled after 1 min 00 s"),
    (told("paused"), "is paused after 1 min 00 s; 60,000 documents read, 60,000 written so far"),
    (told("running"), "is running; 60,000 documents read, 60,000 written in 1 min 00 s so far."),
    (told("something new"), "is something new; 60,000 documents read"),
]


@pytest.mark.parametrize(("report", "sentence"), SENTENCES, ids=lambda value: getattr(value, "status", ""))
def test_headline(report: Any, sentence: str) -> None:
    """However a run ended, there is a sentence about it: what happened, how much is done, what is safe."""
    assert report.headline.startswith(f"{NAME} {sentence}")


def test_headline_of_a_retry() -> None:
    """A run about documents in quarantine is not taken for one of the migration."""
    report = told(quiet=True, read=5)

    assert (
        report.headline
        == f"The quarantine retry of {NAME} is done in 1 min 00 s: 5 documents left quarantine."
    )


FAILURE = {"kind": "TransformError", "cause": "KeyError", "document": "7"}
QUOTED = "one raised KeyError: 'Ann Example, 4 Main Street'."


def test_withheld() -> None:
    """What a failure says may quote a document: it is nowhere in the report, but class and _id are."""
    report = told("failed", reason=QUOTED, failure=FAILURE)

    assert "Ann" not in json.dumps(report.document(), default=str)
    assert report.headline.startswith(
        f"{NAME} failed after 1 min 00 s with TransformError (KeyError) at the document"
    )
    assert report.failure is not None
    assert (report.failure.withheld, report.failure.sentence, report.failure.document) == (True, None, "7")


@pytest.mark.parametrize("failure", [FAILURE, {"kind": "ServerError", "cause": None, "document": None}])
def test_shown(failure: dict[str, Any]) -> None:
    """Who asks for it is shown what the failure says."""
    report = told("failed", reason=QUOTED, failure=failure, how={"show_values": True})

    assert report.failure is not None
    assert (report.failure.sentence, report.failure.withheld) == (QUOTED, False)


def test_withheld_of_old() -> None:
    """Of a run that did not say what kind of failure it was, nothing is shown either."""
    run = run_of("failed", reason=QUOTED)
    del run["failure"]

    assert "Ann" not in json.dumps(told("failed", reason=QUOTED).document() | {"failure": None}, default=str)
    report = told_of(run)
    assert report.failure is not None
    assert (report.failure.sentence, report.failure.withheld) == (None, True)


def test_our_own_words() -> None:
    """What the run itself says, of no exception, quotes nothing, and is shown."""
    report = told("failed", reason="2 documents failed again and stay in quarantine", quiet=True)

    assert report.failure is not None
    assert report.failure.sentence == "2 documents failed again and stay in quarantine"


def told_of(run: dict[str, Any]) -> Any:
    from chunkmigrate import account

    return account.of(evidence_of(run))


def test_old() -> None:
    """A run of a version that kept less has a report, too."""
    kept = (
        "_id",
        "migration",
        "status",
        "began",
        "ended",
        "budget",
        "read",
        "written",
        "peak",
        "seconds",
        "reason",
    )
    report = told_of({name: value for name, value in run_of().items() if name in kept})

    assert report.headline.startswith(f"{NAME} is applied: 60,000 documents read")
    assert report.timeline.samples == []
    assert (report.version, report.writers, report.memory.start) == (None, None, None)
    assert json.dumps(report.document(), default=str)


def test_nothing_but_its_begin() -> None:
    """A run that was killed before its first chunk has a report."""
    kept = ("_id", "migration", "began", "ended", "budget", "host", "pid")
    report = told_of({name: value for name, value in run_of().items() if name in kept} | {"status": "died"})

    assert report.headline == (
        f"{NAME} was killed, or cut off from MongoDB; 0 documents read, 0 written. {SAFE}"
    )
    assert (report.seconds, report.rate, report.memory.most) == (None, None, None)


def test_memory() -> None:
    """The most that was in use is the most of what the kernel, the samples and the last intent say."""
    assert told().memory.most == 320 * MIB
    assert told(timeline=steady(used=400 * MIB).document()).memory.most == 400 * MIB
    assert told("died", how={"left": LEFT}).memory.most == 492 * MIB
    assert told("died", how={"left": LEFT}).memory.last == 492 * MIB


def test_document() -> None:
    """As JSON it says its format first, times with their zone, and counts by name."""
    document = json.loads(json.dumps(told(how={"seen": datetime(2026, 1, 1, tzinfo=UTC)}).document()))

    assert next(iter(document)) == "format"
    assert document["began"] == "2026-02-03T04:00:00.000+00:00"
    assert document["seen"] == "2026-01-01T00:00:00.000+00:00"
    assert document["counts"]["skipped"] == 0
    assert document["timeline"]["samples"]["read"][-1] == 60_000
    assert document["advice"] == [
        {
            "title": "Nothing to change",
            "text": "It used 62% of its budget, and was not held up.",
            "urgent": False,
        }
    ]


DOCUMENTED = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8").partition("## JSON")[2]


@pytest.mark.parametrize("name", told().document())
def test_documented(name: str) -> None:
    """Every field of the JSON is explained in docs/report.md."""
    assert re.search(rf"^\| [^|]*`{name}`[^|]* \| ", DOCUMENTED, re.MULTILINE)


@pytest.mark.parametrize("name", [*told().document()["memory"], *told().document()["timeline"]])
def test_documented_within(name: str) -> None:
    """So is what is in them."""
    assert f"`{name}`" in DOCUMENTED


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("ServerError", "The server failed; what is committed is safe"),
        ("HalfRolledBackError", "A rollback of this migration has begun and is not complete."),
        ("ValueError", ""),
    ],
)
def test_meaning(kind: str, meaning: str) -> None:
    """What a failure means is told where its class is one of ours, in whichever module that is."""
    failure = told(status="failed", failure={"kind": kind}).failure

    assert failure
    assert failure.meaning.startswith(meaning)
    assert bool(failure.meaning) == bool(meaning)
