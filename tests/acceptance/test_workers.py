"""``run --workers``: several processes, one migration, one budget."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from chunkmigrate import limits
from tests.acceptance.conftest import CommandLine, last_line
from tests.acceptance.test_run import everything
from tests.faults import groups
from tests.faults.kinds import KINDS, Kind
from tests.faults.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

MIB = 1024 * 1024
NAME = "20260101000000_add_one"
DOCUMENTS = 12_000
SECONDS = 60.0

# Some twenty seconds of work for one process; it hurries once it need not be watched any more.
SLOW = '''"""Add one to every n, slowly."""

import os

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    sum(range(150_000 if os.path.exists("slow") else 0))
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})
'''


@pytest.fixture
def slow(cli: CommandLine, db: Database[Any]) -> CommandLine:
    cli.write(SLOW)
    (cli.folder / "slow").touch()
    db.c.insert_many({"_id": n} for n in range(DOCUMENTS))
    return cli


@contextmanager
def working(cli: CommandLine, db: Database[Any], *options: str) -> Iterator[subprocess.Popen[str]]:
    """Four workers that have begun; whatever happens, none outlives the test."""
    process = cli.start("run", "add_one", "--workers", "4", "--memory", "512Mi", *options)
    try:
        until(lambda: db.c.find_one({"n": 1}) or process.poll() is not None, SECONDS, "the first document")
        yield process
    finally:
        for one in [*groups.workers(process), process]:
            with suppress(psutil.Error, ProcessLookupError):
                one.kill()
        process.communicate()


def hurry(cli: CommandLine) -> None:
    (cli.folder / "slow").unlink(missing_ok=True)


def exact(db: Database[Any]) -> bool:
    return db.c.count_documents({"n": 1}) == db.c.count_documents({}) == DOCUMENTS


def entry(db: Database[Any]) -> dict[str, Any]:
    return db.chunkmigrate_migrations.find_one() or {}


def test_killed(slow: CommandLine, db: Database[Any]) -> None:
    """With a worker killed every now and then all partitions are done, each document once, and the
    migration is marked as applied by one.
    """
    chance = random.Random(5)
    with working(slow, db) as process:
        for kill in range(6):
            until(lambda: len(groups.workers(process)) == 4, SECONDS, "four workers")
            chance.choice(groups.workers(process)).kill()
            # Time for the next one to be at something; how much, is a matter of chance anyway.
            time.sleep(chance.uniform(0.1, 1.0))
            assert process.poll() is None, f"ended after {kill} kills"
        hurry(slow)
        out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, err
    assert exact(db)
    assert entry(db)["status"] == "applied"
    assert db.chunkmigrate_runs.count_documents({"status": "running"}) == 0
    assert last_line(out)["event"] == "applied"
    assert "killed by signal 9; another takes its place" in err


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_killed_of_any_kind(cli: CommandLine, db: Database[Any], kind: Kind) -> None:
    """Whatever a migration writes, in one step or several, four workers that are killed do it once."""
    groups.sweep(cli, db, kind, random.Random(kind.name), kills=3, documents=8_000)


def test_stopped(slow: CommandLine, db: Database[Any]) -> None:
    """SIGTERM stops all workers at a checkpoint with exit code 75; a run of its own finishes the rest."""
    with working(slow, db) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, last_line(out)["event"]) == (75, "stopped"), err
    assert entry(db)["status"] == "stopped"
    assert not exact(db)
    hurry(slow)
    again = slow("run", "add_one")
    assert again.returncode == 0, again.stderr
    assert exact(db)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_early(cli: CommandLine, db: Database[Any], number: signal.Signals) -> None:
    """A stop that finds the workers still starting is no failure, and none is started again."""
    cli.write(SLOW)
    db.c.insert_many({"_id": n} for n in range(DOCUMENTS))
    (cli.folder / "slow").touch()
    process = cli.start("run", "add_one", "--workers", "2", "--memory", "512Mi")
    until(lambda: len(groups.workers(process)) == 2, SECONDS, "two workers")
    for one in [process, *groups.workers(process)]:  # as a terminal sends it to all of them
        one.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 75, err
    assert last_line(out)["event"] == "stopped"
    assert "another takes its place" not in err


def test_unheard(cli: CommandLine, db: Database[Any]) -> None:
    """Workers come to their end whatever becomes of what they say: where nobody reads it, where it is no
    text, and where a process they have started holds their output open.
    """
    chatty = """
    if document["_id"] == 0:
        os.write(1, b"\\xff\\n")
        os.write(2, b"\\xff\\n")
        subprocess.Popen(["sleep", "120"])
