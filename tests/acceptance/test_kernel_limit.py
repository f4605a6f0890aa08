from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import limits
from tests.acceptance.conftest import CommandLine, last_line

if TYPE_CHECKING:
    from pymongo.database import Database

MIB = 1024 * 1024

WHOLE = '''"""Count what is in an order."""

from chunkmigrate import Backfill, ReplaceOne, scan


def upgrade(db):
    return Backfill(scan(db.c), counted)


def counted(order):
    return ReplaceOne({"_id": order["_id"]}, order | {"count": len(order["lines"])})
'''


def order(number: int, lines: int) -> dict[str, Any]:
    return {"_id": number, "lines": [{"sku": f"s{line}", "n": line, "price": 1.5} for line in range(lines)]}


# How many order lines of some 40 bytes each document has, in the order they are read.
SHAPES = {
    "small": ([90] * 4_000, 64),
    "growing": ([10] * 3_000 + [8_000] * 60, 96),
    "bursts": ([8_000 if number % 200 < 4 else 12 for number in range(4_000)], 96),
    "shuffled": (random.Random(5).choices([1, 100, 3_000], [100, 20, 1], k=4_000), 64),
}


@pytest.mark.parametrize(("lines", "limit"), SHAPES.values(), ids=SHAPES)
def test_finishes_inside(cli: CommandLine, db: Database[Any], lines: list[int], limit: int) -> None:
    """Documents read and replaced whole, of any shape, finish inside a limit the kernel enforces."""
    limiter = limits.available()
    if limiter is None:
        pytest.skip("no memory cgroup can be made on this machine")
    cli.write(WHOLE)
    db.c.insert_many(order(number, length) for number, length in enumerate(lines))
    run = [sys.executable, "-m", "chunkmigrate", "run", "add_one", "--uri", cli.uri]
    ended = limiter.run([*run, "--dir", str(cli.folder / "migrations")], limit * MIB, timeout=120)

    assert (ended.returncode, ended.killed_by_kernel) == (0, False), ended.stderr
    assert last_line(ended.stdout)["budget"] == limit * MIB
    assert last_line(ended.stdout)["peak"] <= limit * MIB
    assert db.c.count_documents({"count": {"$exists": True}}) == len(lines)
