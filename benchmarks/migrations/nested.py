"""Store what an order comes to, from its lines, their taxes and its shipping, reading all of it."""

from typing import Any

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db: Any) -> Backfill:
    """Read whole orders, and write their totals."""
    return Backfill(scan(db.nested, {"total": {"$exists": False}}), to_total)


def to_total(order: dict[str, Any]) -> UpdateOne:
    """Return what the order comes to, in cents."""
    lines = sum(line["quantity"] * line["price"] * (1 + line["tax"]["rate"]) for line in order["lines"])
    total = round((lines + order["shipping"]["price"]) * 100)
    return UpdateOne({"_id": order["_id"]}, {"$set": {"total": total}})
