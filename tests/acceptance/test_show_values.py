from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine, last_line

if TYPE_CHECKING:
    from pymongo.database import Database

# What must never be seen by whoever reads a pod's log.
MAIL = "ada@example.com"
SET = "return UpdateOne({'_id': document['_id']}, {'$set': {'unique': document['mail']}})"

RAISES = INCREMENT.replace(", fields=[]", "").replace(
    "    return UpdateOne", "    raise ValueError(document)\n    #"
)
DUPLICATES = INCREMENT.replace(", fields=[]", "").replace(
    'return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})', SET
)
ADDS = INCREMENT.replace(", fields=[]", "").replace('{"n": 1}', '{"n": document["mail"]}')
THROTTLED = INCREMENT.replace("add_one)", "add_one, throttle=lambda: int(db.c.find_one()['mail']))")
ACTS = "def upgrade(db):\n    raise RuntimeError(db.c.find_one())\n"
READS = INCREMENT.replace("db.c, fields=[]", "db.c, {'$expr': {'$eq': [1, {'$toInt': '$mail'}]}}, fields=[]")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (RAISES, "add_one raised ValueError. It was given document _id 1."),
        (RAISES, "It was raised in migrations/20260101000000_add_one.py, line 11."),
        (DUPLICATES, "document _id 2: E11000 duplicate key error collection"),
        (ADDS, "document _id 1: TypeMismatch (code 14)"),
        (THROTTLED, "The throttle <lambda> raised ValueError."),
        (ACTS, "raised RuntimeError. It was raised in migrations/20260101000000_add_one.py, line 2."),
        (READS, "MongoDB failed: ConversionFailure (code 241)"),
    ],
    ids=["transform", "its line", "duplicate key", "refused", "throttle", "upgrade", "filter"],
)
def test_documents_are_not_quoted(cli: CommandLine, db: Database[Any], source: str, shown: str) -> None:
    """Whatever a failed run prints quotes no document but its _id, and says where the rest stands: in the
    record of the run, and here with `--show-values`.
    """
    db.c.create_index("unique", unique=True, sparse=True)
    db.c.insert_many({"_id": number, "mail": MAIL} for number in (1, 2))
    cli.write(source)
    done = cli("run", "add_one")
    kept = db.chunkmigrate_runs.find_one({"status": "failed"})

    assert done.returncode == 1
    assert MAIL not in done.stdout + done.stderr
    assert shown in done.stderr
    assert done.stderr.strip().endswith("and the run's record in chunkmigrate_runs keeps it.")
    assert last_line(done.stdout)["reason"] in done.stderr
    assert kept
    assert MAIL in kept["reason"]

    asked = cli("run", "add_one", "--show-values")

    assert asked.returncode == 1
    assert kept["reason"] in asked.stderr
    assert "--show-values" not in asked.stderr


@pytest.mark.parametrize("source", [RAISES, ADDS], ids=["transform", "refused"])
def test_quarantine(cli: CommandLine, db: Database[Any], source: str) -> None:
    """The list of what is in quarantine quotes no document either, in lines or in JSON, unless it is asked
    to; of one that was set aside by an earlier version it says where to look.
    """
    cli.write(source.replace("add_one)", 'add_one, on_error="quarantine")'))
    db.c.insert_one({"_id": 1, "mail": MAIL})
    assert cli("run", "add_one").returncode == 0
    kept = db.chunkmigrate_quarantine.find_one()
    assert kept
    assert MAIL in kept["message"]

    for form in ((), ("--json",)):
        done, asked = (cli("quarantine", "list", *form, *more) for more in ((), ("--show-values",)))
        assert MAIL not in done.stdout
        assert kept["discreet"] in done.stdout
        assert MAIL in asked.stdout

    db.chunkmigrate_quarantine.update_one({}, {"$unset": {"discreet": 1}})
    done = cli("quarantine", "list")
    assert MAIL not in done.stdout
    assert "_id 1" in done.stdout
    assert "--show-values shows it" in done.stdout
