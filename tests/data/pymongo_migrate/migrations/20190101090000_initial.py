"""
Indexes of the first version
"""
import pymongo

name = '20190101090000_initial'
dependencies = []

INDEXES = {
    "customers": [("email", pymongo.ASCENDING)],
    "orders": [("customer", pymongo.ASCENDING), ("placed", pymongo.DESCENDING)],
}


def upgrade(db: "pymongo.database.Database"):
    for collection, keys in INDEXES.items():
        db[collection].create_index(keys)
    db.counters.insert_one({"_id": "migrations", "n": 1})


def downgrade(db: "pymongo.database.Database"):
    for collection in INDEXES:
        db[collection].drop_indexes()
