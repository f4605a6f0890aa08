"""Outcome: where a run stands, and how it ended, as values for whoever shows or records them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chunkmigrate.pipeline import ChunkResult
    from chunkmigrate.records import Counts


# The reason of a run that found its work done, once it had the lease.
ALREADY = "already"

# The signal of a pause that somebody asked for, beside those of the throttle.
OPERATOR = "operator"

# An ``_id`` may be a document of its own.
MAX_ID = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands after a chunk. Steps count from 1; ``counts`` is this run's, over all steps."""

    step: int
    steps: int
    counts: Counts
    step_read: int
    total: int | None
    result: ChunkResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended. Bytes and seconds; ``counts`` is this run's, ``position`` the last step's.

    ``reason`` is "stop", "memory" or "cancel" where it ended early, or the sentence of its failure. ``stay``
    is how many documents are still in quarantine, of a run that was about those alone; else None.
    ``direction`` is "down" for a rollback.
    """

    migration: str
    status: str
    counts: Counts
    peak: int
    start: int
    budget: int
    budget_source: str
    seconds: float
    position: str | None = None
    reason: str = ""
    stay: int | None = None
    direction: str = "up"

    @property
    def made_progress(self) -> bool:
        """Whether this run committed anything."""
        return self.counts.read > 0

    def facts(self) -> dict[str, Any]:
        """Return what the history keeps."""
        return counted(self.counts) | {
            "peak": self.peak,
            "start": self.start,
            "budget": self.budget,
            "seconds": self.seconds,
            "position": self.position,
            "reason": self.reason,
        }


def failed(error: Exception | None) -> dict[str, Any] | None:
    """Return what may be told of a failure to anybody: its class, the cause's, and which document it was.

    Its sentence may quote what is in that document.
    """
    if error is None:
        return None
    document = getattr(error, "document_id", None)
    return {
        "kind": type(error).__name__,
        "cause": type(error.__cause__).__name__ if error.__cause__ else None,
        "document": None if document is None else _short(document),
    }


def _short(document_id: Any) -> str:
    """Return an ``_id`` as Python writes it, or as much of it as a person reads."""
    text = document_id if isinstance(document_id, str) else repr(document_id)
    return text if len(text) <= MAX_ID else text[: MAX_ID - 1] + "…"


def counted(counts: Counts) -> dict[str, int]:
    """Return counts by name, as they are stored and printed."""
    return {**asdict(counts), "skipped": counts.skipped}
