"""JSON: what each command prints is what docs/json.md and docs/schemas say, no more and no less."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests import schemas
from tests.acceptance.conftest import INCREMENT, CommandLine, started
from tests.acceptance.test_control import POISON, SLOW, eventually
from tests.acceptance.test_jobs_live import operating
from tests.recorded import scenario

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

VERIFY = '\n\ndef verify(db):\n    return True if db.c.find_one({"n": 1}) else "nothing has n"\n'


def valid(name: str, out: str) -> list[dict[str, Any]]:
    """The lines a command has printed, each of them as the schema has it."""
    validator = Draft202012Validator(schemas.read(name))
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines
    for line in lines:
        assert not [error.message for error in validator.iter_errors(line)], line
    return lines


def test_page() -> None:
    """docs/json.md is what `make docs` writes from the schemas."""
    assert (schemas.FOLDER.parent / "json.md").read_text("utf-8") == schemas.page(), "make docs"
    assert sorted(schemas.NAMES) == sorted(path.stem for path in schemas.FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", schemas.NAMES)
def test_strict(name: str) -> None:
    """A schema is one, and no object in it may have a field it does not name, but where fields have names of
    their own: of reasons, of signals.
    """
    schema = schemas.read(name)
    Draft202012Validator.check_schema(schema)
    found = [*schemas.objects(schema)]

    assert found
    for one in found:
        assert "additionalProperties" in one
        if "properties" in one:
            assert one["additionalProperties"] is False
            assert set(one["required"]) <= set(one["properties"])


@pytest.fixture
def project(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A migration that sets two of a hundred documents aside, and verifies."""
    cli.write(POISON + VERIFY)
    db.c.insert_many({"_id": n, "bad": n in (3, 7)} for n in range(100))
    return cli


def test_before_a_run(project: CommandLine) -> None:
    """What status, plan, verify and a dry run print of a pending migration is as documented."""
    assert valid("status", project("status", "--json").stdout)[0]["status"] == "pending"
    assert valid("plan", project("plan", "--json").stdout)[0]["steps"][0]["documents"] == 100
    assert not valid("verify", project("verify", "add_one", "--json").stdout)[0]["passed"]
    told = valid("dry-run", project("run", "--dry-run").stdout)
    assert [line["event"] for line in told] == ["verifies", "dry_run"]


def test_after_a_run(project: CommandLine, db: Database[Any]) -> None:
    """What a run prints, and what is printed of it afterwards, is as documented."""
    told = valid("run", project("run").stdout)
    assert [one for line in told if (one := line["event"]) != "warning"] == ["started", "progress", "applied"]
    assert valid("status", project("status", "--json").stdout)[0]["quarantined"] == 2
    assert valid("history", project("history", "--json").stdout)[0]["status"] == "applied"
    assert len(valid("quarantine-list", project("quarantine", "list", "--json").stdout)) == 2
    assert valid("verify", project("verify", "add_one", "--json").stdout)[0]["passed"]
    db.c.update_many({}, {"$set": {"bad": False}})
    assert valid("run", project("quarantine", "retry", "add_one").stdout)[-1]["event"] == "readmitted"
    assert valid("tune", project("tune", "add_one", "--json").stdout)
    report = json.dumps(json.loads(project("report", "--json").stdout))
    assert valid("report", report)[0]["status"] == "applied"


def test_of_runs_that_fail(cli: CommandLine, db: Database[Any]) -> None:
    """What a run prints that fails, and what is printed of it, is as documented."""
    cli.write(INCREMENT.replace("    return Up", "    raise ValueError\n    return Up"))
    db.c.insert_one({"_id": 1})

    assert valid("run", cli("run").stdout)[-1]["event"] == "failed"
    assert valid("history", cli("history", "--json").stdout)[0]["failure"] == "TransformError"
    report = json.dumps(json.loads(cli("report", "--json").stdout))
    assert valid("report", report)[0]["failure"]["cause"] == "ValueError"


