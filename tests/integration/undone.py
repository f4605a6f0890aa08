"""Migrations applied and rolled back as a command does it, and all that is in a database, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkmigrate.direction import UNDO, UP
from chunkmigrate.memory import Sensor, process_rss
from chunkmigrate.migration import Migration
from chunkmigrate.restoring import backfill_of
from chunkmigrate.runner import Run
from chunkmigrate.scan import RAW

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

    from chunkmigrate.direction import Direction
    from chunkmigrate.outcome import Outcome

MIB = 1024 * 1024

Stored = dict[str, dict[bytes, bytes]]


def applied(
    db: Database[Any],
    upgrade: Callable[[Database[Any]], Any],
    *,
    direction: Direction = UP,
    room: int = 448 * MIB,
    writers: int = 2,
    **how: Any,
) -> Outcome:
    """Apply a migration called m, in ``room`` bytes beside what this process uses already."""
    sensor = Sensor(memory=process_rss()() + room)
    run = Run(migration_of(upgrade), db, sensor, writers=writers, direction=direction, **how)
    for _ in run:
        pass
    return run.outcome


def migration_of(upgrade: Callable[[Database[Any]], Any]) -> Migration:
    """A migration without a file, called m."""
    return Migration(name="m", path=Path("m"), description="", checksum="", upgrade=upgrade)


def undone(db: Database[Any], **how: Any) -> Outcome:
    """Roll it back, through what its undo has kept."""
    return applied(db, lambda db: backfill_of(db, "m"), direction=UNDO, **how)


def stored(*databases: Database[Any]) -> Stored:
    """Every document that is not chunkmigrate's own, as the server has it."""
    return {
        f"{db.name}.{name}": {bytes(d.raw): bytes(d.raw) for d in db[name].with_options(RAW).find()}
        for db in databases
        for name in db.list_collection_names()
        if not name.startswith("chunkmigrate_") and db[name].estimated_document_count()
    }
