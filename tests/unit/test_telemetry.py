"""Telemetry: the lines of a run that nobody watches, and the sentence at its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, ROLLED_BACK, STOPPED
from chunkmigrate.memory import Reading
from chunkmigrate.outcome import Outcome, Progress
from chunkmigrate.pipeline import ChunkResult
from chunkmigrate.records import Counts
from chunkmigrate.sizing import MIB, Sizes, Zone
from chunkmigrate.telemetry import LINE_SECONDS, JsonLines, sentence

DONE = Counts(read=12_000, written=11_000, writes=11_500)


def outcome(status: str, reason: str = "", **fields: Any) -> Outcome:
    given: dict[str, Any] = {"counts": DONE, "position": "512"}
    memory = {"peak": 80 * MIB, "start": 40 * MIB, "budget": 128 * MIB, "budget_source": "--memory 128Mi"}
    return Outcome(migration="cents", status=status, reason=reason, seconds=4.2, **memory, **given | fields)


ALL = "12,000 documents read, 11,000 written, 1,000 skipped; peak memory 80 MiB of 128 MiB; 4.2 s; "
NONE = "0 documents read, 0 written, 0 skipped; peak memory 80 MiB of 128 MiB; 4.2 s; "
MORE = "and does not get on in this memory: give it more, as with --memory."
RESUME = "`chunkmigrate resume cents` allows it to run again"
AGAIN = "it stands behind _id 512; run again to continue from there."
BACK_AGAIN = "it stands behind _id 512; run `chunkmigrate rollback cents` again to continue from there."


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (outcome(APPLIED), f"cents applied: {ALL}it is complete."),
        (outcome(STOPPED, "stop"), f"cents stopped as asked: {ALL}{AGAIN}"),
        (outcome(STOPPED, "memory"), f"cents stopped for lack of memory: {ALL}{AGAIN}"),
        (
            outcome(STOPPED, "memory", counts=Counts()),
            f"cents stopped for lack of memory: {NONE}it stands behind _id 512, {MORE}",
        ),
        (
            outcome(STOPPED, "memory", counts=Counts(), position=None),
            f"cents stopped for lack of memory: {NONE}nothing is committed yet, {MORE}",
        ),
        (
            outcome(STOPPED, "stop", position=None),
            f"cents stopped as asked: {ALL}nothing is committed yet; run again to start.",
        ),
        (
            outcome(CANCELLED, "cancel"),
            f"cents was cancelled: {ALL}it stands behind _id 512; {RESUME} to continue from there.",
        ),
        (
            outcome(CANCELLED, "cancel", position=None),
            f"cents was cancelled: {ALL}nothing is committed yet; {RESUME} to start.",
        ),
        (outcome(ROLLED_BACK, direction="down"), f"cents rolled back: {ALL}it is pending again."),
        (
            outcome(STOPPED, "stop", direction="down"),
            f"cents stopped as asked: {ALL}{BACK_AGAIN}",
        ),
        (outcome(FAILED, "double raised KeyError: 'price'."), f"cents failed: {ALL}{AGAIN}"),
    ],
    ids=lambda value: value.status if isinstance(value, Outcome) else "",
)
def test_sentence(ended: Outcome, expected: str) -> None:
    """The sentence says what happened, how much of it, in which memory, how long, and where it stands."""
    assert sentence(ended) == expected


def test_sentence_aside() -> None:
    """Documents that are in quarantine, or were read again, are told of, and where to look for the former."""
    counts = Counts(read=5_000, written=2_000, quarantined=1_200, changed=3)
    said = sentence(outcome(APPLIED, counts=counts))

    assert ": 5,000 documents read, 2,000 written, 1,800 skipped, 1,200 in quarantine, 3 read again" in said
    assert said.endswith("; it is complete; `chunkmigrate quarantine list` shows what is not.")
    assert sentence(outcome(STOPPED, "stop", counts=counts)).endswith(AGAIN)


READMITTED = Counts(read=5, written=3, writes=3, quarantined=2)
LEFT = "3 of 7 documents left quarantine, 4 stay; peak memory 80 MiB of 128 MiB; 4.2 s"


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (FAILED, "2 failed again", f"failed: {LEFT}; `chunkmigrate quarantine list` shows them."),
        (
            STOPPED,
            "stop",
            f"stopped as asked: {LEFT}; run `chunkmigrate quarantine retry cents` again to go on.",
        ),
        (CANCELLED, "cancel", f"was cancelled: {LEFT}; `chunkmigrate resume cents` allows it to run again."),
    ],
)
def test_sentence_readmitted(status: str, reason: str, expected: str) -> None:
    """Of documents in quarantine it says how many left it and how many stay, and nothing of the migration."""
    said = sentence(outcome(status, reason, counts=READMITTED, stay=4))

    assert said == f"cents quarantine retry {expected}"


def test_sentence_all_readmitted() -> None:
    """Where all of them left, there is nothing to add; and the migration is not called applied for that."""
    said, ended = Said(), outcome(APPLIED, counts=Counts(read=5, written=5), stay=0)
    said.lines.end(ended)

    assert sentence(ended).startswith(
        "cents quarantine retry: 5 of 5 documents left quarantine, 0 stay; peak"
    )
    assert sentence(ended).endswith("4.2 s.")
    assert said.all()[0]["event"] == "readmitted"


class Said:
    """The lines, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.texts: list[str] = []
        self.lines = JsonLines(self.texts.append, lambda: self.now)

    def all(self) -> list[dict[str, Any]]:
        """What was said, without the times, which are checked."""
        found = [json.loads(text) for text in self.texts]
        for line in found:
            age = datetime.now(UTC) - datetime.fromisoformat(line.pop("at"))
            assert timedelta() <= age < timedelta(minutes=1)
        return found


