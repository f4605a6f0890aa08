"""Marks on a real server: all or none, never beside a run, and nothing from a run they have overtaken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from bson import ObjectId
from pymongo import MongoClient

from chunkmigrate import Backfill, UpdateOne, checkpoint, lease_record, marking, quarantine, scan, server
from chunkmigrate.errors import LeaseHeldError, SupersededError
from chunkmigrate.holder import Holder, this_process
from chunkmigrate.lease import Lease
from chunkmigrate.ledger import APPLIED, MIGRATIONS, RUNS, STOPPED, Ledger
from chunkmigrate.marking import MARKED, Author, Mark
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.records import Place
from chunkmigrate.runner import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

    from chunkmigrate.lease_record import Name

WHO = Author(by="op on host", why="it was done by hand")


@pytest.fixture(params=["replica set", "standalone"])
def opened(request: pytest.FixtureRequest) -> Iterator[Database[Any]]:
    """A database as a command opens it, on a server with transactions, and on one without."""
    uri = request.getfixturevalue("mongodb_uri" if request.param == "replica set" else "standalone_uri")
    with MongoClient[dict[str, Any]](uri) as client:
        database = server.database(client, f"chunkmigrate_test_{uuid4().hex}")
        yield database
        client.drop_database(database.name)


def applied(name: str = "m") -> Mark:
    return Mark(migration=name, applied=True, origin=MARKED, checksum="x")


def pending(name: str = "m", *, gone: bool = False) -> Mark:
    return Mark(migration=name, applied=False, origin=MARKED, checksum="x", gone=gone)


def entry(database: Database[Any], name: str = "m") -> dict[str, Any]:
    return database[MIGRATIONS].find_one({"_id": name}) or {}


def elsewhere() -> Holder:
    return Holder(token="t", host="elsewhere", pid=7, started="1", boot="x")


def hold(database: Database[Any], holder: Holder, name: Name = "m") -> None:
    """Let somebody have the lease for half a minute."""
    over = lease_record.present(database, name)
    lease_record.claim(lease_record.collection_of(database), name, holder, 30, over=over)


def migration_of(folder: Path) -> Migration:
    path = folder / "m.py"
    path.write_text("def upgrade(db): ...", "utf-8")

    def upgrade(db: Any) -> Backfill:
        return Backfill(scan(db.c), lambda d: UpdateOne({"_id": d["_id"]}, {"$inc": {"n": 1}}))

    return Migration(name="m", path=path, description="", checksum="x", upgrade=upgrade)


def run(database: Database[Any], folder: Path, **how: Any) -> Run:
    return Run(migration_of(folder), database, Sensor(memory=512 * 1024 * 1024), writers=2, **how)


def test_frozen_with_a_partition(opened: Database[Any]) -> None:
    """Who has a partition and was frozen until its lease ran out does not go on after a mark."""
    name, leases = Place("m", 0, 3).document(), lease_record.collection_of(opened)
    hold(opened, elsewhere(), name)
    leases.update_one({"_id": name}, [{"$set": {"until": "$$NOW"}}])
    marking.put(opened, [applied()], WHO)

    assert lease_record.renew(leases, name, "t", 30, advance=True) is None


def test_applied(opened: Database[Any], tmp_path: Path) -> None:
    """What is marked as applied is not run, and the history says who did that, when and why."""
    opened.c.insert_one({"_id": 1})
    marking.put(opened, [applied()], WHO)
    for _ in run(opened, tmp_path):
        pass
    (line,) = opened[RUNS].find()

    assert opened.c.find_one() == {"_id": 1}
    assert {name: entry(opened)[name] for name in ("status", "origin", "checksum")} == {
        "status": APPLIED,
        "origin": MARKED,
        "checksum": "x",
    }
    assert entry(opened)["began"] == entry(opened)["ended"] == line["began"]
    assert (line["_id"], line["by"], line["reason"]) == (entry(opened)["run"], WHO.by, WHO.why)
    assert line["status"] == "marked applied"


def test_pending(opened: Database[Any], tmp_path: Path) -> None:
    """What is marked as pending is done again from its first document, and then by a run."""
    opened.c.insert_many({"_id": n} for n in range(10))
    for _ in run(opened, tmp_path):
        pass
    for name in ("m", "other"):
        aside = {"migration": name, "step": 0, "document": 1}
        opened[quarantine.COLLECTION].insert_one({"_id": aside} | aside)
    opened[checkpoint.COLLECTION].insert_one({"_id": "mm:0:at work", "number": 1})
    marking.put(opened, [pending()], WHO)

    assert [kept["_id"] for kept in opened[checkpoint.COLLECTION].find()] == ["mm:0:at work"]
    assert [kept["migration"] for kept in opened[quarantine.COLLECTION].find()] == ["other"]
    assert entry(opened)["status"] == "pending"

    for _ in run(opened, tmp_path):
        pass

    assert opened.c.distinct("n") == [2]
    assert entry(opened)["status"] == APPLIED
    assert "origin" not in entry(opened)


def test_gone(opened: Database[Any]) -> None:
    """What has no file any more leaves the ledger with `pending`; the history keeps it."""
    marking.put(opened, [applied()], WHO)
    marking.put(opened, [pending(gone=True)], WHO)

    assert not entry(opened)
    assert [line["status"] for line in opened[RUNS].find().sort("_id", 1)] == [
        "marked applied",
        "marked pending",
    ]


def test_held(opened: Database[Any]) -> None:
    """While somebody runs one of them nothing is marked, of the others neither."""
    hold(opened, elsewhere(), "b")
    with pytest.raises(LeaseHeldError, match=r"b is being run by host elsewhere \(pid 7\)") as raised:
        marking.put(opened, [applied("a"), applied("b")], WHO)

    assert raised.value.migration == "b"
    assert "Nothing was changed." in str(raised.value)
    assert not opened[MIGRATIONS].count_documents({})
    assert not opened[RUNS].count_documents({})


def test_taken_meanwhile(opened: Database[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that begins between the look and the mark has won: with transactions nothing at all is marked."""
    free = [marking._freed(opened, name) for name in "ab"]
    hold(opened, elsewhere(), "b")
    monkeypatch.setattr(marking, "_freed", lambda _, name: free["ab".index(name)])
    with pytest.raises(LeaseHeldError):
        marking.put(opened, [applied("a"), applied("b")], WHO)

    atomic = server.has_transactions(opened.client)

    assert opened[MIGRATIONS].count_documents({}) == (0 if atomic else 1)
    assert not entry(opened, "b")


