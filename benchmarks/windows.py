"""What the server can do alone: one ``updateMany``, windows of it, and the same change through a process.

``python -m benchmarks.windows [--documents N] [--rounds N] [--shape tiny|projected]``. The ways take turns on
one collection, which is put back before each; every other round goes backwards.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import stage
from benchmarks.__main__ import CACHE, DATABASE, WITHOUT_HISTORY
from benchmarks.shapes import SHAPES
from benchmarks.way import BUDGET, WRITERS
from chunkmigrate import Backfill, UpdateOne, mongod, scan, server
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.runner import Run

if TYPE_CHECKING:
    from pymongo.database import Database

    from benchmarks.shapes import Shape

UPDATE = [{"$set": {"cents": {"$toLong": {"$round": {"$multiply": ["$price", 100]}}}}}]
NEW = {"cents": {"$exists": False}}


def update_many(database: Database[Any], shape: Shape) -> None:
    """Let the server do everything at once."""
    database[shape.name].update_many(NEW, UPDATE)


def windows(database: Database[Any], shape: Shape) -> None:
    """Let the server do it in windows, each committed with its position."""
    _run(database, lambda db: Backfill(scan(db[shape.name], NEW), server=UPDATE))


def through_pod(database: Database[Any], shape: Shape) -> None:
    """Read, compute and write every document."""
    _run(database, lambda db: Backfill(scan(db[shape.name], NEW, fields=["price"]), _to_cents))


WAYS = (update_many, windows, through_pod)


def _to_cents(order: dict[str, Any]) -> UpdateOne:
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})


def _run(database: Database[Any], upgrade: Any) -> None:
    name = "benchmark"
    migration = Migration(name=name, path=Path(name), description="", checksum="", upgrade=upgrade)
    own = server.database(database.client, database.name)
    deque(Run(migration, own, Sensor(memory=BUDGET), writers=WRITERS), maxlen=0)


def main() -> None:
    """Print for each way documents a second, median and range, and how it compares with one update."""
    options = _options()
    shape = next(shape for shape in SHAPES if shape.name == options.shape)
    with ExitStack() as stack:
        uri = os.environ.get("MONGODB_URI") or stack.enter_context(
            mongod.embedded(arguments=[*WITHOUT_HISTORY, *CACHE])
        )
        database = stack.enter_context(server.connect(uri))[DATABASE]
        stack.callback(database.client.drop_database, DATABASE)
        stage.fill(database, shape, options.documents)
        rounds = [_round(database, shape, number) for number in range(options.rounds)]
    for way in WAYS:
        rates = sorted(options.documents / one[way.__name__] for one in rounds)
        ratio = median(one[update_many.__name__] / one[way.__name__] for one in rounds)
        print(f"{way.__name__:12} {median(rates):8,.0f}/s  {rates[0]:,.0f} to {rates[-1]:,.0f}  {ratio:.2f}")


def _round(database: Database[Any], shape: Shape, number: int) -> dict[str, float]:
    took = {}
    for way in WAYS[:: -1 if number % 2 else 1]:
        stage.put_back(database, shape)
        began = time.perf_counter()
        way(database, shape)
        took[way.__name__] = time.perf_counter() - began
        if database[shape.name].count_documents(NEW):
            message = f"{way.__name__} left documents out"
            raise AssertionError(message)
    return took


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000, help="how many there are [200000]")
    parser.add_argument("--rounds", type=int, default=7, help="how often each way runs [7]")
    parser.add_argument("--shape", choices=["tiny", "projected"], default="tiny", help="how large they are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
