"""The loop people write first, as the demo shows it: ``python -m chunkmigrate.demo_loop URI``.

In a process of its own, so that its memory is nobody else's. It prints one JSON line: seconds, documents,
and the bytes it had resident when it began (``start``) and at most (``peak``). Not an example to follow.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient, UpdateOne

from chunkmigrate.memory import Sensor

if TYPE_CHECKING:
    from pymongo.database import Database


def upgrade(db: Database[Any]) -> int:
    """Give each order its total in cents; return how many there were."""
    orders = list(db.orders.find({"cents": {"$exists": False}}))
    updates = [UpdateOne({"_id": order["_id"]}, {"$set": {"cents": cents(order)}}) for order in orders]
    db.orders.bulk_write(updates)
    return len(updates)


def cents(order: dict[str, Any]) -> int:
    """Return the sum of an order's lines, in cents."""
    return sum(round(line["price"] * 100) * line["quantity"] for line in order["lines"])


def main(uri: str) -> None:
    """Run the loop on the database the URI names, and print what it took."""
    with MongoClient[Any](uri) as client:
        client.admin.command("ping")
        sensor, began = Sensor(), time.monotonic()
        documents = upgrade(client.get_default_database())
    facts = {
        "seconds": round(time.monotonic() - began, 3),
        "documents": documents,
        "start": sensor.rss_start,
        "peak": sensor.peak(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
