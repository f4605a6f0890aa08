"""
The archive says what is in it
"""
import pymongo

name = '20190611160000_rename_archive'
dependencies = ['20190510070000_archive']


def upgrade(db: "pymongo.database.Database"):
    db.archive.rename("orders_archive")
    db.counters.update_one({"_id": "migrations"}, {"$inc": {"n": 1}})


def downgrade(db: "pymongo.database.Database"):
    db.orders_archive.rename("archive")
