"""How migrations stand, on a real server: live, after a death, half rolled back; read by who only reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate import Backfill, UpdateOne, control, history, planning, scan, server
from chunkmigrate.compared import compare
from chunkmigrate.ledger import MIGRATIONS
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.overview_lines import standing as line_of
from chunkmigrate.runner import Run
from chunkmigrate.sizing import Most
from chunkmigrate.standing import progress_of, rate_of, standings
from tests.faults.mongods import Mongod
from tests.read_only import Writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

CHUNK = Most(chunk_bytes=1 << 20, page_bytes=1 << 20, chunk_documents=100)


def migration(name: str = "1_m", upgrade: Callable[[Any], Any] | None = None, means: str = "x") -> Migration:
    return Migration(
        name=name, path=Path(name), description="Say it.", checksum=f"meaning1:{means}", upgrade=upgrade
    )


def add_one(db: Database[Any]) -> Backfill:
    return Backfill(scan(db.c, fields=[]), lambda one: UpdateOne(one, {"$inc": {"n": 1}}))


def begun(db: Database[Any], one: Migration) -> Any:
    return iter(Run(one, db, Sensor(), writers=1, most=CHUNK))


@pytest.fixture
def documents(db: Database[Any]) -> Database[Any]:
    db.c.insert_many({"_id": number} for number in range(1_000))
    return db


def test_nothing_there(mongodb_uri: str, db: Database[Any]) -> None:
    """Where nothing is on record, no collection either, everything is pending, and only reads are sent."""
    writes = Writes()
    with MongoClient[Any](mongodb_uri, event_listeners=[writes]) as client:
        (row,) = standings(client[db.name], [migration()])

    writes.assert_none()
    assert (row.status, row.read, row.open, row.progress) == ("pending", 0, True, None)
    assert line_of(row) == "pending    1_m  Say it."


def test_live(mongodb_uri: str, documents: Database[Any]) -> None:
    """While a migration runs its progress is read from the database, by a client that sends only reads."""
    one, writes = migration(upgrade=add_one), Writes()
    run = begun(documents, one)
    for _ in range(3):
        next(run)
    with MongoClient[Any](mongodb_uri, event_listeners=[writes]) as client:
        (row,) = standings(client[documents.name], [one])
    run.close()

    writes.assert_none()
    assert (row.status, row.direction) == ("running", "up")
    assert row.read >= 300
    assert row.progress is not None
    assert "(pid " in row.progress.by[0]
    assert line_of(row).startswith(f"running    1_m  Say it.  {row.read:,} documents read; ")


def test_died(documents: Database[Any]) -> None:
    """What is down as running while nobody holds the lease has died; what it has read is still told."""
    one = migration(upgrade=add_one)
    run = begun(documents, one)
    next(run)
    run.close()
    documents[MIGRATIONS].update_one({"_id": "1_m"}, {"$set": {"status": "running", "direction": "down"}})
    (row,) = standings(documents, [one])

    assert (row.status, row.direction, row.open, row.progress) == ("died", "down", True, None)
    assert row.read >= 100
    assert line_of(row).endswith(" documents read  (half rolled back)")


def test_marks(documents: Database[Any]) -> None:
    """Drifted, missing and late stand beside the status; what is pending and has no file is not told of."""
    for name, status in (("2_two", "applied"), ("0_gone", "applied"), ("0_never", "pending")):
        documents[MIGRATIONS].insert_one(
            {"_id": name, "status": status, "checksum": "meaning1:old", "description": "Once."}
        )
    late, drifted, missing = standings(documents, [migration(), migration("2_two")])

    assert (late.late, drifted.drifted, missing.missing, missing.open) == (True, True, True, False)
    assert line_of(late) == "pending    1_m  Say it.  (older than the last applied)"
    assert line_of(drifted) == "applied    2_two  Say it.  (drifted: its file means something else since)"
    assert line_of(missing) == "applied    0_gone  Once.  (missing: it has no file here)"


def test_reader(tmp_path: Path) -> None:
    """A user who may read, and nothing else, is shown how all stands, what a run would do, and past runs."""
    one = migration(upgrade=lambda db: Backfill(scan(db.c, fields=[]), add_one(db).transform))
    with Mongod(tmp_path / "data", "--auth") as mongod:
        with mongod.client() as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with server.connect(f"mongodb://root:root@{mongod.address}/?directConnection=true") as client:
            client.shop.command("createUser", "ann", pwd="secret", roles=["read"])
            client.shop.c.insert_one({"_id": 1})
        with server.connect(f"mongodb://ann:secret@{mongod.address}/shop?directConnection=true") as client:
            db = server.database(client, "shop")
            (row,) = standings(db, [one])
            (planned,) = planning.plan(db, compare([one], {}))
            runs_ = [*history.runs(db, None, show_values=False)]

    assert (row.status, row.read, runs_) == ("pending", 0, [])
    assert planned.trouble == ""
    assert planned.steps[0].writes is not None


def test_hostile_names(documents: Database[Any]) -> None:
    """A name on record that would play with a terminal is spelled out."""
    documents[MIGRATIONS].insert_one({"_id": "1\x1b[31m", "status": "applied", "description": "2\u202e"})
    (row,) = standings(documents, [])

    assert line_of(row).isprintable()


def test_asked(documents: Database[Any]) -> None:
    """What an operator has asked for is told, also where nobody runs the migration."""
    control.ask(documents, "1_m", control.CANCEL, "ann")
    (row,) = standings(documents, [migration()])

    assert (row.status, row.asked) == ("pending", "cancel")
    assert line_of(row).endswith("  (cancel was asked for; `chunkmigrate resume 1_m` takes it back)")
    control.clear(documents, "1_m")
    assert standings(documents, [migration()])[0].asked == ""


def runs(*pairs: tuple[float, int], **more: Any) -> dict[str, Any]:
    second, read = [list(one) for one in zip(*pairs, strict=True)] if pairs else ([], [])
    return {"timeline": {"samples": {"second": second, "read": read}}, "host": "h", "pid": 7, **more}


def test_rate() -> None:
    """The rate is that of the last half minute; one sample says nothing."""
    assert rate_of(runs((0.0, 0), (100.0, 1_000_000), (110.0, 1_000_500), (120.0, 1_001_000))) == 50.0
    assert rate_of(runs((0.0, 0), (100.0, 1_000))) == 10.0
    assert rate_of(runs((5.0, 0))) is None
    assert rate_of({}) is None


def test_several() -> None:
    """Of several runs of one migration documents, totals and rates are added up; all are named."""
    known = {"step": 1, "steps": 2, "step_read": 100, "total": 400}
    two = [runs((0.0, 0), (10.0, 100), progress=known, user=name) for name in ("ann", "bob")]
    found = progress_of(two)

    assert (found.read, found.total, found.documents_per_second) == (200, 800, 20.0)
    assert found.by == ("ann on h (pid 7)", "bob on h (pid 7)")
    assert progress_of([*two, runs(progress=known | {"total": None})]).total is None
    assert progress_of([runs(pod="p")]).by == ("pod p (pid 7)",)
