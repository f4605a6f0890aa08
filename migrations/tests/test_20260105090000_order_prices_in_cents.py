"""Test what becomes of orders: given these documents, those are expected."""

from pathlib import Path

from chunkmigrate import UpdateOne
from chunkmigrate.testing import load

migration = load(Path(__file__).parents[1] / "20260105090000_order_prices_in_cents.py")


def test_documents(migrate):
    """An order gets its price in cents; one that has it stays as it is."""
    given = [{"_id": 1, "price": 12.34}, {"_id": 2, "cents": 5}]
    migrated = migrate(migration, {"orders": given})

    assert migrated.found("orders") == [
        {"_id": 1, "price": 12.34, "cents": 1234},
        {"_id": 2, "cents": 5},
    ]


def test_twice(migrate):
    """Applied a second time, it changes nothing."""
    migrate.twice(migration, {"orders": [{"_id": 1, "price": 12.34}]})


def test_to_cents():
    """The transform alone is a plain function, and needs no server."""
    write = migration.to_cents({"_id": 1, "price": 12.34})

    assert write == UpdateOne({"_id": 1}, {"$set": {"cents": 1234}})
