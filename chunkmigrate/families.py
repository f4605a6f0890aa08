"""Families: what each metric is called, what it means, and where a tally has it.

It imports no metrics library: ``docs/metrics.md`` and the dashboard are held against this table by tests. How
samples are made of it is ``metrics``' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from chunkmigrate.sizing import Zone
from chunkmigrate.tally import BUCKETS, STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chunkmigrate.tally import Tally

PREFIX = "chunkmigrate_"
# Of every metric. Each value of a label is a series of its own, for ever: an ``_id`` must never be one.
LABELS = ("migration", "database")


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most each bound, as Prometheus counts them, and what all of them add up to."""

    buckets: Sequence[tuple[str, int]]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``kind`` is counter, gauge or histogram; a counter's name ends with ``_total``.

    ``value`` returns its number in a tally, None where there is none yet, or with further ``labels`` the
    numbers by those labels' values.
    """

    kind: str
    name: str
    meaning: str
    value: Callable[[Tally], Any]
    labels: tuple[str, ...] = ()

    def values(self, tally: Tally) -> Mapping[tuple[str, ...], Any]:
        """Return the numbers in a tally, by the values of ``labels``."""
        with tally.lock:
            value = self.value(tally)
        if self.labels:
            return dict(value)
        return {} if value is None else {(): value}


def _by_one(numbers: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): number for name, number in numbers.items()}


def _commits(tally: Tally) -> Histogram:
    bounds = [*map(str, BUCKETS), "+Inf"]
    return Histogram([*zip(bounds, accumulate(tally.commits), strict=True)], tally.commit_seconds)


def _zones(tally: Tally) -> dict[tuple[str, ...], float]:
    return _by_one({str(zone): tally.last is not None and tally.last.result.zone is zone for zone in Zone})


def _info(tally: Tally) -> dict[tuple[str, ...], float]:
    return {(*(tally.who[name] for name in ("version", "pod", "host")), tally.budget_source): 1}


FAMILIES = (
    Family("counter", "documents_read_total", "Documents that are done.", lambda t: t.counts.read),
    Family("counter", "documents_written_total", "Documents with a write.", lambda t: t.counts.written),
    Family(
        "counter", "documents_skipped_total", "Documents that needed no write.", lambda t: t.counts.skipped
    ),
    Family(
        "counter",
        "documents_quarantined_total",
        "Documents that were set aside, with the reason.",
        lambda t: t.counts.quarantined,
    ),
    Family(
        "counter",
        "documents_changed_total",
        "How often a document was read again because somebody had edited it.",
        lambda t: t.counts.changed,
    ),
    Family("counter", "writes_total", "Writes; a document may have several.", lambda t: t.counts.writes),
    Family("counter", "chunks_total", "Chunks the server has acknowledged.", lambda t: t.chunks),
    Family(
        "gauge", "chunk_bytes", "Bytes of the last chunk's writes.", lambda t: t.last and t.last.result.size
    ),
    Family(
        "gauge", "chunk_documents", "Documents of the last chunk.", lambda t: t.last and t.last.result.read
    ),
    Family(
        "histogram",
        "chunk_commit_seconds",
        "Seconds the last try to commit a chunk took: its transaction, to a majority.",
        _commits,
    ),
    Family(
        "counter",
        "retries_total",
        "Tries again of what failed in passing: network, elections, conflicts, overload.",
        lambda t: t.retries,
    ),
    Family(
        "counter",
        "pauses_total",
        "Pauses; those of one signal within half a minute are one, and so are all for a limited rate.",
        lambda t: _by_one(t.pauses),
        ("signal",),
    ),
    Family(
        "counter",
        "paused_seconds_total",
        "Seconds spent in pauses, counted while they last.",
        lambda t: _by_one(t.paused_seconds),
        ("signal",),
    ),
    Family("gauge", "memory_rss_bytes", "Bytes resident after the last chunk.", lambda t: t.rss),
    Family(
        "gauge",
        "memory_used_bytes",
        "Bytes that count against the budget: resident, and what else the kernel counts against the limit.",
        lambda t: t.last and t.last.result.reading.used,
    ),
    Family("gauge", "memory_budget_bytes", "Bytes this process may use.", lambda t: t.budget),
    Family("gauge", "memory_start_bytes", "Bytes resident before the first run.", lambda t: t.start),
    Family(
        "gauge",
        "memory_peak_bytes",
        "Most bytes resident: after a chunk so far, and of the whole process once the run has ended.",
        lambda t: t.peak,
    ),
    Family("gauge", "zone", "1 for what memory allows, 0 for the others.", _zones, ("zone",)),
    Family("gauge", "step", "The step at work, from 1; 0 before its first chunk.", lambda t: t.step),
    Family("gauge", "steps", "Steps of the migration; 0 before the first chunk.", lambda t: t.steps),
    Family(
        "gauge",
        "documents_left",
        "About how many documents the step has left; known some seconds after it began.",
        lambda t: t.left,
    ),
    Family(
        "gauge",
        "run_status",
        "1 for how the run stands, or how it ended; 0 for the others.",
        lambda t: _by_one({status: status == t.status for status in STATUSES}),
        ("status",),
    ),
    Family(
        "gauge",
        "last_success_timestamp_seconds",
        "When the run applied its migration, in seconds since 1970.",
        lambda t: t.succeeded_at,
    ),
    Family(
        "gauge",
        "run_info",
        "1, with what is known of the run.",
        _info,
        ("version", "pod", "host", "budget_source"),
    ),
)
