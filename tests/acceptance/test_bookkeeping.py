"""What is applied, said without running it: mark, baseline and import, as an operator types them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import lease_record, server
from chunkmigrate.holder import Holder
from tests.acceptance.conftest import INCREMENT, CommandLine, answered
from tests.acceptance.test_control import eventually

if TYPE_CHECKING:
    from pymongo.database import Database

NAME = "20260101000000_add_one"
TREE = Path(__file__).parents[1] / "data" / "pymongo_migrate"

# By what they depend on, and by name where they are free; the one merged late comes behind both branches.
ORDER = [
    "20190101090000_initial",
    "20190214101500_normalise_emails",
    "20190301120000_order_status",
    "20190205080000_spent",
    "20190510070000_archive",
    "20190611160000_rename_archive",
    "20190702110000_loyal",
]


def status(db: Database[Any], name: str = NAME) -> str | None:
    entry = db.chunkmigrate_migrations.find_one({"_id": name})
    return entry and entry["status"]


def history(db: Database[Any]) -> list[tuple[str, str, str]]:
    """What was marked: how, by which command, and why."""
    lines = db.chunkmigrate_runs.find({"origin": {"$exists": True}}).sort([("began", 1), ("_id", 1)])
    return [(line["status"], line["origin"], line["reason"]) for line in lines]


@pytest.fixture
def project(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A project with one migration and ten documents."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(10))
    return cli


def test_mark(project: CommandLine, db: Database[Any]) -> None:
    """What is marked as applied is not run; marked as pending it is, from its first document on."""
    marked = project("mark", "add_one", "--applied", "--reason", "done by hand")
    again, ran = project("mark", "add_one", "--applied"), project("run", "add_one")

    assert (marked.returncode, again.returncode, ran.returncode) == (0, 0, 0)
    assert f"{NAME} is marked as applied." in marked.stdout
    assert again.stdout == f"{NAME} is applied already; nothing was changed.\n"
    assert db.c.distinct("n") == []

    back = project("mark", "add_one", "--pending", "--yes")

    assert "the next run begins with the first document again" in back.stdout
    assert project("run", "add_one").returncode == 0
    assert project("mark", "add_one", "--pending", "--yes").returncode == 0
    assert project("run", "add_one").returncode == 0
    assert db.c.distinct("n") == [2]
    assert history(db) == [
        ("marked applied", "marked", "done by hand"),
        ("marked pending", "marked", ""),
        ("marked pending", "marked", ""),
    ]
    assert "applied: 10 documents read" in project("report").stdout


def test_mark_asks(project: CommandLine, db: Database[Any]) -> None:
    """`--pending` asks first, since checkpoints are lost; without a yes, or in a script, nothing happens."""
    project("mark", "add_one", "--applied")
    script = subprocess.run(
        [sys.executable, "-m", "chunkmigrate", "mark", "add_one", "--pending"],
        cwd=project.folder,
        env=os.environ | {"MONGODB_URI": project.uri},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert script.returncode == 2
    assert f"use `mark {NAME} --pending --yes`" in script.stderr
    assert "Nothing was changed." in answered(project, "n", "mark", "add_one", "--pending")
    assert status(db) == "applied"
    assert "is marked as pending" in answered(project, "y", "mark", "add_one", "--pending")
    assert status(db) == "pending"


@pytest.mark.parametrize("which", [[], ["--applied", "--pending"]])
def test_mark_which(project: CommandLine, which: list[str]) -> None:
    """Neither of the two, or both, is refused."""
    done = project("mark", "add_one", *which)

    assert done.returncode == 2
    assert "Say which: mark NAME --applied, or mark NAME --pending." in done.stderr


def test_mark_held(project: CommandLine, db: Database[Any]) -> None:
    """While a run holds the lease nothing is marked, by no command: exit 5, and who holds it."""
    opened = server.database(db.client, db.name)
    over, other = lease_record.present(opened, NAME), Holder(token="t", host="elsewhere", pid=7)
    lease_record.claim(lease_record.collection_of(opened), NAME, other, 60, over=over)
    db.changelog.insert_one({"fileName": f"{NAME}.js", "appliedAt": datetime(2024, 5, 1, tzinfo=UTC)})
    commands = (
        ["mark", "add_one", "--applied"],
        ["baseline", "--yes"],
        ["import", "--from", "migrate-mongo"],
    )
    for command in commands:
        done = project(*command)

        assert done.returncode == 5, (command, done.stderr)
        assert re.search(rf"Error: {NAME} is being run by host elsewhere \(pid 7\) since", done.stderr)
    assert status(db) is None


def test_mark_paused(project: CommandLine, db: Database[Any]) -> None:
    """What is paused may be gone on with by a run that holds no lease: it is to be ended first."""
    db.chunkmigrate_migrations.insert_one({"_id": NAME, "status": "paused", "checksum": "x"})
    done = project("mark", "add_one", "--pending", "--yes")

    assert done.returncode == 2
    assert f"End it with `chunkmigrate cancel {NAME}`" in done.stderr


def test_mark_cancelled(project: CommandLine, db: Database[Any]) -> None:
    """What is marked as pending stays cancelled where it was, and the command says what allows it again."""
    project("cancel", "add_one")
    project("mark", "add_one", "--applied")
    done = project("mark", "add_one", "--pending", "--yes")

    assert f"after `chunkmigrate resume {NAME}`, for it is cancelled." in done.stdout
    assert project("run", "add_one").returncode == 2
    assert status(db) == "pending"


def test_mark_missing(project: CommandLine, db: Database[Any]) -> None:
    """A migration whose file is gone is marked by its full name, not taken for one it is a part of."""
    project("mark", "add_one", "--applied")
    (project.folder / "migrations" / f"{NAME}.py").rename(
        project.folder / "migrations" / f"{NAME}_hundred.py"
    )
    shown = project("mark", NAME, "--pending", "--yes")

    assert shown.returncode == 0, shown.stderr
    assert f"{NAME} left the applied set." in shown.stdout
    assert status(db) is None
    assert project("mark", NAME[:-1] + "x", "--applied").returncode == 2
    assert [how for how, _, _ in history(db)] == ["marked applied", "marked pending"]


def test_baseline(project: CommandLine, db: Database[Any]) -> None:
    """A baseline shows what it takes as applied, asks, and leaves the rest pending."""
    for number in (2, 3):
        project.write(INCREMENT.replace("one", "two"), f"2026010{number}000000_later")
    project("run", "20260101000000")
    refused = answered(project, "n", "baseline", "20260102000000")

    assert "These are taken as applied, and never run:\n  20260102000000_later  Add two to" in refused
    assert "20260103" not in refused
    assert status(db, "20260102000000_later") is None

    done = project("baseline", "20260102000000", "--yes", "--reason", "restored from production")

    assert done.stdout.endswith("1 migration marked as applied.\n")
    assert history(db) == [("marked applied", "baseline", "restored from production")]
    assert project("run", "--all").returncode == 0
    assert db.c.distinct("n") == [2]
    assert "All 3 are applied already" in project("baseline").stdout


def test_baseline_disagrees(project: CommandLine, db: Database[Any]) -> None:
    """What was begun is nothing a baseline can say; then none is marked."""
    project.write(INCREMENT, "20260102000000_failed")
    db.chunkmigrate_migrations.insert_one(
        {"_id": "20260102000000_failed", "status": "failed", "checksum": "x"}
    )
    done = project("baseline", "--yes")

    assert done.returncode == 2
    assert "20260102000000_failed is failed: somebody has begun it" in done.stderr
    assert status(db) is None


def test_import(project: CommandLine, db: Database[Any]) -> None:
    """An import shows what it would do, does it, does nothing a second time, and what it took is not run."""
    db.changelog.insert_many(
        {"fileName": f"{name}.js", "appliedAt": datetime(2024, 5, 1, 8, tzinfo=UTC)}
        for name in ("20200101-old", NAME)
    )
    project.write(INCREMENT, "20260202000000_new")
    shown = project("import", "--from", "migrate-mongo", "--dry-run")

    assert shown.returncode == 0, shown.stderr
    assert f"{NAME}  applied 2024-05-01 08:00:00 UTC" in shown.stdout
    assert "Without a file here, kept as history: 20200101-old." in shown.stdout
    assert "Not in that history, and pending: 20260202000000_new." in shown.stdout
    assert "2 migrations would be imported; nothing in changelog was changed." in shown.stdout
    assert db.chunkmigrate_migrations.count_documents({}) == 0

    done, again = (project("import", "--from", "migrate-mongo") for _ in range(2))

    assert "2 migrations imported; nothing in changelog was changed." in done.stdout
    assert "0 migrations imported" in again.stdout
    assert project("run", "add_one").returncode == 0
    assert db.c.distinct("n") == []


def test_import_wrong(project: CommandLine, db: Database[Any]) -> None:
    """A tool nobody knows, no history, and a record that is none: each is refused with a sentence."""
    db.log.insert_one({"_id": 7, "fileName": "a.js"})
    unknown = project("import", "--from", "flyway")
    nowhere = project("import", "--from", "beanie")
    malformed = project("import", "--from", "migrate-mongo", "--collection", "log")

    assert [done.returncode for done in (unknown, nowhere, malformed)] == [2, 2, 2]
    assert f"There is no history of beanie in {db.name}.migrations_log" in nowhere.stderr
    assert "The record with _id 7 cannot be imported: its appliedAt is missing" in malformed.stderr


@pytest.fixture
def tree(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A project of pymongo-migrate's: seven modules, two branches that meet, a helper; and its data."""
    shutil.copytree(TREE, cli.folder, dirs_exist_ok=True)
    db.customers.insert_many([{"_id": 1, "email": " Ada@X.org"}, {"_id": 2, "email": "bob@x.org"}])
    db.orders.insert_many(
        {"_id": n, "customer": customer, "status": status, "total": total}
        for n, customer, status, total in (
            (1, "ada@x.org", 2, 120),
            (2, "bob@x.org", 1, 30),
            (3, "bob@x.org", 0, 500),
        )
    )
    return cli


