"""Store a price in integer cents, in documents that have nothing else."""

from typing import Any

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db: Any) -> Backfill:
    """Read each price, and write its cents."""
    return Backfill(scan(db.tiny, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def to_cents(price: dict[str, Any]) -> UpdateOne:
    """Return the price's cents."""
    return UpdateOne({"_id": price["_id"]}, {"$set": {"cents": round(price["price"] * 100)}})
