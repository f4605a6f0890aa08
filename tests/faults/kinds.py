"""Kinds of migrations: each a module's source, data to begin with, and the data it must end with.

What is expected is computed here in plain Python, from the meaning of the migration and not by running it.
Each kind would show a document that was skipped, and all but ``plain`` one that was migrated twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from bson import Binary, Decimal128, Int64, ObjectId

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.faults.oracle import Data, Document

NAME = "20260101000000_change"

# Documents that belong to one block: writers meet at its borders, not in every chunk.
BLOCK = 700


@dataclass(frozen=True, slots=True)
class Kind:
    """A migration, what it begins with, and what must be there afterwards."""

    name: str
    source: str
    seed: Callable[[random.Random, int], Data]
    expected: Callable[[Data], Data]


PLAIN = '''"""Store prices in integer cents."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def to_cents(order):
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})
'''

INCREMENT = '''"""Add what each document holds to its total; every seventh needs nothing."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c), add)


def add(order):
    if not order["amount"]:
        return None
    return UpdateOne({"_id": order["_id"]}, {"$inc": {"total": order["amount"]}})
'''

SEVERAL = '''"""Write to a document, to its twin in another collection, and to the block they belong to."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    def moved(order):
        yield UpdateOne({"_id": order["_id"]}, {"$push": {"seen": order["amount"]}})
        yield UpdateOne({"_id": order["_id"]}, {"$inc": {"n": 1}}, namespace=f"{db.name}.twins")
        change = {"$inc": {"total": order["amount"]}}
        yield UpdateOne({"_id": order["block"]}, change, namespace=f"{db.name}.blocks")

    return Backfill(scan(db.c, fields=["block", "amount"]), moved)
'''

INSERT = '''"""Give each line of an order a document of its own."""

from chunkmigrate import Backfill, InsertOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=["lines"]), lines, into=db.lines)


def lines(order):
    for number, line in enumerate(order["lines"]):
        yield InsertOne({"order": order["_id"], "number": number, "line": line})
'''

DELETE = '''"""Delete what is cancelled with its lines, keeping a note of it; count the rest."""

from chunkmigrate import Backfill, DeleteMany, DeleteOne, InsertOne, UpdateOne, scan


def upgrade(db):
    def cleared(order):
        if not order["cancelled"]:
            return [UpdateOne({"_id": order["_id"]}, {"$inc": {"n": 1}})]
        first = order["_id"] * 10
        return [
            DeleteOne({"_id": order["_id"]}),
            DeleteMany({"_id": {"$gte": first, "$lt": first + 10}}, namespace=f"{db.name}.lines"),
            InsertOne({"order": order["_id"]}, namespace=f"{db.name}.notes"),
        ]

    return Backfill(scan(db.c, fields=["cancelled"]), cleared)
'''

STEPS = '''"""Compute, book what was computed, count what was booked: each step reads the last one's."""

from chunkmigrate import Backfill, InsertOne, UpdateOne, scan


def upgrade(db):
    return [
        Backfill(scan(db.c, fields=["amount"]), compute),
        Backfill(scan(db.c, fields=["double", "n"]), book, into=db.booked),
        Backfill(scan(db.booked, fields=[]), number),
    ]


def compute(order):
    return UpdateOne({"_id": order["_id"]}, {"$set": {"double": order["amount"] * 2}, "$inc": {"n": 1}})


def book(order):
    return InsertOne({"order": order["_id"], "value": order["double"] + order["n"]})


def number(booking):
    return UpdateOne({"_id": booking["_id"]}, {"$inc": {"n": 1}})
'''

WINDOWS = '''"""Let the server add what each document holds to its total, and take a moment for each."""

from chunkmigrate import Backfill, scan

SLOWLY = {
    "$reduce": {"input": {"$range": [0, 500]}, "initialValue": 0, "in": {"$multiply": ["$$value", "$$this"]}}
}


def upgrade(db):
    return Backfill(scan(db.c), server=[{"$set": {"total": {"$add": ["$total", "$amount", SLOWLY]}}}])
