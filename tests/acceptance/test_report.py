from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from chunkmigrate import profiles
from tests.acceptance.conftest import INCREMENT, CommandLine
from tests.faults.attempts import KILLED, ended
from tests.faults.scenes import scene
from tests.faults.waiting import until
from tests.unit.measured import profile_of
from tests.unit.telling import run_of

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo import MongoClient
    from pymongo.database import Database

QUOTING = INCREMENT.replace(
    "    return UpdateOne",
    '    if document["_id"] == 7:\n        raise KeyError("Ann Example")\n    return UpdateOne',
)
ASIDE = QUOTING.replace("add_one)\n\n", 'add_one, on_error="quarantine")\n\n')
WAIT_SECONDS = 60.0

MIB = 1024 * 1024


def page_of(cli: CommandLine, *arguments: str) -> tuple[Path, str]:
    """The page that `report` writes, and what it prints."""
    done = cli("report", *arguments)
    assert done.returncode == 0, done.stderr
    return cli.folder / done.stdout.splitlines()[-1], done.stdout


def test_page(cli: CommandLine, db: Database[Any]) -> None:
    """`report` writes a page about the latest run; it prints what happened, what to do next, and its path."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": number} for number in range(3_000))
    cli("run", "add_one", "--memory", "512Mi")
    path, printed = page_of(cli)
    run = db.chunkmigrate_runs.find_one()

    assert run is not None
    assert path == cli.folder / "reports" / f"20260101000000_add_one-{run['_id']}.html"
    assert printed.startswith("20260101000000_add_one is applied: 3,000 documents read, 3,000 written in ")
    assert "- The request can shrink to " in printed
    assert "3,000" in path.read_text("utf-8")


def test_elsewhere(cli: CommandLine, db: Database[Any]) -> None:
    """The page goes where it is wanted, and folders are made for it."""
    cli.write(INCREMENT)
    db.c.insert_one({"_id": 1})
    cli("run", "add_one")
    path, _ = page_of(cli, "add_one", "--output", "here/and/there.html")

    assert path == cli.folder / "here" / "and" / "there.html"
    assert path.exists()
    assert not (cli.folder / "reports").exists()


def test_json(cli: CommandLine, db: Database[Any]) -> None:
    """`report --json` prints an object, and nothing else, and writes no file."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": number} for number in range(3_000))
    cli("run", "add_one", "--memory", "256Mi", "--writers", "3")
    done = cli("report", "--json")
    report = json.loads(done.stdout)

    assert done.stderr == ""
    assert (report["format"], report["status"], report["counts"]["read"]) == (1, "applied", 3_000)
    assert (report["writers"], report["memory"]["budget"]) == (3, 256 * MIB)
    assert report["timeline"]["samples"]["read"][-1] == 3_000
    assert report["memory"]["start"] <= report["memory"]["peak"] <= report["memory"]["most"]
    assert not (cli.folder / "reports").exists()


def test_writes_nothing(cli: CommandLine, db: Database[Any]) -> None:
    """`report` leaves the database as it was."""
    cli.write(INCREMENT)
    db.c.insert_one({"_id": 1})
    cli("run", "add_one")
    before = db.command("dbHash")["collections"]
    page_of(cli)

    assert db.command("dbHash")["collections"] == before


def test_killed(tmp_path: Path, mongodb_uri: str, client: MongoClient[Any]) -> None:
    """A run that was killed with SIGKILL is reported at once: how far it was, in how much memory, and how."""
    there = scene(tmp_path, mongodb_uri, client)
    there.prepare()
    with there.midway() as process:
        until(
            lambda: there.db.chunkmigrate_runs.find_one({"timeline": {"$exists": True}}),
            WAIT_SECONDS,
            "a sample",
        )
        process.kill()
        assert ended(process).code == KILLED
        report = json.loads(there.cli("report", "--json").stdout)
        path, printed = page_of(there.cli)
    there.finish()
    later = json.loads(there.cli("report", report["run"], "--json").stdout)
    client.drop_database(there.db.name)

    assert report["status"] == later["status"] == "died"
    assert "was killed" in printed
    assert "When last heard of, " in report["headline"]
    assert 0 < report["counts"]["read"] < there.documents
    assert len(report["timeline"]["samples"]["second"]) >= 2
    assert later["timeline"] == report["timeline"]
    assert report["advice"][0]["title"] == "Find out what ended it"
    assert "It was not heard of after that." in path.read_text("utf-8")


