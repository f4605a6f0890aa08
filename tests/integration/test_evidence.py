"""The evidence on a real server: which run is meant, whether it lives, and what a dead one left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from chunkmigrate import Backfill, UpdateOne, account, evidence, lease_record, quarantine, scan, server
from chunkmigrate.errors import UnknownRunError
from chunkmigrate.holder import Holder, this_process
from chunkmigrate.ledger import DIED, PAUSED, RUNNING, RUNS
from chunkmigrate.memory import Sensor
from chunkmigrate.runner import Run
from tests.faults.mongods import Mongod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

MIB = 1024 * 1024
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database, as a command opens it."""
    return server.database(db.client, db.name)


def record(database: Database[Any], migration: str, hour: int = 0, **fields: Any) -> str:
    """Put a run on record; return its id."""
    run = ObjectId()
    given = {"status": "applied", "budget": 512 * MIB, "began": NOON + timedelta(hours=hour)}
    database[RUNS].insert_one({"_id": run, "migration": migration, **given, **fields})
    return str(run)


def found(database: Database[Any], wanted: str | None) -> str:
    return str(evidence.gathered(database, wanted).run["_id"])


def test_which(opened: Database[Any]) -> None:
    """A run is meant by its id, a migration's latest by a part of its name, the latest of all by nothing."""
    old = record(opened, "1_prices", 1)
    new = record(opened, "1_prices", 3)
    other = record(opened, "2_names", 4)

    assert found(opened, None) == other
    assert found(opened, old) == old
    assert (
        found(opened, "1_prices") == found(opened, "price") == found(opened, "migrations/1_prices.py") == new
    )
    assert found(opened, "names") == other


def test_exactly(opened: Database[Any]) -> None:
    """A whole name is meant, though others contain it."""
    run = record(opened, "1_prices", 1)
    record(opened, "1_prices_again", 2)

    assert found(opened, "1_prices") == run


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("_", "_ could be 1_prices, 2_names; write more of its name."),
        (
            "nothing",
            "There is no run nothing, nor one of a migration of that name. There is 1_prices, 2_names.",
        ),
        ("", "There is no run , nor one of a migration of that name. There is 1_prices, 2_names."),
        (str(ObjectId("0" * 24)), f"There is no run {'0' * 24}, nor one of"),
    ],
)
def test_none_meant(opened: Database[Any], wanted: str, sentence: str) -> None:
    """Where no run is meant, or several could be, a sentence says which there are."""
    record(opened, "1_prices")
    record(opened, "2_names")
    with pytest.raises(UnknownRunError) as raised:
        evidence.gathered(opened, wanted)

    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize("wanted", [None, "prices"])
def test_none_at_all(opened: Database[Any], wanted: str | None) -> None:
    """Where nothing has run yet, that is said."""
    with pytest.raises(
        UnknownRunError, match=r"No run is on record in this database yet\.|There is none at all\."
    ):
        evidence.gathered(opened, wanted)


def lease(database: Database[Any], holder: Holder, seconds: int) -> None:
    """Have ``holder`` hold the lease of m for so many seconds from now; it may be over."""
    now = {"holder": holder.document(), "released": False}
    times = {"since": "$$NOW", "renewed": "$$NOW", "until": {"$add": ["$$NOW", 1_000 * seconds]}}
    lease_record.present(database, "m")
    database[lease_record.COLLECTION].update_one({"_id": "m"}, [{"$set": now | times}])


HERE = this_process()
GONE = Holder(**HERE.document() | {"token": "gone", "pid": 1 << 22, "started": "1"})
ELSEWHERE = Holder(token="elsewhere", host="elsewhere")


@pytest.mark.parametrize(
    ("holder", "seconds", "status", "now"),
    [
        (HERE, 60, RUNNING, RUNNING),
        (ELSEWHERE, 60, RUNNING, RUNNING),
        (ELSEWHERE, -1, RUNNING, DIED),
        (GONE, 60, RUNNING, DIED),
        (ELSEWHERE, -1, PAUSED, PAUSED),
        (ELSEWHERE, -1, "applied", "applied"),
    ],
)
def test_lives(opened: Database[Any], holder: Holder, seconds: int, status: str, now: str) -> None:
    """A run lives while its lease does; one of this machine is known to be dead at once."""
    record(opened, "m", status=status, token=holder.token)
    lease(opened, holder, seconds)
    known = evidence.gathered(opened, "m")

    assert known.run["status"] == now
    assert (known.seen is not None) is (now in (RUNNING, DIED))


