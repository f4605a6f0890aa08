"""What is kept of a worker's lines."""

from __future__ import annotations

from typing import Any, cast

from chunkmigrate.workers import Worker


def test_counts_each_run() -> None:
    """What one worker did is counted over all the migrations it has run, each once."""
    worker = Worker(1, cast("Any", None), 0.0)
    lines: list[dict[str, Any]] = [
        {"event": "progress", "read": 3},
        {"event": "applied", "read": 5, "written": 4, "peak": 1},
        {"event": "started"},
        {"event": "progress", "read": 2},
    ]
    for line in lines:
        worker.told(line)
    assert not worker.ended
    worker.told({"event": "applied", "read": 7, "written": 0, "peak": 1})

    assert worker.ended
    assert (worker.counts["read"], worker.counts["written"]) == (12, 4)