def test_values_withheld(cli: CommandLine, db: Database[Any]) -> None:
    """What a failure says is neither printed nor written unless it is asked for: it may quote a document."""
    cli.write(QUOTING)
    db.c.insert_many({"_id": number} for number in range(10))
    assert cli("run", "add_one").returncode == 1
    path, printed = page_of(cli)
    page, spelled = path.read_text("utf-8"), cli("report", "--json").stdout

    assert "TransformError (KeyError) at the document with _id 7" in printed
    assert "Ann" not in printed + page + spelled
    assert "Ann Example" in page_of(cli, "--show-values")[0].read_text("utf-8")
    assert "Ann Example" in json.loads(cli("report", "--json", "--show-values").stdout)["failure"]["sentence"]


def test_quarantine_summed_up(cli: CommandLine, db: Database[Any]) -> None:
    """Documents that were set aside are counted by reason, with their _ids, and never with what was said."""
    cli.write(ASIDE)
    db.c.insert_many({"_id": number} for number in range(10))
    cli("run", "add_one")
    path, _ = page_of(cli)
    report = json.loads(cli("report", "--json").stdout)

    assert report["quarantine"] == [{"reason": "transform", "documents": 1, "ids": ["7"]}]
    assert "Ann" not in path.read_text("utf-8") + json.dumps(report)


@pytest.mark.parametrize(
    "content", ["", '{"format": 1,', '{"format": 1, "steps": "<script>"}', "[" * 100_000]
)
def test_profile_unreadable(cli: CommandLine, db: Database[Any], content: str) -> None:
    """A profile that cannot be read is a sentence in the report; everything else is there."""
    cli.write(INCREMENT)
    db.c.insert_one({"_id": 1})
    cli("run", "add_one")
    (cli.folder / "profiles").mkdir()
    (cli.folder / "profiles" / "20260101000000_add_one.json").write_text(content)
    path, _ = page_of(cli)

    assert "is no profile" in path.read_text("utf-8")
    assert "is no profile" in json.loads(cli("report", "--json").stdout)["profile_trouble"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"checksum": "sha256:0"}, "the run was of another version of the migration than it."),
        ({"migration": "2_other"}, "it is a profile of 2_other."),
        ({}, None),
    ],
    ids=["another version", "another migration", "of what was run"],
)
def test_profile_of_another(
    cli: CommandLine, db: Database[Any], changed: dict[str, str], sentence: str | None
) -> None:
    """A profile of something else than what was run is not shown; the report says why."""
    name = "20260101000000_add_one"
    cli.write(INCREMENT)
    run = run_of(_id=ObjectId(), migration=name, checksum="sha256:1")
    db.chunkmigrate_runs.insert_one(run)
    known = {"migration": name, "checksum": "sha256:1"} | changed
    profiles.save(profile_of(**known), cli.folder / "profiles" / f"{name}.json")
    page = page_of(cli)[0].read_text("utf-8")
    report = json.loads(cli("report", "--json").stdout)

    assert (report["profile"] is None, "From a profile made" not in page) == (bool(sentence),) * 2
    if sentence:
        assert f"{name}.json cannot be used: {sentence}" in report["profile_trouble"]
        assert f"{name}.json cannot be used: {sentence}" in page
    else:
        assert report["profile_trouble"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "No run is on record in this database yet."),
        (("nothing",), "There is no run nothing, nor one of a migration of that name."),
        (("--json", "--output", "x.html"), "--json prints to the standard output and writes no file"),
    ],
)
def test_refused(cli: CommandLine, arguments: tuple[str, ...], sentence: str) -> None:
    """What cannot be reported as asked gets a sentence and exit 2."""
    done = cli("report", *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {sentence}")
    assert done.stdout == ""


def test_unwritable(cli: CommandLine, db: Database[Any]) -> None:
    """A page that cannot be written gets a sentence that names the file."""
    db.chunkmigrate_runs.insert_one(run_of(_id=ObjectId()))
    (cli.folder / "reports").write_text("in the way")
    done = cli("report")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: reports/20260101000000_cents-")
    assert "cannot be written" in done.stderr