def test_taken_over(opened: Database[Any]) -> None:
    """A run whose lease another one holds is dead; what the other is about to do is not taken for its own."""
    record(opened, "m", status=RUNNING, token="another")
    lease(opened, HERE, 60)
    known = evidence.gathered(opened, "m")

    assert (known.run["status"], known.left, known.seen) == (DIED, None, None)


class Work:
    """A migration without a file."""

    name, checksum, description, path = "m", "x", "", Path("nowhere.py")

    def steps(self, database: Any) -> list[Backfill]:
        return [Backfill(scan(database.c), lambda one: UpdateOne({"_id": one["_id"]}, {"$inc": {"n": 1}}))]


def test_left(opened: Database[Any]) -> None:
    """Of a run that died it is told what it was about to do, in how much memory, and what was at work."""
    opened.c.insert_many({"_id": number} for number in range(5_000))
    work: Any = Work()
    run = iter(Run(work, opened, Sensor(memory=512 * MIB), writers=1))
    next(run)
    token = (opened[RUNS].find_one() or {})["token"]
    mark = {"document": {"_id": "<7>"}, "used": 1, "among": 16}
    opened.chunkmigrate_checkpoints.update_one({"_id": "m:0:at work"}, {"$set": mark})
    lease(opened, Holder(**GONE.document() | {"token": token}), 60)
    known = evidence.gathered(opened, "m")
    report = account.of(known)

    assert known.left is not None
    assert known.left.intent is not None
    assert known.left.intent.budget == 512 * MIB
    assert (known.left.document, known.left.among) == ("'<7>'", 16)
    assert report.memory.last == max(known.left.intent.used, report.timeline.samples[-1].used)
    assert report.headline.startswith("m was killed after ")
    run.close()  # type: ignore[attr-defined]


def keep(database: Database[Any], number: Any, reason: str, migration: str = "m") -> None:
    """Put a document into quarantine."""
    identity = {"migration": migration, "step": 0, "document": number}
    rest = {"reason": reason, "message": "Ann", "traceback": "Ann", "attempts": 1, "at": NOON}
    database[quarantine.COLLECTION].insert_one({"_id": identity, **identity, **rest})


def test_quarantine(opened: Database[Any]) -> None:
    """Of the quarantine it is told how many there are for each reason, and a few _ids; not what they hold."""
    for number in range(30):
        keep(opened, number, "transform")
    keep(opened, "a", "conflict")
    keep(opened, 1, "refused", migration="another")
    record(opened, "m")
    kept = evidence.gathered(opened, "m").quarantine

    assert [(row["reason"], row["documents"]) for row in kept] == [("transform", 30), ("conflict", 1)]
    assert len(kept[0]["ids"]) == quarantine.FEW
    assert kept[1]["ids"] == ["'a'"]
    assert "Ann" not in str(kept)


def test_read_only(tmp_path: Path) -> None:
    """A user who may read, and nothing else, gets a report of a run that is there, and of one that died."""
    with Mongod(tmp_path / "data", "--auth") as mongod:
        with mongod.client() as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with server.connect(f"mongodb://root:root@{mongod.address}/?directConnection=true") as client:
            database = client.shop
            database.command("createUser", "ann", pwd="secret", roles=["read"])
            keep(database, 1, "transform")
            record(database, "m", status=RUNNING, token="elsewhere", timeline={})
            lease(database, ELSEWHERE, -1)
        with server.connect(f"mongodb://ann:secret@{mongod.address}/shop?directConnection=true") as client:
            report = account.of(evidence.gathered(server.database(client, "shop"), None))

    assert report.status == DIED
    assert [kept["documents"] for kept in report.quarantine] == [1]


def test_hostile_names_are_spelled_out(opened: Database[Any]) -> None:
    """A name that would play with a terminal is spelled out in a sentence."""
    names: list[Mapping[str, Any]] = [{"migration": "1\x1b[31m"}, {"migration": "2\u202e"}]
    for one in names:
        record(opened, one["migration"])
    with pytest.raises(UnknownRunError) as raised:
        evidence.gathered(opened, "no")

    assert str(raised.value).isprintable()
    assert "1\\x1b[31m, 2\\u202e" in str(raised.value)
