"""The demo: the loop people write first and the same change through chunkmigrate, side by side.

Each runs in a process of its own on an embedded server, first with all memory it wants, then, where this
machine lets us, under a limit the kernel enforces. It shows one change on one machine once: numbers to
rely on are the benchmarks'.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from rich.console import Console
from rich.table import Table

from chunkmigrate import limits, server
from chunkmigrate.cgroups import find_cgroup
from chunkmigrate.errors import ChunkmigrateError
from chunkmigrate.mongod import embedded
from chunkmigrate.units import MI, format_bytes, format_duration, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient
    from pymongo.database import Database

ORDERS = 50_000
LOADED_AT_ONCE = 500
BUDGET = 64 * MI
TIMEOUT = 120.0

MIGRATION = '''"""Give each order its total in cents."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.orders, {"cents": {"$exists": False}}), to_cents)


def to_cents(order):
    cents = sum(round(line["price"] * 100) * line["quantity"] for line in order["lines"])
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": cents}})
'''

WORDS = (
    *("amber", "basket", "cedar", "drift", "ember", "fabric", "garden", "harbor", "island", "juniper"),
    *("kettle", "lantern", "meadow", "needle", "orchard", "pepper", "quartz", "ribbon", "saddle", "timber"),
)
STATUSES = ("placed", "paid", "packed", "shipped")
START = datetime(2025, 1, 1, tzinfo=UTC)

LOOP, MIGRATED = "the loop", "chunkmigrate"


def show() -> None:
    """Run the demo on a server of its own, and print it. Takes about a minute.

    Raises `ChunkmigrateError` where a part of it cannot run, or where the two disagree about the data.
    """
    console = Console(highlight=False, markup=False)
    console.print("Starting a MongoDB server in a temporary folder.")
    with (
        _explained(),
        TemporaryDirectory(prefix="chunkmigrate-demo-") as folder,
        embedded() as uri,
        server.connect(uri) as client,
    ):
        Path(folder, "20250101000000_order_cents.py").write_text(MIGRATION, "utf-8")
        demo = _Demo(console, client, uri, folder)
        demo.load()
        demo.side_by_side()
        demo.limited()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """What one process did: seconds, documents, and bytes resident when it began and at most."""

    seconds: float
    documents: int
    start: int
    peak: int

    @classmethod
    def told_by(cls, output: str, documents: str) -> _Result:
        """Read the last line of ``output``; ``documents`` is the name it counts them under."""
        facts = json.loads(output.splitlines()[-1])
        return cls(
            seconds=facts["seconds"], documents=facts[documents], start=facts["start"], peak=facts["peak"]
        )

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            format_duration(self.seconds),
            f"{self.documents / self.seconds:,.0f}",
            format_bytes(self.peak),
            format_bytes(self.peak - self.start),
        )


@dataclass(frozen=True, slots=True)
class _Demo:
    """The acts, on one server. Each run gets a database of its own, all filled with the same orders."""

    console: Console
    client: MongoClient[Any]
    uri: str
    folder: str

    def load(self) -> None:
        self.console.print(f"Loading {ORDERS:,} orders, twice ...")
        first, orders = self.client["loop"], _orders()
        while some := list(itertools.islice(orders, LOADED_AT_ONCE)):
            first.orders.insert_many(some)
        size = first.command("collStats", "orders")["avgObjSize"]
        self._copy("chunks")
        self.console.print(f"The change: give each order, of {format_bytes(size)}, its total in cents.\n")

    def side_by_side(self) -> None:
        self.console.print("1. The loop people write first: read all, build one list, bulk_write it ...")
        loop = _Result.told_by(_finished(LOOP, _run(self._loop("loop"))), "documents")
        self.console.print(f"2. The same through chunkmigrate run --memory {quantity(BUDGET)} ...\n")
        migrated = _Result.told_by(_finished(MIGRATED, _run(self._migration("chunks"))), "read")
        self.console.print(_table(loop, migrated))
        changed, digest = self._agreed("loop", "chunks")
        self.console.print(f"Both left the same data: {changed:,} orders, SHA-256 {digest[:16]}.\n")

    def limited(self) -> None:
        limiter = limits.available()
        if limiter is None:
            self.console.print(f"3. Left out: no memory limit can be set here, because {_obstacle()}.")
            return
        self.console.print(f"3. Both again, where the kernel allows no more than {quantity(BUDGET)} ...")
        self._copy("loop_limited", "chunks_limited")
        self._show_loop(limiter.run(self._loop("loop_limited"), BUDGET, env=_environment(), timeout=TIMEOUT))
        command = self._migration("chunks_limited")
        self._show_migration(limiter.run(command, BUDGET, env=_environment(), timeout=TIMEOUT))

    def _show_loop(self, ended: limits.Ended) -> None:
        changed, _ = _fingerprint(self.client["loop_limited"])
        why = "killed by the kernel" if ended.killed_by_kernel else "not killed"
        self.console.print(f"   {LOOP:<12}  exit {ended.returncode}, {why}; {changed:,} orders changed")

    def _show_migration(self, ended: limits.Ended) -> None:
        result = _Result.told_by(_finished(MIGRATED, ended), "read")
        changed, _ = self._agreed("chunks", "chunks_limited")
        self.console.print(
            f"   {MIGRATED:<12}  exit {ended.returncode}, peak memory {format_bytes(result.peak)}; "
            f"{changed:,} orders changed"
        )

    def _copy(self, *names: str) -> None:
        for name in names:
            out = {"$out": {"db": name, "coll": "orders"}}
            self.client["loop"].orders.aggregate([{"$unset": "cents"}, out])

    def _agreed(self, *names: str) -> tuple[int, str]:
        found = [_fingerprint(self.client[name]) for name in names]
        if found[0] != found[1] or found[0][0] != ORDERS:
            counts = " and ".join(f"{changed:,}" for changed, _ in found)
            message = f"The two left different data: {counts} of {ORDERS:,} orders changed. This is a bug."
            raise ChunkmigrateError(message)
        return found[0]

    def _loop(self, database: str) -> list[str]:
        uri = self.uri.replace("/?", f"/{database}?")
        return [sys.executable, "-P", "-m", "chunkmigrate.demo_loop", uri]

    def _migration(self, database: str) -> list[str]:
        start = [sys.executable, "-P", "-c", "from chunkmigrate.cli import main; main()", "run", "--all"]
        where = ["--uri", self.uri, "--database", database, "--dir", self.folder]
        return [*start, *where, "--memory", quantity(BUDGET)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", env=_environment(), timeout=TIMEOUT, check=False
    )


def _environment() -> dict[str, str]:
    # Settings of a real project must not reach the demo's runs.
    return {name: value for name, value in os.environ.items() if not name.startswith("CHUNKMIGRATE_")}


def _finished(what: str, ended: subprocess.CompletedProcess[str] | limits.Ended) -> str:
    if ended.returncode == 0:
        return ended.stdout
    said = (ended.stderr.strip() or ended.stdout.strip() or "it said nothing").splitlines()[-1]
    raise ChunkmigrateError(f"In the demo, {what} ended with exit code {ended.returncode}: {said}")


def _fingerprint(db: Database[Any]) -> tuple[int, str]:
    """Return how many orders are changed, and a digest of what they were changed to."""
    digest, changed = hashlib.sha256(), 0
    for order in db.orders.find({"cents": {"$exists": True}}, {"cents": 1}).sort("_id"):
        digest.update(f"{order['_id']} {order['cents']}\n".encode())
        changed += 1
    return changed, digest.hexdigest()


def _table(loop: _Result, migrated: _Result) -> Table:
    table = Table("", min_width=70)
    for title in ("time", "documents/s", "peak memory", "above start"):
        table.add_column(title, justify="right")
    table.add_row(LOOP, *loop.cells)
    table.add_row(MIGRATED, *migrated.cells)
    return table


def _obstacle() -> str:
    if find_cgroup() is None:
        return "this machine has no memory control groups"
    return "this user may not make memory control groups"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise server.explained(error) from error
    except subprocess.TimeoutExpired as error:
        message = f"A run of the demo took longer than {error.timeout:.0f} s, so the demo was ended."
        raise ChunkmigrateError(message) from error


def _orders() -> Iterator[dict[str, Any]]:
    """Generate orders of a few KiB each, the same ones every time."""
    rng = random.Random(1)
    # Sentences are shared: to draw the words of each one would take longer than to load them.
    texts = [" ".join(rng.choices(WORDS, k=16)) for _ in range(1_000)]
    for number in range(ORDERS):
        yield {
            "_id": number,
            "placed": START + timedelta(minutes=number),
            "customer": _customer(rng),
            "lines": [_line(rng, text) for text in rng.sample(texts, rng.randint(4, 12))],
            "history": [{"status": status, "at": START, "by": rng.choice(WORDS)} for status in STATUSES],
            "note": rng.choice(texts),
        }


def _customer(rng: random.Random) -> dict[str, Any]:
    name, street, city = rng.sample(WORDS, 3)
    address = {"street": street, "city": city, "postcode": str(rng.randrange(10**5))}
    return {"name": name, "email": f"{name}@example.com", "address": address}


def _line(rng: random.Random, text: str) -> dict[str, Any]:
    return {
        "sku": f"{rng.randrange(10**8):08}",
        "name": rng.choice(WORDS),
        "description": text,
        "options": {"colour": rng.choice(WORDS), "gift": rng.random() < 0.1},
        "quantity": rng.randint(1, 5),
        "price": rng.randrange(100, 100_000) / 100,
    }