def progress(zone: Zone = Zone.GROW, read: int = 600) -> Progress:
    result = ChunkResult(
        number=0,
        counts=Counts(read=100),
        size=7,
        seconds=0.1,
        reading=Reading(rss=50, used=60, budget=100),
        zone=zone,
        sizes=Sizes(chunk_bytes=MIB, page_bytes=MIB),
    )
    counts = Counts(read=read, written=read // 2)
    return Progress(step=1, steps=2, counts=counts, step_read=read, total=9_000, result=result)


def test_begin() -> None:
    """The first line names the migration and its budget, and where that comes from."""
    said = Said()
    said.lines.begin("cents", 128 * MIB, "cgroup limit 128 MiB")

    assert said.all() == [
        {
            "event": "started",
            "migration": "cents",
            "budget": 128 * MIB,
            "budget_source": "cgroup limit 128 MiB",
        }
    ]


def test_note() -> None:
    """What an operator should know is a line of its own, under its word."""
    said = Said()
    said.lines.note("throttled", "replication lag 14 s > 10 s")

    assert said.all() == [{"event": "throttled", "message": "replication lag 14 s > 10 s"}]


def test_note_facts() -> None:
    """The facts of a note stand beside its sentence; what is only to be counted is no line."""
    said = Said()
    said.lines.note("throttled", "rate 9/s >= 8/s", signal="rate")
    said.lines.note("throttled", "", signal="rate", seconds=0.25)

    assert said.all() == [{"event": "throttled", "message": "rate 9/s >= 8/s", "signal": "rate"}]


def test_show() -> None:
    """A line of progress says how far it is, how fast, and what memory allows."""
    said = Said()
    said.now += 3
    said.lines.show(progress())

    assert said.all() == [
        {
            "event": "progress",
            "step": 1,
            "steps": 2,
            "read": 600,
            "written": 300,
            "writes": 0,
            "quarantined": 0,
            "changed": 0,
            "skipped": 300,
            "total": 9_000,
            "documents_per_second": 200,
            "zone": "grow",
            "chunk_bytes": MIB,
            "rss": 50,
            "used": 60,
            "budget": 100,
        }
    ]


def test_seldom() -> None:
    """Progress is said when the zone changes, and every ten seconds otherwise."""
    said = Said()
    zones = [Zone.GROW] * 3 + [Zone.HOLD] * 2 + [Zone.GROW]
    for zone in zones:
        said.now += LINE_SECONDS / 10
        said.lines.show(progress(zone))
    said.now += LINE_SECONDS * 0.99
    said.lines.show(progress())
    said.now += LINE_SECONDS * 0.01
    said.lines.show(progress())

    assert [line["zone"] for line in said.all()] == ["grow", "hold", "grow", "grow"]


def test_no_time() -> None:
    """Where no time went by there is no rate."""
    said = Said()
    said.lines.show(progress())

    assert said.all()[0]["documents_per_second"] is None


def test_end() -> None:
    """The last line has the sentence, and its numbers by name."""
    said = Said()
    ended = outcome(STOPPED, "stop")
    said.lines.end(ended)

    assert said.all() == [
        {
            "event": "stopped",
            "message": sentence(ended),
            "migration": "cents",
            "read": 12_000,
            "written": 11_000,
            "writes": 11_500,
            "quarantined": 0,
            "changed": 0,
            "skipped": 1_000,
            "start": 40 * MIB,
            "peak": 80 * MIB,
            "budget": 128 * MIB,
            "seconds": 4.2,
            "position": "512",
        }
    ]
