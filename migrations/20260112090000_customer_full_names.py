"""Store a customer's full name; the server does it alone, no document is read."""

from chunkmigrate import Backfill, scan

FULL_NAME = {"$trim": {"input": {"$concat": [{"$ifNull": ["$first", ""]}, " ", {"$ifNull": ["$last", ""]}]}}}


def upgrade(db):
    return Backfill(
        scan(db.customers, {"full_name": {"$exists": False}}), server=[{"$set": {"full_name": FULL_NAME}}]
    )


def downgrade(db):
    return Backfill(
        scan(db.customers, {"full_name": {"$exists": True}}), server={"$unset": {"full_name": ""}}
    )
