"""Store the price of a very long log in integer cents, reading nothing but the price."""

from typing import Any

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db: Any) -> Backfill:
    """Read the price of each log, and write its cents."""
    return Backfill(scan(db.huge, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def to_cents(log: dict[str, Any]) -> UpdateOne:
    """Return the log's cents."""
    return UpdateOne({"_id": log["_id"]}, {"$set": {"cents": round(log["price"] * 100)}})
