"""`verify(db)` as an author writes it: at the end of a run, and alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine, last_line

if TYPE_CHECKING:
    from pymongo.database import Database

NAME = "20260101000000_add_one"
VERIFY = """

def verify(db):
    wrong = db.c.count_documents({"n": {"$ne": 1}})
    return True if not wrong else f"{wrong} have another n"
"""
RAISES = '\n\ndef verify(db):\n    raise LookupError("Ada Lovelace")\n'
WRITES = "\n\ndef verify(db):\n    db.c.delete_many({})\n    return True\n"


@pytest.fixture
def project(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A project with one migration, which verifies, and ten documents."""
    cli.write(INCREMENT + VERIFY)
    db.c.insert_many({"_id": n} for n in range(10))
    return cli


def entry(db: Database[Any]) -> dict[str, Any]:
    return db.chunkmigrate_migrations.find_one({"_id": NAME}) or {}


def test_verify(project: CommandLine, db: Database[Any]) -> None:
    """A run verifies what it did; `verify` does so alone, with exit 0 or 1, and records what it found."""
    before, ran, after = (
        project("verify", "add_one"),
        project("run", "add_one"),
        project("verify", "add_one"),
    )

    assert (before.returncode, ran.returncode, after.returncode) == (1, 0, 0)
    assert f"The verification of {NAME} failed: 10 have another n." in before.stderr
    assert entry(db)["verification"]["passed"] is True
    assert f"{NAME} passes its verification, in " in after.stdout

    db.c.update_one({"_id": 3}, {"$set": {"n": 5}})
    wrong = project("verify", "add_one")

    assert wrong.returncode == 1
    assert f"The verification of {NAME} failed: 1 have another n. Nothing was changed." in wrong.stderr
    assert entry(db)["verification"]["sentence"] == "1 have another n."
    assert entry(db)["status"] == "applied"


def test_run_fails(project: CommandLine, db: Database[Any]) -> None:
    """A run whose verification fails ends with 1, and says why; the next verifies, and repeats nothing."""
    db.c.insert_one({"_id": "odd", "n": 1})
    failed = project("run", "add_one")

    assert failed.returncode == 1
    assert last_line(failed.stdout)["event"] == "failed"
    assert f"The verification of {NAME} failed: 1 have another n. Its changes are committed" in failed.stderr

    db.c.update_one({"_id": "odd"}, {"$set": {"n": 1}})
    alone, again = project("verify", "add_one"), project("run", "add_one")

    assert (alone.returncode, again.returncode) == (0, 0)
    assert f"It is failed; `chunkmigrate run {NAME}` applies it." in alone.stdout
    assert last_line(again.stdout)["read"] == 0
    assert db.c.distinct("n") == [1]


def test_raises(project: CommandLine) -> None:
    """What verify(db) raises is named with its line, and what it says only where that is asked for."""
    project.write(INCREMENT + RAISES)
    for command in ("verify", "run"):
        discreet = project(command, "add_one")
        whole = project(command, "add_one", "--show-values")

        assert (discreet.returncode, whole.returncode) == (1, 1)
        assert "verify(db) raised LookupError." in discreet.stderr
        assert f"It was raised in migrations/{NAME}.py, line 15." in discreet.stderr
        assert "Ada" not in discreet.stdout + discreet.stderr
        assert "verify(db) raised LookupError: Ada Lovelace" in whole.stderr


def test_writes(project: CommandLine, db: Database[Any]) -> None:
    """A verification that would write is refused with a sentence, and has not written."""
    project.write(INCREMENT + WRITES)
    for command in ("verify", "run"):
        done = project(command, "add_one")

        assert done.returncode == 2
        assert f"verify(db) of {NAME} is to look, and was about to change something (delete)." in done.stderr
    assert db.c.count_documents({}) == 10


def test_none(project: CommandLine) -> None:
    """A migration without a verification says how one looks."""
    project.write(INCREMENT)
    done = project("verify", "add_one")

    assert done.returncode == 2
    assert "has no function verify(db), such as:\n\ndef verify(db):" in done.stderr


def test_dry_run(project: CommandLine, db: Database[Any]) -> None:
    """A dry run says that there is a verification, and does not call it."""
    done = project("run", "add_one", "--dry-run")
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert [line["event"] for line in lines] == ["verifies", "dry_run"]
    assert db.chunkmigrate_migrations.count_documents({}) == 0
