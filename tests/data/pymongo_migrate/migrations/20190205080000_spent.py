"""
What each customer has paid for; merged late, on top of both branches
"""
import pymongo

name = '20190205080000_spent'
dependencies = ['20190301120000_order_status', '20190214101500_normalise_emails']


def upgrade(db: "pymongo.database.Database"):
    paid = db.orders.aggregate([
        {"$match": {"status": {"$in": ["paid", "sent"]}}},
        {"$group": {"_id": "$customer", "spent": {"$sum": "$total"}}},
    ])
    for one in paid:
        db.customers.update_one({"email": one["_id"]}, {"$inc": {"spent": one["spent"]}})
    db.counters.update_one({"_id": "migrations"}, {"$inc": {"n": 1}})


def downgrade(db: "pymongo.database.Database"):
    db.customers.update_many({}, {"$unset": {"spent": ""}})