"""
    cli.write(
        SLOW.replace("import os\n", "import os\nimport subprocess\n").replace("    sum(", chatty + "    sum(")
    )
    db.c.insert_many({"_id": n} for n in range(2_000))
    process = cli.start("run", "add_one", "--workers", "2", "--memory", "512Mi")
    try:
        for stream in (process.stdout, process.stderr):
            assert stream
            stream.close()
        until(lambda: process.poll() is not None, SECONDS, "the end")
    finally:
        for one in psutil.process_iter(["cmdline", "cwd"]):
            if one.info["cmdline"] == ["sleep", "120"] and one.info["cwd"] == str(cli.folder):
                one.kill()
        process.kill()
        process.wait()

    assert db.c.count_documents({"n": 1}) == 2_000
    assert entry(db)["status"] == "applied"


def test_shares_one_document(slow: CommandLine, db: Database[Any]) -> None:
    """A worker's failure ends the others at a checkpoint, and its sentence is the run's."""
    slow.write(
        SLOW.replace("    sum(", "    if document['_id'] == 7_000:\n        raise ValueError\n    sum(")
    )
    with working(slow, db) as process:
        hurry(slow)
        out, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 1
    assert "_id 7000" in last_line(out)["message"]
    assert entry(db)["status"] == "failed"
    assert db.c.count_documents({"n": {"$gt": 1}}) == 0


def test_paused(slow: CommandLine, db: Database[Any]) -> None:
    """Pause and resume reach all workers, from another terminal."""
    at_work = {"released": False, "_id.partition": {"$gt": 0}}
    with working(slow, db) as process:
        until(lambda: db.chunkmigrate_leases.count_documents(at_work) == 4, SECONDS, "four at work")
        paused = slow("pause", "add_one")
        before = db.c.count_documents({"n": 1})
        status = json.loads(slow("status", "--json").stdout)["status"]
        hurry(slow)
        resumed = slow("resume", "add_one")
        process.communicate(timeout=SECONDS)

    assert "3 more" in paused.stdout
    assert " partitions done (" in paused.stdout
    assert status == "paused"
    assert before < DOCUMENTS
    assert resumed.returncode == process.returncode == 0
    assert exact(db)


def test_on_a_terminal(cli: CommandLine, db: Database[Any]) -> None:
    """On a terminal people read sentences, of each worker and of all."""
    cli.write(SLOW)
    db.c.insert_many({"_id": n} for n in range(1_000))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chunkmigrate", "run", "add_one", "--workers", "2", "--memory", "512Mi"],
        cwd=cli.folder,
        env=os.environ | {"MONGODB_URI": cli.uri},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = everything(ours)

    assert process.wait(SECONDS) == 0
    assert re.search(r"^worker [12]: 20260101000000_add_one in \d+ MiB", shown, re.MULTILINE)
    assert re.search(r"^worker [12]: 20260101000000_add_one applied: ", shown, re.MULTILINE)
    assert shown.strip().splitlines()[-1].startswith("2 workers: 1,000 documents read, 1,000 written")
    assert "{" not in shown


def test_orphaned(slow: CommandLine, db: Database[Any]) -> None:
    """Workers end at a checkpoint when whoever has started them is killed."""
    with working(slow, db) as process:
        workers = groups.workers(process)
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=SECONDS)

    assert not alive
    assert entry(db)["status"] == "stopped"
    hurry(slow)
    assert slow("run", "add_one", "--workers", "2").returncode == 0
    assert exact(db)


def test_embedded(cli: CommandLine) -> None:
    """Where no server is named all workers use one embedded server."""
    cli.write(SLOW)
    ended = replace(cli, uri="")("run", "add_one", "--workers", "2", "--memory", "512Mi")

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("using an embedded MongoDB") == 1


def test_orphaned_at_birth(cli: CommandLine, db: Database[Any]) -> None:
    """A worker whose parent has died before it could be tied to it does not begin."""
    cli.write(SLOW)
    db.c.insert_one({"_id": 1})
    ended = cli("run", "add_one", CHUNKMIGRATE_SHARE="1/2/0/1")

    assert ended.returncode == 75
    assert db.list_collection_names() == ["c"]


def test_too_small(cli: CommandLine, db: Database[Any]) -> None:
    """A budget that is too small for so many is refused before anything begins, with what would do."""
    cli.write(SLOW)
    db.c.insert_one({"_id": 1})
    ended = cli("run", "add_one", "--workers", "4", "--memory", "128Mi")

    assert ended.returncode == 2
    assert "too little for 4 workers" in ended.stderr
    assert db.list_collection_names() == ["c"]


LARGE = '''"""Count what is in an order."""

from chunkmigrate import Backfill, ReplaceOne, scan


def upgrade(db):
    return Backfill(scan(db.c), counted)


def counted(order):
    return ReplaceOne({"_id": order["_id"]}, order | {"count": len(order["lines"])})
'''


def test_one_budget(cli: CommandLine, db: Database[Any]) -> None:
    """Four workers finish inside one limit that the kernel enforces on all of them together."""
    limiter = limits.available()
    if limiter is None:
        pytest.skip("no memory cgroup can be made on this machine")
    cli.write(LARGE)
    lengths = random.Random(3).choices([1, 100, 3_000], [100, 20, 1], k=6_000)
    lines = [{"sku": f"s{line}", "n": line, "price": 1.5} for line in range(3_000)]
    db.c.insert_many({"_id": n, "lines": lines[:length]} for n, length in enumerate(lengths))
    run = [sys.executable, "-m", "chunkmigrate", "run", "add_one", "--uri", cli.uri, "--workers", "4"]
    ended = limiter.run([*run, "--dir", str(cli.folder / "migrations")], 288 * MIB, timeout=120)

    assert (ended.returncode, ended.killed_by_kernel) == (0, False), ended.stderr
    assert db.c.count_documents({"count": {"$exists": True}}) == len(lengths)
