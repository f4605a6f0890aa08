from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine, last_line

if TYPE_CHECKING:
    from pymongo.database import Database

MIB = 1024 * 1024
WHOLE = INCREMENT.replace(", fields=[]", "")
ASIDE = WHOLE.replace("add_one)", 'add_one, on_error="quarantine")')
LARGE = (0, 11, 29)


@pytest.fixture
def large(db: Database[Any]) -> Database[Any]:
    """Small documents, and three of 15 MB: the first, the last and one between."""
    for number in range(30):
        db.c.insert_one({"_id": number, "a": "x" * (15_000_000 if number in LARGE else 3_000)})
    return db


def test_too_large_for_memory(cli: CommandLine, large: Database[Any]) -> None:
    """A document that does not fit stops the run with the memory it needs, and with that much it fits."""
    cli.write(WHOLE)
    stopped = cli("run", "add_one", "--memory", "60Mi")
    needs = re.search(r"_id 0 has 14 MiB .* a budget of about (\d+Mi),", stopped.stderr)

    assert stopped.returncode == 1
    assert needs, stopped.stderr
    assert large.c.count_documents({"n": 1}) == 0

    done = cli("run", "add_one", "--memory", needs[1])

    assert done.returncode == 0, done.stderr
    assert last_line(done.stdout)["peak"] <= last_line(done.stdout)["budget"]
    assert large.c.count_documents({"n": 1}) == 30


def test_set_aside(cli: CommandLine, large: Database[Any]) -> None:
    """With quarantine the others are migrated, and what was set aside is, too, once there is room."""
    cli.write(ASIDE)

    assert cli("run", "add_one", "--memory", "60Mi").returncode == 0
    assert large.c.distinct("_id", {"n": {"$exists": False}}) == [*LARGE]
    assert {row["reason"] for row in large.chunkmigrate_quarantine.find()} == {"memory"}
    assert cli("quarantine", "retry", "add_one", "--memory", "512Mi").returncode == 0
    assert large.c.count_documents({"n": 1}) == 30
    assert large.chunkmigrate_quarantine.count_documents({}) == 0
