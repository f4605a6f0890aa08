"""Several workers beside one process, where the transform takes time: ``python -m benchmarks.shared``.

Each round runs all of them, in turn and then backwards, and only times within a round are compared. What is
timed is the whole command: starting four processes is part of what four workers take.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.kernel import MAIN
from benchmarks.rounds import TIMEOUT, environment
from chunkmigrate import mongod, server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.database import Database

DATABASE = "chunkmigrate_shared"
WORKERS = (1, 2, 4)

# A document takes some 0.3 ms in Python: ten times what all the rest of a run takes for it.
MIGRATION = '''"""Add one to every n, after much thought."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=["n"]), add_one)


def add_one(document):
    sum(range(20_000))
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})
'''


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each number of workers runs [3]")
    parser.add_argument("--documents", type=int, default=30_000, help="how many documents [30,000]")
    options = parser.parse_args()
    with mongod.embedded() as uri, server.connect(uri) as client, TemporaryDirectory() as folder:
        Path(folder, "add_one.py").write_text(MIGRATION, "utf-8")
        rounds = [
            _round(client[DATABASE], uri, folder, options.documents, WORKERS[:: -1 if number % 2 else 1])
            for number in range(options.rounds)
        ]
    Console().print(_table(rounds))


def _round(
    database: Database[Any], uri: str, folder: str, documents: int, order: Sequence[int]
) -> dict[int, float]:
    return {workers: _once(database, uri, folder, documents, workers) for workers in order}


def _once(database: Database[Any], uri: str, folder: str, documents: int, workers: int) -> float:
    database.client.drop_database(DATABASE)
    database.c.insert_many({"_id": number, "n": number} for number in range(documents))
    options = ["--uri", uri, "--database", DATABASE, "--dir", folder, "--memory", "512Mi"]
    command = [sys.executable, "-c", MAIN, "run", "add_one", *options, "--workers", str(workers)]
    began = time.monotonic()
    subprocess.run(command, env=environment(), timeout=TIMEOUT, check=True, capture_output=True)
    seconds = time.monotonic() - began
    done = database.c.count_documents({"$expr": {"$eq": ["$n", {"$add": ["$_id", 1]}]}})
    assert done == documents, f"{workers} workers: {done} of {documents} documents were migrated once"
    return seconds


def _table(rounds: Sequence[dict[int, float]]) -> Table:
    table = Table(title="A slow transform, by several workers")
    for column in ("workers", "seconds", "times as fast as one"):
        table.add_column(column, justify="right")
    for workers in WORKERS:
        seconds = [one[workers] for one in rounds]
        ratios = [one[1] / one[workers] for one in rounds]
        table.add_row(
            str(workers),
            f"{median(seconds):.1f}",
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        )
    return table


if __name__ == "__main__":
    main()
