"""
Sent orders into a collection of their own
"""
import pymongo

name = '20190510070000_archive'
dependencies = ['20190205080000_spent']

SENT = {"status": "sent"}


def upgrade(db: "pymongo.database.Database"):
    sent = list(db.orders.find(SENT))
    if sent:
        db.archive.insert_many(sent)
    db.orders.delete_many(SENT)
    db.counters.update_one({"_id": "migrations"}, {"$inc": {"n": 1}})


def downgrade(db: "pymongo.database.Database"):
    db.orders.insert_many(list(db.archive.find()))
    db.archive.drop()
