"""`chunkmigrate run --dry-run`, through the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine, last_line

if TYPE_CHECKING:
    from pymongo.database import Database

FAILING = '''"""Fail on one document."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c), double)


def double(document):
    return UpdateOne({"_id": document["_id"]}, {"$set": {"n": document["n"] * 2, "m": 1 // document["n"]}})
'''


def test_dry_run(cli: CommandLine, db: Database[Any]) -> None:
    """`run --dry-run` says what a run would do, changes nothing, leaves no record, and exits 0."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n, "n": 5} for n in range(2_000))
    done = cli("run", "add_one", "--dry-run")
    (told,) = map(json.loads, done.stdout.splitlines())

    assert done.returncode == 0, done.stderr
    assert told["event"] == "dry_run"
    assert (told["read"], told["written"], told["whole"]) == (2_000, 2_000, True)
    assert told["previews"][0]["lines"]
    assert db.c.count_documents({"n": 5}) == 2_000
    assert db.list_collection_names() == ["c"]


def test_then_run(cli: CommandLine, db: Database[Any]) -> None:
    """What was tried is pending still: a run afterwards applies it, once."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(50))
    tried, ran = cli("run", "--all", "--dry-run"), cli("run", "--all")

    assert (tried.returncode, ran.returncode) == (0, 0)
    assert db.c.count_documents({"n": 1}) == 50


def test_peak(cli: CommandLine, db: Database[Any]) -> None:
    """The peak foretold is within 15 % of that of the run, to which its documents add far more."""
    cli.write(INCREMENT.replace(", fields=[]", ""))
    for number in range(300):
        db.c.insert_one({"_id": number, "pad": "x" * 500_000})
    told = last_line(cli("run", "add_one", "--dry-run", "--memory", "256Mi").stdout)
    ran = last_line(cli("run", "add_one", "--memory", "256Mi").stdout)

    assert told["peak"] == pytest.approx(ran["peak"], rel=0.15)
    assert ran["peak"] > 1.3 * ran["start"]


def test_sample(cli: CommandLine, db: Database[Any]) -> None:
    """`--sample` reads about so many documents; without --dry-run, or below 1, it is refused."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(5_000))
    told = json.loads(cli("run", "add_one", "--dry-run", "--sample", "200").stdout)
    alone, none = cli("run", "add_one", "--sample", "5"), cli("run", "add_one", "--dry-run", "--sample", "0")

    assert told["documents"] == 5_000
    assert told["read"] < 1_000
    assert (alone.returncode, none.returncode) == (2, 2)
    assert "use it with --dry-run" in alone.stderr
    assert db.c.count_documents({"n": 1}) == 0


def test_would_stop(cli: CommandLine, db: Database[Any]) -> None:
    """Where a run would stop at a document, the dry run goes on, names it, and exits 1; values are hidden."""
    cli.write(FAILING)
    db.c.insert_many({"_id": n, "n": n} for n in range(300))
    done = cli("run", "add_one", "--dry-run")
    told = json.loads(done.stdout)

    assert done.returncode == 1
    assert (told["read"], told["failures"], told["would_stop"]) == (300, {"transform": 1}, True)
    assert "_id 0" in told["first_failures"][0]
    assert "ZeroDivisionError" in told["first_failures"][0]
    assert "integer division" not in done.stdout
    assert "integer division" in cli("run", "add_one", "--dry-run", "--show-values").stdout


def test_acting(cli: CommandLine, db: Database[Any]) -> None:
    """A migration that acts by itself gets a sentence and exit 2, and nothing of it was sent."""
    cli.write("def upgrade(db):\n    db.c.insert_one({})\n")
    done = cli("run", "add_one", "--dry-run")

    assert done.returncode == 2
    assert "acts by itself (insert)" in done.stderr
    assert "Traceback" not in done.stderr
    assert db.list_collection_names() == []


def test_index(cli: CommandLine, db: Database[Any]) -> None:
    """A filter that matches ten of 50,000 documents gets a warning, with the index that would spare it."""
    cli.write(INCREMENT.replace("scan(db.c,", "scan(db.c, {'status': 'old'},"))
    db.c.insert_many({"_id": n, "status": "old" if n % 5_000 == 0 else "new"} for n in range(50_000))
    told = json.loads(cli("run", "add_one", "--dry-run").stdout)

    assert told["read"] == 10
    assert told["index"]["name"] == "_id_"
    assert "status" in told["index"]["warning"]
