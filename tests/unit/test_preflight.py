"""What is known to be wrong before a run touches anything."""

from __future__ import annotations

import pytest

from chunkmigrate import sizing
from chunkmigrate.errors import BudgetTooSmallError
from chunkmigrate.memory import Budget
from chunkmigrate.preflight import check_shares

MI = 1024 * 1024
RSS = 36 * MI


def budget(size: int) -> Budget:
    return Budget(size=size, source="cgroup limit", warnings=())


def test_room_for_each() -> None:
    """Each worker needs what a run needs, and their parent as much as it uses."""
    least = RSS + 3 * (RSS + sizing.LEAST_ROOM)
    check_shares(budget(least), RSS, 3)
    with pytest.raises(BudgetTooSmallError, match="too little for 3 workers"):
        check_shares(budget(least - 3), RSS, 3)


@pytest.mark.parametrize(("size", "advice"), [(200, "at most --workers 3"), (90, "leave out --workers")])
def test_fewer(size: int, advice: str) -> None:
    """Who has too little for so many is told how many would do."""
    with pytest.raises(BudgetTooSmallError, match=advice):
        check_shares(budget(size * MI), RSS, 8)
