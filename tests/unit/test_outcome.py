"""Outcome: what the history keeps of a run."""

from __future__ import annotations

from typing import Any

import pytest

from chunkmigrate.outcome import Outcome, counted
from chunkmigrate.records import Counts

COUNTS = Counts(read=10, written=5, writes=7, quarantined=2, changed=1)


def outcome(**fields: Any) -> Outcome:
    given = {
        "migration": "cents",
        "status": "applied",
        "counts": COUNTS,
        "peak": 7,
        "start": 5,
        "budget": 9,
        "budget_source": "--memory 9",
        "seconds": 2.5,
    }
    return Outcome(**given | fields)


def test_counted() -> None:
    """Counts are stored and printed by name, those skipped among them."""
    assert counted(COUNTS) == {
        "read": 10,
        "written": 5,
        "writes": 7,
        "quarantined": 2,
        "changed": 1,
        "skipped": 3,
    }


def test_facts() -> None:
    """The history keeps the counts, the memory, the time, the position and the reason."""
    assert outcome(position="7", reason="stop").facts() == {
        **counted(COUNTS),
        "peak": 7,
        "start": 5,
        "budget": 9,
        "seconds": 2.5,
        "position": "7",
        "reason": "stop",
    }


@pytest.mark.parametrize(
    ("counts", "progress"),
    [(Counts(), False), (Counts(read=1), True), (Counts(read=1, quarantined=1), True)],
)
def test_progress(counts: Counts, progress: bool) -> None:  # noqa: FBT001 - a table's expectation
    """A run that is past a document has made progress, whatever became of that."""
    assert outcome(counts=counts).made_progress is progress
