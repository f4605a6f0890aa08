"""Store the price of an order in integer cents, reading nothing but the price."""

from typing import Any

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db: Any) -> Backfill:
    """Read the price of each order, and write its cents."""
    return Backfill(scan(db.projected, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def to_cents(order: dict[str, Any]) -> UpdateOne:
    """Return the order's cents."""
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})
