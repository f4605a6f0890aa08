from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import limits
from tests.acceptance.conftest import CommandLine, last_line
from tests.faults.attempts import AGAIN, DONE, KILLED, attempt
from tests.faults.kinds import NAME

if TYPE_CHECKING:
    from pymongo.database import Database

KIB, MIB = 1024, 1024 * 1024
LIMIT = 64 * MIB

# What is kept is written to: the kernel charges no page that was never touched.
LEAKS = '''"""Add one to every n, and forget to let go."""

from chunkmigrate import Backfill, UpdateOne, scan

kept = []


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    kept.append(b"x" * {leaked})
    return UpdateOne({{"_id": document["_id"]}}, {{"$inc": {{"n": 1}}}})
'''


@pytest.mark.parametrize(
    ("leaked", "documents", "most"), [(20 * KIB, 2_500, 10), (MIB, 100, 30)], ids=["20 KiB", "1 MiB"]
)
def test_leak(cli: CommandLine, db: Database[Any], leaked: int, documents: int, most: int) -> None:
    """A transform that leaks with each document, under a limit the kernel enforces, ends each attempt with
    exit 75 and something gained, before the kernel ends it; run again and again it finishes, exactly.
    """
    limiter = limits.available()
    if limiter is None:
        pytest.skip("no memory cgroup can be made on this machine")
    cli.write(LEAKS.format(leaked=leaked), NAME)
    db.c.insert_many({"_id": n} for n in range(documents))
    run = [sys.executable, "-m", "chunkmigrate", "run", NAME, "--uri", cli.uri]
    codes: list[int] = []
    while DONE not in codes:
        assert len(codes) < most, f"not done after {most} attempts"
        done = limiter.run([*run, "--dir", str(cli.folder / "migrations")], LIMIT, timeout=120)
        codes.append(done.returncode)

        assert done.returncode in (DONE, AGAIN), f"{done.stdout}\n{done.stderr}"
        assert not done.killed_by_kernel
        assert done.returncode == DONE or last_line(done.stdout)["read"] > 0

    assert len(codes) > 1, "memory was never short"
    assert db.c.count_documents({"n": 1}) == db.c.count_documents({}) == documents


DEADLY = '''"""Add one to every n; one document ends the process, as the kernel does for want of memory."""

import os
import signal

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    if document["_id"] == {deadly}:
        os.kill(os.getpid(), signal.SIGKILL)
    return UpdateOne({{"_id": document["_id"]}}, {{"$inc": {{"n": 1}}}})
'''


@pytest.mark.parametrize("deadly", [2_345, 4_999], ids=["in the middle", "last"])
def test_deadly_document(cli: CommandLine, db: Database[Any], deadly: int) -> None:
    """A document that ends the process each time it is worked on is in quarantine after at most seven deaths,
    and every other one is migrated once.
    """
    cli.write(DEADLY.format(deadly=deadly), NAME)
    db.c.insert_many({"_id": n} for n in range(5_000))
    codes = []
    while DONE not in codes and len(codes) < 8:
        last = attempt(cli)
        codes.append(last.code)
        assert last.code in (DONE, KILLED), str(last)

    assert codes[-1] == DONE, f"still dying: {codes}"
    assert codes.count(KILLED) >= 3, "too few deaths to blame a document"
    kept = list(db.chunkmigrate_quarantine.find())
    assert [(document["document"], document["reason"]) for document in kept] == [(deadly, "deaths")]
    assert db.c.count_documents({"n": 1}) == 4_999
    assert db.c.find_one({"_id": deadly}) == {"_id": deadly}
