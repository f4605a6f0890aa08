"""What a run tells its consumers, made by hand."""

from __future__ import annotations

from typing import Any

from chunkmigrate.memory import Reading
from chunkmigrate.outcome import Outcome, Progress
from chunkmigrate.pipeline import ChunkResult
from chunkmigrate.records import Counts
from chunkmigrate.sizing import MIB, Sizes, Zone

WHO = {"version": "1.2.3", "pod": "migrate-x7k2p", "host": "node-3"}
ENDED = Counts(read=300, written=180, writes=190, quarantined=20, changed=3)


def progress(number: int = 1, *, seconds: float = 0.03, zone: Zone = Zone.GROW, **fields: Any) -> Progress:
    """The state after the chunk with that number, each of a hundred documents, sixty of them written."""
    reading = Reading(rss=(50 + number) * MIB, used=(60 + number) * MIB, budget=128 * MIB)
    counts = Counts(read=100 * number, written=60 * number, writes=70 * number, quarantined=number, changed=2)
    result = ChunkResult(
        number=number,
        counts=Counts(read=100, written=60),
        size=4_096,
        seconds=seconds,
        reading=reading,
        zone=zone,
        sizes=Sizes(chunk_bytes=MIB, page_bytes=MIB),
    )
    given = {"step": 1, "steps": 2, "counts": counts, "step_read": counts.read, "total": None}
    return Progress(**given | fields, result=result)


def outcome(status: str, reason: str = "", **fields: Any) -> Outcome:
    """The end of a run."""
    memory = {"peak": 90 * MIB, "start": 40 * MIB, "budget": 128 * MIB, "budget_source": "--memory 128Mi"}
    given = {"counts": ENDED, "position": "512", "seconds": 4.25}
    return Outcome(migration="cents", status=status, reason=reason, **memory, **given | fields)
