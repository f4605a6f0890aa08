"""Outcome: what the history keeps of a run."""

from __future__ import annotations

from typing import Any

import pytest

from chunkmigrate.cli import AGAIN, DONE, _code
from chunkmigrate.cli import FAILED as FAILED_
from chunkmigrate.errors import TransformError, UnreachableError
from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, ROLLED_BACK, STOPPED
from chunkmigrate.outcome import MAX_ID, Outcome, counted, failed
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


@pytest.mark.parametrize(
    ("status", "reason", "read", "code"),
    [
        (APPLIED, "", 0, DONE),
        (ROLLED_BACK, "", 9, DONE),
        (STOPPED, "memory", 1, AGAIN),
        (STOPPED, "memory", 0, FAILED_),
        (STOPPED, "stop", 0, AGAIN),
        (CANCELLED, "cancel", 9, FAILED_),
        (FAILED, "it raised", 9, FAILED_),
    ],
)
def test_code(status: str, reason: str, read: int, code: int) -> None:
    """A run that stopped is to be run again, but not where it got nowhere for lack of memory."""
    assert _code(outcome(status=status, reason=reason, counts=Counts(read=read))) == code


def raised(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, None),
        (UnreachableError("gone"), {"kind": "UnreachableError", "cause": None, "document": None}),
        (
            raised(TransformError(7, "said: Ann"), KeyError("Ann")),
            {"kind": "TransformError", "cause": "KeyError", "document": "7"},
        ),
        (TransformError("a", "said"), {"kind": "TransformError", "cause": None, "document": "a"}),
        (TransformError({"a": 1}, "said"), {"kind": "TransformError", "cause": None, "document": "{'a': 1}"}),
    ],
)
def test_failed(error: Exception | None, told: dict[str, Any] | None) -> None:
    """Of a failure the classes and the _id are told, and never what it says."""
    assert failed(error) == told


def test_failed_at_length() -> None:
    """An _id may be a document of its own: as much of it is told as a person reads."""
    told = failed(TransformError("x" * 10_000, "said"))

    assert told is not None
    assert len(told["document"]) == MAX_ID