def test_pymongo_migrate(tree: CommandLine, db: Database[Any]) -> None:
    """Modules of pymongo-migrate run as they are: each once, behind all that it depends on."""
    for _ in range(2):
        done = tree("run", "--all")

        assert done.returncode == 0, done.stdout + done.stderr
    ran = [run["migration"] for run in db.chunkmigrate_runs.find().sort("began", 1)]

    assert ran == ORDER
    assert db.counters.find_one() == {"_id": "migrations", "n": len(ORDER)}
    assert [*db.customers.find()] == [
        {"_id": 1, "email": "ada@x.org", "spent": 120, "loyal": True},
        {"_id": 2, "email": "bob@x.org", "spent": 30, "loyal": False},
    ]
    assert [*db.orders.find({}, {"status": 1})] == [{"_id": 2, "status": "paid"}, {"_id": 3, "status": "new"}]
    assert db.orders_archive.count_documents({}) == 1
    assert {"email_1", "loyal_1"} <= {*db.customers.index_information()}


def test_pymongo_migrate_import(tree: CommandLine, db: Database[Any]) -> None:
    """What pymongo-migrate has applied of them is recognised by its name, and only the rest is run."""
    db.counters.insert_one({"_id": "migrations", "n": 6})
    db.orders_archive.insert_one({"_id": 1})
    db.pymongo_migrate.insert_many(
        {"name": name, "applied": datetime(2019, 7, 1, tzinfo=UTC)} for name in ORDER[:-1]
    )
    imported, ran = tree("import", "--from", "pymongo-migrate"), tree("run", "--all")

    assert "6 migrations imported" in imported.stdout
    assert f"Not in that history, and pending: {ORDER[-1]}." in imported.stdout
    assert ran.returncode == 0, ran.stderr
    assert db.counters.find_one() == {"_id": "migrations", "n": 7}
    assert db.chunkmigrate_migrations.count_documents({"status": "applied"}) == 7


def test_mark_overtakes(cli: CommandLine, db: Database[Any]) -> None:
    """A run that was frozen, lost its lease and wakes up after a mark ends with exit 5; it writes nothing."""
    waits = """def add_one(document):
    Path("at_work").touch()
    while not Path("go").exists():
        time.sleep(0.01)
"""
    cli.write(
        INCREMENT.replace("def add_one(document):\n", waits).replace(
            '"""\n', '"""\nimport time\nfrom pathlib import Path\n', 1
        )
    )
    db.c.insert_many({"_id": n} for n in range(10))
    run = cli.start("run", "add_one")
    eventually((cli.folder / "at_work").exists)
    run.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, run.pid, os.WSTOPPED | os.WNOWAIT)
    held = cli("mark", "add_one", "--pending", "--yes")
    taken = cli("unlock", "add_one", "--yes")
    marked = cli("mark", "add_one", "--pending", "--yes")
    (cli.folder / "go").touch()
    run.send_signal(signal.SIGCONT)
    _, err = run.communicate(timeout=60)

    assert (held.returncode, taken.returncode, marked.returncode) == (5, 0, 0), marked.stderr
    assert run.returncode == 5, err
    assert (db.c.distinct("n"), status(db)) == ([], "pending")
