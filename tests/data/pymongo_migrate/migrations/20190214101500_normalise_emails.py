"""
E-mail addresses without spaces and capitals
"""
import pymongo
from shop.text import normalised

name = '20190214101500_normalise_emails'
dependencies = ['20190101090000_initial']


def upgrade(db: "pymongo.database.Database"):
    for customer in db.customers.find({}, {"email": 1}):
        db.customers.update_one({"_id": customer["_id"]}, {"$set": {"email": normalised(customer["email"])}})
    db.counters.update_one({"_id": "migrations"}, {"$inc": {"n": 1}})


def downgrade(db: "pymongo.database.Database"):
    pass
