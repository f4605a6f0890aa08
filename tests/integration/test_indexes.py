"""How a scan is read: what a real server looks at, and what would spare that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from chunkmigrate import scan, server
from chunkmigrate.indexes import MOST_LOOKS, IndexUse, index_use
from tests.faults.mongods import Mongod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.collection import Collection
    from pymongo.database import Database

DOCUMENTS = 50_000
OPEN = DOCUMENTS // 1_000
BY_ID = f"Reading by _id_ looks at about {DOCUMENTS:,} documents"
ONE_IN_A_THOUSAND = f"{BY_ID}, of which about {OPEN} match, one in 1,000."


@pytest.fixture(scope="module")
def orders(client: MongoClient[dict[str, Any]]) -> Iterator[Collection[Any]]:
    """Many small documents: one in a thousand is open, one in ten is new, none is lost."""
    name = f"chunkmigrate_test_{uuid4().hex}"
    states = {n: "open" if n % 1_000 == 0 else "new" if n % 10 == 1 else "done" for n in range(1_000)}
    for start in range(0, DOCUMENTS, 10_000):
        numbers = range(start, start + 10_000)
        client[name].orders.insert_many({"_id": n, "status": states[n % 1_000], "n": n} for n in numbers)
    yield client[name].orders
    client.drop_database(name)


@pytest.fixture
def plain(orders: Collection[Any]) -> Collection[Any]:
    """The same, without any index but that on `_id`."""
    orders.drop_indexes()
    return orders


def test_no_filter(plain: Collection[Any]) -> None:
    """Without a filter everything is looked at, because everything is wanted."""
    assert index_use(scan(plain)) == IndexUse(
        name="_id_", keys=("_id",), looked_at=DOCUMENTS, matched=DOCUMENTS
    )


def test_much_matches(plain: Collection[Any]) -> None:
    """Where enough of what is looked at matches there is no warning, and a sample says how much it is."""
    found = index_use(scan(plain, {"status": "new"}))

    assert found.looked_at == DOCUMENTS
    assert found.matched is not None
    assert DOCUMENTS / 10 / 2 < found.matched < DOCUMENTS / 10 * 2
    assert found.warning == ""


def test_little_matches(plain: Collection[Any]) -> None:
    """Where next to nothing matches, the index that would spare looking at the rest is named."""
    found = index_use(scan(plain, {"status": "open"}))

    assert (found.name, found.keys, found.looked_at, found.matched) == ("_id_", ("_id",), DOCUMENTS, OPEN)
    assert found.looked_at > MOST_LOOKS * found.matched
    assert found.warning == (
        f"{ONE_IN_A_THOUSAND} An index on status and _id spares that: make it, and write "
        'scan(..., hint="status_1__id_1").'
    )


def test_advice_is_followed(plain: Collection[Any]) -> None:
    """Whoever makes the index that is named, and names it, is read by it, and warned no more."""
    advised = index_use(scan(plain, {"status": "open", "n": {"$gte": 0}})).warning
    plain.create_index([("status", 1), ("_id", 1)])
    found = index_use(scan(plain, {"status": "open"}, hint="status_1__id_1"))

    assert 'scan(..., hint="status_1__id_1")' in advised
    assert found == IndexUse(name="status_1__id_1", keys=("status", "_id"), looked_at=OPEN, matched=OPEN)


def test_index_there_is(plain: Collection[Any]) -> None:
    """An index that is there already is named, if the server can read it; others are said to be of no use."""
    plain.create_index("status")
    in_other_order = index_use(scan(plain, {"status": "open"})).warning
    plain.create_index([("status", 1), ("_id", 1)], sparse=True, name="sparse")
    sparse = index_use(scan(plain, {"status": "open"})).warning
    plain.create_index([("status", 1), ("_id", 1)], name="right")
    right = index_use(scan(plain, {"status": "open"})).warning

    assert in_other_order.endswith('hint="status_1__id_1"). What there is (status_1) is not in _id order.')
    assert sparse.endswith("What there is (status_1, sparse) is not in _id order.")
    assert right == f'{ONE_IN_A_THOUSAND} Its index right spares that: write scan(..., hint="right").'


def test_no_index_helps(plain: Collection[Any]) -> None:
    """Where no index can have what matches in `_id` order, that is said, and what else there is to do."""
    warning = index_use(scan(plain, {"n": {"$lt": 0}})).warning

    assert warning == (
        f"{BY_ID}, of which hardly any match. No index has what this filter matches in _id order: narrow it "
        "to a range of _id, if you can."
    )


def test_range_of_ids(plain: Collection[Any]) -> None:
    """A filter that narrows `_id` is looked at within that range only."""
    found = index_use(scan(plain, {"_id": {"$gte": 1_000, "$lt": 3_000}, "status": "open"}))

    assert (found.looked_at, found.matched, found.warning) == (2_000, 2, "")


def test_hint_that_knows_half(plain: Collection[Any]) -> None:
    """By an index that knows part of what is asked for, more is looked at than matches."""
    plain.create_index([("status", 1), ("_id", 1)])
    found = index_use(scan(plain, {"status": "done", "n": {"$mod": [4, 2]}}, hint="status_1__id_1"))

    assert found.name == "status_1__id_1"
    assert found.matched is not None
    assert found.looked_at is not None
    assert 3 * found.matched < found.looked_at < 5 * found.matched


@pytest.mark.parametrize("body", ["function() { sleep(50); return true; }", "nonsense"])
def test_no_answer(plain: Collection[Any], body: str) -> None:
    """What the server cannot say in time, or not at all, is not known, and the rest is."""
    found = index_use(scan(plain, {"$expr": {"$function": {"body": body, "args": [], "lang": "js"}}}))

    assert found == IndexUse(name="_id_", keys=("_id",), looked_at=DOCUMENTS)


def test_nobody_answers() -> None:
    """Where no server answers nothing is known, and nothing fails."""
    with MongoClient[Any]("127.0.0.1:1", serverSelectionTimeoutMS=1) as nobody:
        found = index_use(scan(nobody["shop"]["orders"], {"status": "open"}))

    assert found == IndexUse()


def test_no_collection(db: Database[Any]) -> None:
    """Of a collection that is not there nothing is read, by no index."""
    assert index_use(scan(db.missing, {"a": 1})) == IndexUse(looked_at=0, matched=0)


def test_clustered(db: Database[Any]) -> None:
    """A clustered collection is read by `_id` without an index."""
    db.create_collection("c", clusteredIndex={"key": {"_id": 1}, "unique": True})
    db.c.insert_one({"_id": 1})

    assert index_use(scan(db.c)) == IndexUse(name="_id", keys=("_id",), looked_at=1, matched=1)


def test_read_only_user(tmp_path: Path) -> None:
    """Who may only read is told the same."""
    with Mongod(tmp_path / "data", "--auth") as mongod:
        with server.connect(f"mongodb://{mongod.address}/") as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with server.connect(f"mongodb://root:root@{mongod.address}/") as client:
            client.shop.c.insert_many({"_id": n, "s": n % 2} for n in range(100))
            client.shop.c.create_index([("s", 1), ("_id", 1)])
            client.shop.command("createUser", "ann", pwd="secret", roles=["read"])
        with server.connect(f"mongodb://ann:secret@{mongod.address}/shop") as client:
            by_id = index_use(scan(client.shop.c, {"s": 1}))
            described = scan(client.shop.c, {"s": 1}, hint="s_1__id_1")
            described.check()
            by_hint = index_use(described)

    assert by_id == IndexUse(name="_id_", keys=("_id",), looked_at=100, matched=50)
    assert by_hint == IndexUse(name="s_1__id_1", keys=("s", "_id"), looked_at=50, matched=50)
