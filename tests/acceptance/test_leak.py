from __future__ import annotations

import re
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
ATTEMPTS = 30

# What is kept is written to: the kernel charges no page that was never touched.
LEAKS = '''"""Add one to every n, and forget to let go."""

from chunkmigrate import Backfill, UpdateOne, scan

kept = []


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    if document["_id"] >= {since}:
        kept.append(b"x" * {leaked})
    return UpdateOne({{"_id": document["_id"]}}, {{"$inc": {{"n": 1}}}})
'''


@pytest.mark.parametrize(
    ("leaked", "since", "leaking"),
    [
        (20 * KIB, 0, 2_500),
        (MIB, 0, 100),
        (256 * KIB, 2_000, 240),
        (MIB, 2_000, 60),
        (4 * MIB, 2_000, 12),
    ],
)
def test_leak(cli: CommandLine, db: Database[Any], leaked: int, since: int, leaking: int) -> None:
    """A transform that leaks with each document, from the first or from a later one on, under a limit the
    kernel enforces, ends each attempt with exit 75 and something gained, before the kernel ends it; run again
    and again it finishes, exactly.
    """
    documents = since + leaking
    limiter = limits.available()
    if limiter is None:
        pytest.skip("no memory cgroup can be made on this machine")
    cli.write(LEAKS.format(leaked=leaked, since=since), NAME)
    db.c.insert_many({"_id": n} for n in range(documents))
    run = [sys.executable, "-m", "chunkmigrate", "run", NAME, "--uri", cli.uri]
    codes: list[int] = []
    while DONE not in codes:
        assert len(codes) < ATTEMPTS, f"not done after {ATTEMPTS} attempts"
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


UNCLEAN = re.compile(
    r"ended without a word: killed, or cut off from MongoDB while working on the documents "
    r"(behind _id \d+|from the first document)( up to _id \d+)?, at [\d.]+ MiB of [\d.]+ [MG]iB\. "
    r".*chunks of at most [\d,]+ documents"
)


@pytest.mark.parametrize("deadly", [0, 2_345, 4_999], ids=["first", "in the middle", "last"])
def test_deadly_document(cli: CommandLine, db: Database[Any], deadly: int) -> None:
    """A document that ends the process each time it is worked on is in quarantine after at most five deaths,
    and every other one is migrated once.
    """
    cli.write(DEADLY.format(deadly=deadly), NAME)
    db.c.insert_many({"_id": n} for n in range(5_000))
    codes: list[int] = []
    while DONE not in codes and len(codes) < 8:
        last = attempt(cli)
        assert not codes or UNCLEAN.search(last.out), str(last)
        codes.append(last.code)
        assert last.code in (DONE, KILLED), str(last)

    assert codes[-1] == DONE, f"still dying: {codes}"
    assert 3 <= codes.count(KILLED) <= 5, "a document is to blame after three deaths with it alone at work"
    assert f"_id {deadly} alone was at work, for the third time" in last.out
    kept = list(db.chunkmigrate_quarantine.find())
    assert [(document["document"], document["reason"]) for document in kept] == [(deadly, "deaths")]
    assert db.c.count_documents({"n": 1}) == 4_999
    assert db.c.find_one({"_id": deadly}) == {"_id": deadly}