'''

POISONED = '''"""Count what can be counted, and set aside what cannot."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=["amount"]), add, on_error="quarantine")


def add(order):
    return UpdateOne({"_id": order["_id"]}, {"$inc": {"n": 1 + 0 * int(order["amount"])}})
'''

LEAKING = '''"""Add what each document holds to its total, and forget to let go of a kilobyte."""

import random

from chunkmigrate import Backfill, UpdateOne, scan

kept = []


def upgrade(db):
    return Backfill(scan(db.c), add)


def add(order):
    kept.append(random.randbytes(1024))
    return UpdateOne({"_id": order["_id"]}, {"$inc": {"total": order["amount"]}})
'''


def _plain_seed(chance: random.Random, documents: int) -> Data:
    def made(number: int) -> Document:
        known = {} if chance.randrange(10) else {"cents": -1}
        return {"_id": number, "price": chance.randrange(10_000) / 100, **known}

    return {"c": _padded(chance, map(made, range(documents)))}


def _plain_expected(data: Data) -> Data:
    return {"c": [{"cents": round(order["price"] * 100)} | order for order in data["c"]]}


def _increment_seed(chance: random.Random, documents: int) -> Data:
    made = ({"_id": _mixed(chance, n), "amount": n % 7, "total": 5} for n in range(documents))
    return {"c": _padded(chance, made)}


def _increment_expected(data: Data) -> Data:
    return {"c": [order | {"total": 5 + order["amount"]} for order in data["c"]]}


def _several_seed(chance: random.Random, documents: int) -> Data:
    ids = range(documents)
    orders = ({"_id": n, "block": n // BLOCK, "amount": chance.randrange(100)} for n in ids)
    blocks: list[Document] = [{"_id": n} for n in range(-(-documents // BLOCK))]
    return {"c": _padded(chance, orders), "twins": [{"_id": n, "n": 10} for n in ids], "blocks": blocks}


def _several_expected(data: Data) -> Data:
    totals: dict[Any, int] = {}
    for order in data["c"]:
        totals[order["block"]] = totals.get(order["block"], 0) + order["amount"]
    return {
        "c": [order | {"seen": [order["amount"]]} for order in data["c"]],
        "twins": [twin | {"n": 11} for twin in data["twins"]],
        "blocks": [block | {"total": totals[block["_id"]]} for block in data["blocks"]],
    }


def _insert_seed(chance: random.Random, documents: int) -> Data:
    lines = ([chance.randrange(100) for _ in range(chance.randrange(4))] for _ in count())
    orders = ({"_id": _object_id(chance), "lines": next(lines)} for _ in range(documents))
    return {"c": _padded(chance, orders), "lines": []}


def _insert_expected(data: Data) -> Data:
    lines = (
        {"order": order["_id"], "number": number, "line": line}
        for order in data["c"]
        for number, line in enumerate(order["lines"])
    )
    return {"c": data["c"], "lines": list(lines)}


def _delete_seed(chance: random.Random, documents: int) -> Data:
    orders = [{"_id": n, "cancelled": chance.random() < 0.3} for n in range(documents)]
    lines: list[Document] = [{"_id": n * 10 + line} for n in range(documents) for line in range(n % 3)]
    return {"c": _padded(chance, iter(orders)), "lines": lines, "notes": []}


def _delete_expected(data: Data) -> Data:
    cancelled = {order["_id"] for order in data["c"] if order["cancelled"]}
    return {
        "c": [order | {"n": 1} for order in data["c"] if not order["cancelled"]],
        "lines": [line for line in data["lines"] if line["_id"] // 10 not in cancelled],
        "notes": [{"order": order} for order in cancelled],
    }


def _steps_seed(chance: random.Random, documents: int) -> Data:
    orders = ({"_id": f"order {n:06}", "amount": chance.randrange(1_000)} for n in range(documents))
    return {"c": _padded(chance, orders), "booked": []}


def _steps_expected(data: Data) -> Data:
    return {
        "c": [order | {"double": order["amount"] * 2, "n": 1} for order in data["c"]],
        "booked": [{"order": order["_id"], "value": order["amount"] * 2 + 1, "n": 1} for order in data["c"]],
    }


def _poisoned_seed(chance: random.Random, documents: int) -> Data:
    amounts = ("five" if chance.random() < 0.005 else 5 for _ in count())
    return {"c": _padded(chance, ({"_id": n, "amount": next(amounts)} for n in range(documents)))}


def _poisoned_expected(data: Data) -> Data:
    return {"c": [order if order["amount"] == "five" else order | {"n": 1} for order in data["c"]]}


def _padded(chance: random.Random, documents: Iterator[Document]) -> list[Document]:
    """The documents in a random order, most of them small and a few of them not."""
    sizes = chance.choices((0, 60, 400, 3_000, 30_000), (400, 350, 200, 30, 1), k=1_000)
    padded = [document | {"pad": "x" * chance.choice(sizes)} for document in documents]
    chance.shuffle(padded)
    return padded


def _mixed(chance: random.Random, number: int) -> Any:
    """An `_id` of one of nine types, unequal to that of every other number."""
    makes: list[Callable[[], Any]] = [
        lambda: number,
        lambda: Int64(number + 2**40),
        lambda: number + 0.5,
        lambda: Decimal128(f"{number}.25"),
        lambda: f"{number:x}",
        lambda: _object_id(chance),
        lambda: Binary(number.to_bytes(4, "big"), 128),
        lambda: {"at": number % 50, "n": number},
        lambda: datetime(2020, 1, 1) + timedelta(seconds=number),  # noqa: DTZ001, as the driver returns it
    ]
    return makes[chance.randrange(len(makes))]()


def _object_id(chance: random.Random) -> ObjectId:
    return ObjectId(chance.randbytes(12))


KINDS = (
    Kind("plain", PLAIN, _plain_seed, _plain_expected),
    Kind("increment", INCREMENT, _increment_seed, _increment_expected),
    Kind("several", SEVERAL, _several_seed, _several_expected),
    Kind("insert", INSERT, _insert_seed, _insert_expected),
    Kind("delete", DELETE, _delete_seed, _delete_expected),
    Kind("steps", STEPS, _steps_seed, _steps_expected),
    Kind("windows", WINDOWS, _increment_seed, _increment_expected),
)

# For the soak. A few documents of the one cannot be migrated, and are to be in quarantine afterwards; the
# other fills whatever memory it gets.
LEAKY = Kind("leaking", LEAKING, _increment_seed, _increment_expected)
QUARANTINED = Kind("poisoned", POISONED, _poisoned_seed, _poisoned_expected)
