"""What the tests of timelines and reports are made of: samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.memory import Reading
from chunkmigrate.sizing import MIB, zone_of
from chunkmigrate.timeline import Sample, Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

BUDGET = 512 * MIB


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