def test_while_it_runs(cli: CommandLine, db: Database[Any]) -> None:
    """What status prints of a running or paused migration, and a run that is stopped, is as documented."""
    cli.write(SLOW)
    (cli.folder / "slow").touch()
    db.c.insert_many({"_id": n} for n in range(4_000))
    process = cli.start("run", "--workers", "1")
    try:
        started(process)
        eventually(lambda: db.c.count_documents({"n": 1}) > 0)
        going = valid("status", cli("status", "--json").stdout)[0]
        assert cli("pause", "add_one").returncode == 0
        paused = valid("status", cli("status", "--json").stdout)[0]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert going["progress"]["by"]
    assert paused["asked"] == "pause"
    assert valid("run", out)[-1]["event"] == "stopped"


def test_of_workers(cli: CommandLine, db: Database[Any]) -> None:
    """What several workers print, each line with its worker's number, is as documented."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(2_000))
    told = valid("run", cli("run", "--workers", "2").stdout)

    assert {line.get("worker") for line in told} >= {1, 2, None}
    assert told[-1]["workers"] == 2


def test_of_a_profile(cli: CommandLine, db: Database[Any]) -> None:
    """What profile and tune print is as documented, and so is a report that has a profile."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(500))

    assert valid("profile", cli("profile", "add_one", "--sample", "100", "--json").stdout)
    assert valid("tune", cli("tune", "add_one", "--json").stdout)
    assert cli("run").returncode == 0
    assert valid("report", json.dumps(json.loads(cli("report", "--json").stdout)))[0]["profile"]


def test_of_a_rollback(cli: CommandLine, db: Database[Any]) -> None:
    """What a rollback prints, and what is printed of what is kept for one, is as documented."""
    cli.write(INCREMENT.replace(", add_one)", ", add_one, undo=True)"))
    db.c.insert_many({"_id": n} for n in range(10))
    assert cli("run").returncode == 0
    kept = valid("undo-list", cli("undo", "list", "--json").stdout)[0]
    db.c.update_one({"_id": 3}, {"$set": {"n": 7}})
    out = cli("rollback", "add_one").stdout
    told = valid("run", "".join(line for line in out.splitlines(keepends=True) if line.startswith("{")))
    left = valid("undo-list", cli("undo", "list", "add_one", "--json").stdout)[0]
    past = valid("history", cli("history", "--json").stdout)[-1]
    report = valid("report", json.dumps(json.loads(cli("report", "--json").stdout)))[0]

    assert (kept["documents"], left["document"]) == (10, "3")
    assert (told[-1]["event"], past["status"], report["status"]) == (
        "rolled_back",
        "rolled back",
        "rolled back",
    )
    assert valid("status", cli("status", "--json").stdout)[0]["status"] == "pending"


def test_of_an_import(cli: CommandLine, db: Database[Any]) -> None:
    """What an import prints, and a dry run of it, is as documented; a dry run puts nothing on record."""
    cli.write(INCREMENT)
    cli.write(INCREMENT, "20260102000000_add_two")
    at = datetime(2024, 5, 1, tzinfo=UTC)
    db.changelog.insert_one({"fileName": "20260101000000_add_one.js", "appliedAt": at})
    command = ("import", "--from", "migrate-mongo", "--json")
    tried = valid("import", cli(*command, "--dry-run").stdout)[0]
    left = db.chunkmigrate_migrations.count_documents({})
    done = valid("import", cli(*command).stdout)[0]

    assert (tried["imported"], left, done["imported"]) == (False, 0, True)
    assert done["marks"] == [{"migration": "20260101000000_add_one", "at": "2024-05-01T00:00:00.000+00:00"}]
    assert done["pending"] == ["20260102000000_add_two"]


def test_of_lint(cli: CommandLine) -> None:
    """What lint prints is as documented."""
    cli.write(INCREMENT.replace('"""Add one to every n."""', ""))

    assert valid("lint", cli("lint", "--json", MONGODB_URI="").stdout)


@pytest.mark.parametrize("name", ["exit75-ignored-then-succeeds", "oomkilled", "unschedulable"])
def test_of_a_job(tmp_path: Path, name: str) -> None:
    """What job watch and job diagnose print is as documented."""
    with operating(tmp_path, scenario(name)) as operator:
        if name != "unschedulable":
            watched = operator("watch", name, "--logs", "--json").stdout.splitlines(keepends=True)
            assert valid("job-watch", "".join(line for line in watched if '"event"' in line))
            assert valid("job-diagnose", "".join(line for line in watched if '"object"' in line))
        assert valid("job-diagnose", operator("diagnose", name, "--json").stdout)
