"""What commands say of a migration that is half rolled back: where that stands, and how it goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from chunkmigrate import account, control, evidence, lastruns, lease_record, quarantine
from chunkmigrate.cli import app
from chunkmigrate.holder import Holder
from chunkmigrate.ledger import MIGRATIONS, ROLLED_BACK, RUNS, STOPPED, Ledger
from chunkmigrate.memory import Sensor, process_rss
from chunkmigrate.migration import discover
from chunkmigrate.rollback import way_back
from chunkmigrate.runner import Run
from tests.integration.undone import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymongo.database import Database

    from chunkmigrate.report import Report

NAME = "20260101000000_half"
SOURCE = '''"""Give each its number."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), number, undo=True)


def number(one):
    return UpdateOne({"_id": one["_id"]}, {"$set": {"n": one["_id"]}})


def verify(db):
    return True
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the migration, and where commands are given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / f"{NAME}.py").write_text(SOURCE)
    return tmp_path / "migrations"


@pytest.fixture
def say(mongodb_uri: str, db: Database[Any], folder: Path) -> Callable[..., str]:
    """Give a command, and return what it says."""
    base, _, options = mongodb_uri.partition("/?")

    def say(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env={"MONGODB_URI": f"{base}/{db.name}?{options}"})
        return " ".join(f"{result.output} {result.exception or ''}".split())

    assert folder.is_dir()
    return say


def run(db: Database[Any], folder: Path, *, back: bool, looks: int = 10**9) -> Run:
    """Apply it, or roll it back, until it has looked so often whether it is to stop."""
    [migration] = discover(folder)
    direction = {}
    if back:
        way, migration = way_back(migration, db, Ledger(db).entry(NAME))
        direction = {"direction": way}
    left = iter(range(looks))
    sensor = Sensor(memory=process_rss()() + 448 * MIB)
    run = Run(migration, db, sensor, writers=1, stopped=lambda: next(left, None) is None, **direction)
    for _ in run:
        pass
    return run


@pytest.fixture
def half(db: Database[Any], folder: Path) -> int:
    """Roll it back, but not all; how many documents are as they were before."""
    db.c.insert_many({"_id": n} for n in range(3_000))
    run(db, folder, back=False)
    assert run(db, folder, back=True, looks=15).outcome.status == STOPPED
    done = db.c.count_documents({"n": {"$exists": False}})
    assert 0 < done < 3_000
    return done


def told(db: Database[Any]) -> Report:
    return account.of(evidence.gathered(db, NAME))


def test_where_it_stands(db: Database[Any], say: Callable[..., str], half: int) -> None:
    """What is told of its place is the rollback's, wherever it is told."""
    read = f"({half:,} documents read)"

    assert control.stands(db, NAME).read == lastruns.stand(db, NAME).read == half
    assert read in say("pause", "half")
    assert read in say("resume", "half")
    marked = say("mark", "half", "--applied")
    assert "It is half rolled back, and stands behind _id" in marked
    assert read in marked


def test_how_it_goes_on(db: Database[Any], say: Callable[..., str], half: int) -> None:
    """The command that is told to go on with it is the one that does."""
    back, forth = f"chunkmigrate rollback {NAME}", f"chunkmigrate run {NAME}"
    assert say("cancel", "half")
    said = [say(*words) for words in (["resume", "half"], ["verify", "half"], ["baseline", "--yes"])]
    said += [" ".join(one.text for one in told(db).advice)]

    assert half
    assert all(back in one and forth not in one for one in said)
    assert told(db).headline.startswith(f"The rollback of {NAME} was stopped as asked")


def test_killed(db: Database[Any], half: int) -> None:
    """Of a rollback that was killed it is told what it was about to do, and where."""
    db[RUNS].update_one({"direction": "down"}, {"$set": {"status": "running"}})
    found, last = evidence.gathered(db, NAME), lastruns.known(db, NAME)[-1]

    assert found.run["status"] == last.status == "died"
    assert found.left
    assert found.left.intent
    assert f"'document': {half - 1}" in str(last.after)
    assert last.through


def test_set_aside(db: Database[Any], folder: Path, say: Callable[..., str], half: int) -> None:
    """What a rollback has set aside is listed with its migration, and told with the rollback alone."""
    aside = {"step": 0, "reason": "r", "message": "m", "attempts": 1, "at": db[RUNS].find_one()["began"]}
    id_ = {"migration": f"{NAME}:down", "step": 0, "document": 7}
    db[quarantine.COLLECTION].insert_one({"_id": id_, **aside, "migration": f"{NAME}:down", "document": 7})

    assert half
    assert json.loads(say("quarantine", "list", "half", "--json"))["document"] == "7"
    assert [one["documents"] for one in told(db).quarantine] == [1]
    assert "was not rolled back" in " ".join(one.text for one in told(db).advice)
    first = db[RUNS].find_one({"direction": "up"})
    assert not evidence.gathered(db, str(first["_id"])).quarantine
    assert run(db, folder, back=True).outcome.status == ROLLED_BACK


def test_marked_by(say: Callable[..., str]) -> None:
    """The history names who has marked a migration as it names who has run one."""
    say("mark", "half", "--applied")
    [line] = say("history", "--json").splitlines()

    assert json.loads(line)["by"] == control.operator()


def test_left_by_one_that_is_gone(db: Database[Any], folder: Path, say: Callable[..., str]) -> None:
    """What undo keeps of a migration can be dropped when it has neither file nor entry any more."""
    db.c.insert_one({"_id": 1})
    run(db, folder, back=False)
    (folder / f"{NAME}.py").unlink()
    assert "left the applied set" in say("mark", NAME, "--pending", "--yes")
    assert not Ledger(db).entry(NAME)

    assert "1 record was dropped" in say("undo", "drop", NAME, "--yes")
    assert not db.chunkmigrate_undo.count_documents({})


def test_over_before_it_paused(
    db: Database[Any],
    folder: Path,
    say: Callable[..., str],
    half: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rollback that comes to its end before it could be paused leaves no wish behind for the next run."""
    run(db, folder, back=True)
    assert half
    other = Holder(token="t", host="elsewhere", pid=7, started="1", boot="x")
    over = lease_record.present(db, NAME)
    lease_record.claim(lease_record.collection_of(db), NAME, other, 30, over=over)
    db[MIGRATIONS].update_one({"_id": NAME}, {"$set": {"status": "running"}})

    def end(*_: Any, **__: Any) -> list[Any]:
        db[MIGRATIONS].update_one({"_id": NAME}, {"$set": {"status": "pending"}})
        return []

    monkeypatch.setattr(control, "answered", end)

    assert f"{NAME} was rolled back before it could be paused." in say("pause", "half")
    assert control.clear(db, NAME) is None
