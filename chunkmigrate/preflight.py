"""Preflight: what a run has to work with, and what can be known to be wrong before it touches anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.errors import BudgetTooSmallError
from chunkmigrate.memory import Sensor, Share
from chunkmigrate.settings import WRITERS
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from chunkmigrate.memory import Budget
    from chunkmigrate.settings import Settings
    from chunkmigrate.sizing import Most
    from chunkmigrate.tuned import Tuned

STANDALONE = (
    "This server is standalone and has no transactions: after a kill, a lost connection or a failure the "
    "documents of a chunk may be migrated twice. Use a replica set (one member is enough) for exactly once."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What a run has to work with: the sensor of its budget, writers, the largest sizes there is use in."""

    sensor: Sensor
    writers: int
    most: Most | None


def means_of(settings: Settings, settled: Tuned | None) -> Means:
    """Return what the settings give a run, and where they are silent what was ``settled`` beforehand."""
    memory, share = settled.memory if settled else None, Share.of(os.environ)
    if memory and share:  # what was settled is what one process needs
        memory = memory * share.workers + share.kept
    return Means(
        sensor=Sensor(memory=settings.memory, request=settings.request, tuned=memory, share=share),
        writers=settings.writers or (settled.writers if settled else WRITERS),
        most=settled.most if settled else None,
    )


def check_shares(budget: Budget, rss: int, workers: int) -> None:
    """Raise `BudgetTooSmallError` where so many workers, each as large as this process, have no room."""
    each = rss + sizing.LEAST_ROOM
    if (budget.size - rss) // workers >= each:
        return
    fit = max(0, (budget.size - rss) // each)
    fewer = f" or use at most --workers {fit}" if fit > 1 else " or leave out --workers"
    message = (
        f"The budget is {format_bytes(budget.size)} ({budget.source}), too little for {workers} workers that "
        f"need {format_bytes(each)} each, beside {format_bytes(rss)} for the process that starts them. Give "
        f"it at least {quantity(workers * each + rss)},{fewer}."
    )
    raise BudgetTooSmallError(message)


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
