"""One way to make a change, in a process of its own: ``python -m benchmarks.way WAY SHAPE URI DATABASE``.

Prints one JSON line: what the work alone took, without imports, connecting and loading. All ways read with
the same filter and projection, call the same transform, and write with the server's default write concern.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measured import measured
from chunkmigrate import server
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import discover, find
from chunkmigrate.runner import Run
from chunkmigrate.units import MI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.cursor import Cursor
    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.migration import Migration

MIGRATIONS = Path(__file__).parent / "migrations"
BUDGET = 512 * MI
WRITERS = 2
LIST = 1_000


def loop(migration: Migration, database: Database[Any]) -> Callable[[], int]:
    """Make a list of all writes and send it: what people write first."""
    (backfill,) = migration.steps(database)

    def work() -> int:
        updates = [backfill.transform(document) for document in _found(backfill)]  # type: ignore[misc]
        backfill.scan.collection.bulk_write(updates)  # type: ignore[arg-type]
        return len(updates)

    return work


def tuned(migration: Migration, database: Database[Any]) -> Callable[[], int]:
    """Send lists of a thousand writes, unordered: the loop with care."""
    (backfill,) = migration.steps(database)

    def work() -> int:
        return sum(
            backfill.scan.collection.bulk_write(updates, ordered=False).matched_count
            for updates in _lists(backfill)
        )

    return work


def chunkmigrate(migration: Migration, database: Database[Any]) -> Callable[[], int]:
    """Apply the migration, as ``chunkmigrate run`` does."""
    run = Run(migration, database, Sensor(memory=BUDGET), writers=WRITERS)

    def work() -> int:
        deque(run, maxlen=0)
        return run.outcome.counts.written

    return work


WAYS = {"loop": loop, "tuned": tuned, "chunkmigrate": chunkmigrate}


def main() -> None:
    """Run one way and print what it took."""
    way, shape, uri, name = sys.argv[1:]
    with server.connect(uri) as client:
        work = WAYS[way](find(discover(MIGRATIONS), shape), client[name])
        print(json.dumps(asdict(measured(work, client[name]))))


def _found(backfill: Backfill) -> Cursor[Any]:
    scan = backfill.scan
    return scan.collection.find(scan.filter, None if scan.fields is None else list(scan.fields))


def _lists(backfill: Backfill) -> Iterator[list[Any]]:
    updates: list[Any] = []
    # Without a batch size the server fills replies of 16 MiB, and the driver decodes each as a whole.
    for document in _found(backfill).batch_size(LIST):
        updates.append(backfill.transform(document))  # type: ignore[misc]
        if len(updates) == LIST:
            yield updates
            updates = []
    if updates:
        yield updates


if __name__ == "__main__":
    main()
