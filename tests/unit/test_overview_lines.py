"""Overview lines: what people read of migrations and runs stands in columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chunkmigrate.history import PastRun
from chunkmigrate.overview_lines import past_run, standing
from chunkmigrate.standing import Standing


def row(status: str) -> Standing:
    return Standing(
        name="1_a",
        status=status,
        direction="up",
        description="",
        drifted=False,
        missing=False,
        late=False,
        asked="",
        read=0,
        quarantined=0,
        attempts=0,
        began=None,
        ended=None,
        progress=None,
    )


def run(status: str) -> PastRun:
    return PastRun(
        run="0",
        migration="1_a",
        status=status,
        direction="up",
        began=datetime(2026, 1, 5, 9, tzinfo=UTC),
        ended=None,
        seconds=None,
        counts={},
        peak=None,
        budget=None,
        version="",
        user="",
        pod="",
        host="",
        pid=None,
        by="",
        failure="",
        document="",
        reason="",
    )


@pytest.mark.parametrize("status", ["applied", "pending", "cancelled"])
def test_standing_in_a_column(status: str) -> None:
    """Whatever the status, the names of migrations stand below each other."""
    assert standing(row(status)).index("1_a") == len("cancelled  ")


@pytest.mark.parametrize("status", ["applied", "failed", "rolled back", "marked applied"])
def test_runs_in_a_column(status: str) -> None:
    """However a run ended, the names of migrations stand below each other."""
    assert past_run(run(status)).index("1_a") == len("2026-01-05 09:00:00  marked applied  ")
