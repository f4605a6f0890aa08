"""
Loyal customers
"""
import pymongo

name = '20190702110000_loyal'
dependencies = ['20190205080000_spent']

ENOUGH = 100


def upgrade(db: "pymongo.database.Database"):
    db.customers.update_many({}, [{"$set": {"loyal": {"$gte": [{"$ifNull": ["$spent", 0]}, ENOUGH]}}}])
    db.customers.create_index("loyal", partialFilterExpression={"loyal": True})
    db.counters.update_one({"_id": "migrations"}, {"$inc": {"n": 1}})


def downgrade(db: "pymongo.database.Database"):
    db.customers.drop_index("loyal_1")
    db.customers.update_many({}, {"$unset": {"loyal": ""}})
