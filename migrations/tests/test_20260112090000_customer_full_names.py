"""Test what becomes of customers: the server computes it, so every test needs one."""

from pathlib import Path

from chunkmigrate.testing import load

migration = load(Path(__file__).parents[1] / "20260112090000_customer_full_names.py")

GIVEN = [
    {"_id": 1, "first": "Ada", "last": "Lovelace"},
    {"_id": 2, "last": "Plato"},
    {"_id": 3, "first": "Grace", "last": "Hopper", "full_name": "Rear Admiral Hopper"},
]


def test_documents(migrate):
    """A customer gets a full name, of one part where there is no other; one who has it keeps it."""
    migrated = migrate(migration, {"customers": GIVEN})

    names = [customer["full_name"] for customer in migrated.found("customers")]
    assert names == ["Ada Lovelace", "Plato", "Rear Admiral Hopper"]


def test_interrupted(migrate):
    """Stopped after a customer and resumed, it leaves what it leaves in one go."""
    migrate.interrupted(migration, {"customers": GIVEN}, after=1)


def test_twice(migrate):
    """Applied a second time, it changes nothing."""
    migrate.twice(migration, {"customers": GIVEN})
