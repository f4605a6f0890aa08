"""Rolling back from the command line: which migration, what is refused, and what is left."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import last_line
from tests.faults.kinds import KINDS
from tests.faults.undoing import stored, there_and_back

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

KILLS_EACH = 3

FIRST, SECOND, THIRD = (
    f"2026010100000{number}_{name}" for number, name in enumerate(("cents", "seen", "index"))
)

CENTS = '''"""Store prices in integer cents."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=["price"]), to_cents, undo=True)


def to_cents(order):
    change = {"$set": {"cents": round(order["price"] * 100)}, "$unset": {"price": ""}}
    return UpdateOne({"_id": order["_id"]}, change)
'''

SEEN = f'''"""Count how often it was seen."""

from chunkmigrate import Backfill, UpdateOne, scan

dependencies = ["{FIRST}"]


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), lambda c: one(c, {{"$inc": {{"seen": 1}}}}))


def downgrade(db):
    return Backfill(scan(db.c, fields=[]), lambda c: one(c, {{"$unset": {{"seen": ""}}}}))


def one(document, change):
    return UpdateOne({{"_id": document["_id"]}}, change)
'''

INDEX = '''"""Find by cents."""


def upgrade(db):
    db.c.create_index("cents")
'''


def statuses(cli: CommandLine) -> list[str]:
    return [json.loads(line)["status"] for line in cli("status", "--json").stdout.splitlines()]


def prepare(cli: CommandLine, db: Database[Any]) -> list[dict[str, Any]]:
    """Three migrations, applied; the documents as they were before."""
    for name, source in ((FIRST, CENTS), (SECOND, SEEN), (THIRD, INDEX)):
        cli.write(source, name)
    db.c.insert_many({"_id": n, "price": n / 4, "name": f"n{n}"} for n in range(1_500))
    before = [*db.c.find()]
    assert cli("run", "--all").returncode == 0
    return before


def test_one_after_the_other(cli: CommandLine, db: Database[Any]) -> None:
    """Migrations go back in the opposite order of their application, by downgrade or by undo; what has no way
    back or is depended on is refused, and what is pending has nothing to roll back.
    """
    before = prepare(cli, db)

    none = cli("rollback")
    assert none.returncode == 2
    assert f"{THIRD} cannot be rolled back: it has no downgrade(db)" in none.stderr
    needed = cli("rollback", FIRST)
    assert needed.returncode == 2
    assert f"while what depends on it is applied: {SECOND}" in needed.stderr
    both = cli("rollback", FIRST, "--steps", "1")
    assert both.returncode == 2
    assert "--steps is how many" in both.stderr
    assert statuses(cli) == ["applied"] * 3

    cli.write(INDEX + '\n\ndef downgrade(db):\n    db.c.drop_index("cents_1")\n', THIRD)
    done = cli("rollback", "--steps", "3")

    assert done.returncode == 0, done.stderr
    assert last_line(done.stdout)["event"] == "rolled_back"
    assert statuses(cli) == ["pending"] * 3
    assert [*db.c.find()] == before
    assert [[*document] for document in db.c.find()] == [[*document] for document in before]
    assert "nothing to roll back" in cli("rollback", FIRST).stdout
    assert "nothing to roll back" in cli("rollback").stdout


def test_edited_is_told(cli: CommandLine, db: Database[Any]) -> None:
    """A document that somebody edited since is named and stays; what was kept of it stays until dropped."""
    prepare(cli, db)
    db.c.update_one({"_id": 7}, {"$set": {"cents": "mine"}})
    assert cli("rollback", SECOND).returncode == 0
    kept = json.loads(cli("undo", "list", "--json").stdout)
    assert (kept["migration"], kept["documents"], kept["left"]) == (FIRST, 1_500, 0)

    done = cli("rollback", FIRST)

    assert done.returncode == 0, done.stderr
    assert "1 document was edited after" in done.stdout
    assert "_id 7 in c." in done.stdout
    assert db.c.find_one({"_id": 7}) == {"_id": 7, "name": "n7", "cents": "mine"}
    assert json.loads(cli("undo", "list", FIRST, "--json").stdout)["document"] == "7"
    asks = cli("undo", "drop", FIRST)
    assert asks.returncode == 2
    assert "--yes" in asks.stderr
    assert "1 record was dropped" in cli("undo", "drop", FIRST, "--yes").stdout
    assert cli("undo", "list").stdout == "Nothing is kept.\n"


def test_dropped(cli: CommandLine, db: Database[Any]) -> None:
    """What was kept and then dropped cannot be rolled back any more, which is said; nothing is changed."""
    prepare(cli, db)
    assert cli("rollback", SECOND).returncode == 0
    assert cli("undo", "drop", FIRST, "--yes").returncode == 0

    refused = cli("rollback", FIRST)

    assert refused.returncode == 2
    assert f"{FIRST} cannot be rolled back" in refused.stderr
    assert db.c.count_documents({"cents": {"$exists": True}}) == 1_500


def test_dropped_without_a_trace(cli: CommandLine, db: Database[Any]) -> None:
    """What is kept of a migration that is neither a file nor on record any more can be dropped, too."""
    cli.write(CENTS, FIRST)
    db.chunkmigrate_undo.insert_one({"_id": {"migration": "gone", "namespace": "d.c", "document": 1}})

    assert "There is no migration nobodys" in cli("undo", "drop", "nobodys", "--yes").stderr
    assert "1 record was dropped" in cli("undo", "drop", "gone", "--yes").stdout
    assert cli("undo", "list").stdout == "Nothing is kept.\n"


@pytest.mark.parametrize("name", ["several", "delete"])
def test_killed_on_both_ways(cli: CommandLine, db: Database[Any], name: str) -> None:
    """Killed with SIGKILL at random moments on both ways, while others edit, every document is as it was,
    byte for byte, with their edits.
    """
    [kind] = (kind for kind in KINDS if kind.name == name)

    there_and_back(cli, db, kind, random.Random(name), kills=KILLS_EACH, documents=6_000)


def test_half_rolled_back(cli: CommandLine, db: Database[Any]) -> None:
    """While a rollback is half done the status says so, a run is refused, and the rollback is finished."""
    prepare(cli, db)
    half = {"status": "stopped", "direction": "down", "way": "downgrade"}
    db.chunkmigrate_migrations.update_one({"_id": SECOND}, {"$set": half})

    refused = cli("run", SECOND)

    assert refused.returncode == 2
    assert f"chunkmigrate rollback {SECOND}" in refused.stderr
    assert "(half rolled back)" in cli("status").stdout
    assert cli("rollback", SECOND).returncode == 0
    assert cli("run", SECOND).returncode == 0


def test_shared(cli: CommandLine, db: Database[Any]) -> None:
    """What several processes have applied together is rolled back as what one has, and applied anew."""
    cli.write(CENTS, FIRST)
    db.c.insert_many({"_id": n, "price": n / 4, "name": f"n{n}"} for n in range(6_000))
    before = stored(db)

    for _ in range(2):
        shared = cli("run", FIRST, "--workers", "2")
        assert shared.returncode == 0, shared.stderr
        assert db.c.count_documents({"cents": {"$exists": True}}) == 6_000
        done = cli("rollback", FIRST)

        assert done.returncode == 0, done.stderr
        assert stored(db) == before
        assert statuses(cli) == ["pending"]
        assert db.chunkmigrate_checkpoints.count_documents({"migration": {"$exists": True}}) == 0
