"""What lint asks a server: what it adds to its findings, and what it takes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from chunkmigrate.indexes import WORTH_SAYING
from chunkmigrate.ledger import APPLIED, MIGRATIONS, PENDING
from chunkmigrate.linting.checking import File, check
from chunkmigrate.linting.findings import RULES
from chunkmigrate.linting.of_servers import SMALL_BYTES, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

    from chunkmigrate.linting.findings import Finding

ASKED = frozenset(RULES) - {"CM101", "CM102", "CM104"}


OPEN = "scan(db.orders, {'open': True}, fields=[]), change"


def found(db: Database[Any], body: str, *, name: str = "upgrade", acts: str = "") -> list[Finding]:
    source = (
        f"from chunkmigrate import Backfill, UpdateOne, scan\n\ndef {name}(db):{acts}\n"
        f"    return Backfill({body})\n\ndef change(order):\n"
        "    return UpdateOne({'_id': order['_id']}, {'$inc': {'n': 1}})\n"
    )
    file = File(Path("m.py"), source.encode())
    return check(file, ASKED, lambda source, findings: asked(source, findings, db))


@pytest.fixture(scope="module")
def many(client: MongoClient[dict[str, Any]]) -> Iterator[Database[Any]]:
    """A database with enough orders for an index to be worth it: one in a thousand is open."""
    name = f"chunkmigrate_test_{uuid4().hex}"
    for start in range(0, WORTH_SAYING + 1_000, 10_000):
        numbers = range(start, start + 10_000)
        client[name].orders.insert_many({"_id": n, "open": n % 1_000 == 0} for n in numbers)
    yield client[name]
    client.drop_database(name)


def test_unindexed(many: Database[Any]) -> None:
    """A filter that looks at a thousand documents for each that matches is told, with what would help."""
    [finding] = found(many, OPEN)

    assert (finding.line, finding.code) == (4, "CM401")
    assert finding.message.startswith("Reading by _id_ looks at about ")
    assert "An index on open and _id spares that" in finding.message


@pytest.mark.parametrize(
    "scanned",
    [
        "scan(db.orders, fields=[])",
        "scan(db.orders, {'_id': {'$gte': 0}}, fields=[])",
        "scan(db.orders, {'open': False}, fields=[])",
        "scan(db.orders, {'open': is_open()}, fields=[])",
        "scan(db.orders, {'open': 123456789012345678901}, fields=[])",
        "scan(db.orders, {'open': {'$nothing': ...}}, fields=[])",
        "scan(db['$orders'], {'open': True}, fields=[])",
        "scan(db.missing, {'open': True}, fields=[])",
        "scan(db.missing, {'open': True}, fields=[], hint='open_1__id_1')",
    ],
)
def test_left_alone(many: Database[Any], scanned: str) -> None:
    """What is read in full, what matches often, and what cannot be asked about is left alone."""
    assert found(many, f"{scanned}, change") == []


def test_not_ahead(many: Database[Any]) -> None:
    """The way back, what makes its own index, and what has been run match nothing now, and are left alone."""
    many[MIGRATIONS].insert_one({"_id": "m", "status": APPLIED})
    applied = found(many, OPEN)
    many[MIGRATIONS].update_one({"_id": "m"}, {"$set": {"status": PENDING}})
    pending = found(many, OPEN)
    many.drop_collection(MIGRATIONS)

    assert [finding.code for finding in pending] == ["CM401"]
    assert applied == found(many, OPEN, name="downgrade") == []
    assert found(many, OPEN, acts="\n    db.orders.create_index('open')") == []


def test_hint(many: Database[Any]) -> None:
    """An index that is named and is not there is told; one that is there is not."""
    scanned = "scan(db.orders, {'open': True}, fields=[], hint='open_1__id_1'), change"
    [finding] = found(many, scanned)
    many.orders.create_index([("open", 1), ("_id", 1)])
    after = found(many, scanned)
    many.orders.drop_indexes()

    assert finding.code == "CM401"
    assert "open_1__id_1" in finding.message
    assert after == []


@pytest.mark.parametrize(("padding", "count"), [(10, 0), (SMALL_BYTES * 5, 1)])
def test_sizes(db: Database[Any], padding: int, count: int) -> None:
    """Whole documents that are read in vain are told with their size, and not at all where they are small."""
    db.orders.insert_many({"_id": n, "p": "x" * padding} for n in range(10))
    findings = found(db, "scan(db.orders), change")

    assert [finding.code for finding in findings] == ["CM304"] * count
    assert all(finding.message.endswith("A document has 2.5 KiB on average.") for finding in findings)


def test_standalone(db: Database[Any], standalone_uri: str) -> None:
    """On a standalone server `$inc` in a transform is told, unless its filter is a guard; else it is not."""
    with MongoClient[dict[str, Any]](standalone_uri) as client:
        on_standalone = found(client[db.name], "scan(db.orders, fields=[]), change")
        by_server = found(client[db.name], "scan(db.orders), server=[{'$set': {'n': {'$add': ['$n', 1]}}}]")
        guarded = found(client[db.name], "scan(db.orders, {'n': None}, fields=[]), change")

    assert [(finding.line, finding.code) for finding in on_standalone] == [(7, "CM402")]
    assert [(finding.line, finding.code) for finding in by_server] == [(4, "CM402")]
    assert guarded == found(db, "scan(db.orders, fields=[]), change") == []
