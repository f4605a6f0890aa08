"""Store when a very long log was last written to, and how much it holds, reading all of it."""

from typing import Any

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db: Any) -> Backfill:
    """Read whole logs, and write their summaries."""
    return Backfill(scan(db.huge_whole, {"summary": {"$exists": False}}), to_summary)


def to_summary(log: dict[str, Any]) -> UpdateOne:
    """Return when the log was last written to, and how much it holds."""
    events = log["events"]
    summary = {"last": max(event["at"] for event in events), "length": sum(len(e["text"]) for e in events)}
    return UpdateOne({"_id": log["_id"]}, {"$set": {"summary": summary}})
