"""Store order prices in integer cents."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.orders, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def downgrade(db):
    return Backfill(scan(db.orders, {"cents": {"$exists": True}}, fields=[]), drop_cents)


def to_cents(order):
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})


def drop_cents(order):
    return UpdateOne({"_id": order["_id"]}, {"$unset": {"cents": ""}})
