"""What the tests of timelines and reports are made of: samples, and what is on record about a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate import account
from chunkmigrate.evidence import Evidence
from chunkmigrate.memory import Reading
from chunkmigrate.sizing import MIB, zone_of
from chunkmigrate.timeline import Sample, Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkmigrate.report import Report

BUDGET = 512 * MIB
MADE = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def sample(second: float, used: int = 100 * MIB, read: int | None = None, **fields: Any) -> Sample:
    """A sample, a thousand documents a second if nothing else is said."""
    given = {
        "rss": used,
        "used": used,
        "budget": BUDGET,
        "limit": None,
        "read": int(second * 1_000) if read is None else read,
        "documents": 1_000,
        "size": 60_000,
        "zone": zone_of(Reading(rss=used, used=used, budget=BUDGET)).value,
        "paused": 0.0,
    }
    return Sample(second=second, **given | fields)


def timeline_of(samples: Sequence[Sample]) -> Timeline:
    timeline = Timeline()
    for one in samples:
        timeline.add(one)
    return timeline


def steady(seconds: int = 60, used: int = 100 * MIB) -> Timeline:
    return timeline_of([sample(float(second), used) for second in range(seconds + 1)])


def run_of(status: str = "applied", **fields: Any) -> dict[str, Any]:
    """A run's document, as a ledger has it."""
    given = {
        "_id": "65a1b2c3d4e5f60718293a4b",
        "migration": "20260101000000_cents",
        "status": status,
        "checksum": "sha256:ab",
        "began": datetime(2026, 2, 3, 4, 0, 0),  # noqa: DTZ001 - what is stored says no zone
        "ended": datetime(2026, 2, 3, 4, 1, 0),  # noqa: DTZ001
        "budget": BUDGET,
        "budget_source": "--memory 512Mi",
        "quiet": False,
        "host": "box",
        "pod": "",
        "pid": 7,
        "version": "0.1.0",
        "writers": 2,
        "max_rate": None,
        "start": 40 * MIB,
        "limit": None,
        "warnings": [],
        "read": 60_000,
        "written": 60_000,
        "writes": 60_000,
        "quarantined": 0,
        "changed": 0,
        "skipped": 0,
        "peak": 320 * MIB,
        "seconds": 60.0,
        "position": "512",
        "reason": "",
        "failure": None,
        "pauses": {},
        "committing": 30.0,
        "sizes": None,
        "progress": None,
        "timeline": steady().document(),
    }
    return given | fields


def evidence_of(run: dict[str, Any], **fields: Any) -> Evidence:
    return Evidence(run=run, database="shop", **fields)


def told(status: str = "applied", *, how: dict[str, Any] | None = None, **fields: Any) -> Report:
    """The report on a run with such fields; ``how`` goes to what makes it, and to the evidence."""
    given = how or {}
    seen = {name: given[name] for name in ("left", "quarantine", "seen") if name in given}
    rest = {name: value for name, value in given.items() if name not in seen}
    return account.of(evidence_of(run_of(status, **fields), **seen), **rest)