def test_dead(opened: Database[Any]) -> None:
    """The lease of a process that has died on this machine is in nobody's way."""
    dead = Holder.of(this_process().document() | {"pid": 2**22 + 1})
    hold(opened, dead)
    marking.put(opened, [applied()], WHO)

    assert entry(opened)["status"] == APPLIED
    assert not lease_record.present(opened, "m").held


def test_shared(opened: Database[Any]) -> None:
    """A migration is being run also where somebody has but one of its partitions."""
    hold(opened, elsewhere(), Place("m", 0, 3).document())

    with pytest.raises(LeaseHeldError):
        marking.put(opened, [applied()], WHO)

    assert not entry(opened)


def test_overtaken(opened: Database[Any], tmp_path: Path) -> None:
    """A run that froze until its lease had run out, and wakes up after a mark, writes nothing any more."""
    opened.c.insert_many({"_id": n} for n in range(10))
    holder, ledger = this_process(), Ledger(opened)
    lease = Lease(opened, "m", holder, seconds=0.1, fence=lambda *_: None)
    lease.acquire()
    work = migration_of(tmp_path).steps(opened)[0]
    slots = checkpoint.claim(opened, Place("m", 0), work.scan, slots=1, advance=lease.advance, session=None)
    attempt, generation = ObjectId(), lease.generation
    ledger.begin(migration_of(tmp_path), attempt, holder, generation=generation, budget=1)
    while lease_record.present(opened, "m").held:
        pass
    marking.put(opened, [pending()], WHO)

    with pytest.raises(SupersededError):
        slots.save(done=True)
    with pytest.raises(SupersededError):
        lease.check(now=True)
    with pytest.raises(SupersededError):
        lease.advance(None)
    with pytest.raises(SupersededError):
        ledger.end(migration_of(tmp_path), attempt, STOPPED, {}, generation=generation)
    assert entry(opened)["status"] == "pending"
    assert not opened[checkpoint.COLLECTION].count_documents({"migration": "m"})


def test_no_run(opened: Database[Any]) -> None:
    """What was marked is no run to those who look at runs."""
    marking.put(opened, [applied()], WHO)

    assert Ledger(opened).runs("m") == []
