"""
Words for the status of orders
"""
import pymongo

name = '20190301120000_order_status'
dependencies = ['20190101090000_initial']

STATUSES = {0: "new", 1: "paid", 2: "sent"}


def upgrade(db: "pymongo.database.Database"):
    for number, word in STATUSES.items():
        db.orders.update_many({"status": number}, {"$set": {"status": word}})
    db.counters.update_one({"_id": "migrations"}, {"$inc": {"n": 1}})


def downgrade(db: "pymongo.database.Database"):
    for number, word in STATUSES.items():
        db.orders.update_many({"status": word}, {"$set": {"status": number}})
