"""Preflight: what can be known to be wrong before a run touches anything, and what to tell its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.errors import BudgetTooSmallError
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from chunkmigrate.memory import Budget

STANDALONE = (
    "This server is standalone and has no transactions: after a kill, a lost connection or a failure the "
    "documents of a chunk may be migrated twice. Use a replica set (one member is enough) for exactly once."
)


def check_budget(budget: Budget, rss: int) -> None:
    """Raise `BudgetTooSmallError` where the process itself, of ``rss`` bytes, leaves no room to work in."""
    least = rss + sizing.LEAST_ROOM
    if budget.size >= least:
        return
    message = (
        f"The budget is {format_bytes(budget.size)} ({budget.source}), but the process itself uses "
        f"{format_bytes(rss)} before it reads a document. Give it at least {quantity(least)}."
    )
    raise BudgetTooSmallError(message)
