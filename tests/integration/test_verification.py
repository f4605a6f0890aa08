"""Verifications on a real server: what their answers mean, that they only read, and what is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import AutoReconnect

from chunkmigrate import server, verification
from chunkmigrate.errors import InvalidModuleError, VerificationError, VerificationWritesError
from chunkmigrate.ledger import APPLIED, FAILED, MIGRATIONS, RUNS
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.runner import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymongo.database import Database

UPGRADE = '''"""Add one to every n."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), lambda one: UpdateOne({"_id": one["_id"]}, {"$inc": {"n": 1}}))


def verify(db):
'''


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database with ten documents, as a run opens it."""
    db.c.insert_many({"_id": n} for n in range(10))
    return server.database(db.client, db.name)


@pytest.fixture
def verifying(tmp_path: Path) -> Callable[[str], Migration]:
    """A migration with these lines as its verification."""

    def write(body: str) -> Migration:
        (tmp_path / "m.py").write_text(
            UPGRADE + "".join(f"    {line}\n" for line in body.split("; ")), "utf-8"
        )
        return Migration.read(tmp_path / "m.py")

    return write


def run(database: Database[Any], migration: Migration) -> Run:
    whole = Run(migration, database, Sensor(memory=512 * 1024 * 1024), writers=2)
    for _ in whole:
        pass
    return whole


def test_passes(opened: Database[Any], verifying: Callable[[str], Migration]) -> None:
    """A run whose verification returns True applies its migration, and both records say that it passed."""
    migration = verifying('return db.c.count_documents({"n": 1}) == 10')

    assert run(opened, migration).outcome.status == APPLIED
    (attempt,), (entry,) = opened[RUNS].find(), opened[MIGRATIONS].find()
    assert attempt["verification"] == entry["verification"]
    assert (entry["status"], entry["verification"]["passed"]) == (APPLIED, True)


def test_fails(opened: Database[Any], verifying: Callable[[str], Migration]) -> None:
    """A run whose verification fails is failed with what it says, what is safe, and what to do next."""
    migration = verifying('return f"{db.c.count_documents({})} orders are wrong"')
    with pytest.raises(VerificationError) as raised:
        run(opened, migration)
    (attempt,), (entry,) = opened[RUNS].find(), opened[MIGRATIONS].find()

    assert "verification of m failed: 10 orders are wrong. Its changes are committed" in str(raised.value)
    assert "`chunkmigrate verify m`" in str(raised.value)
    assert "`chunkmigrate run m`" in str(raised.value)
    assert [attempt["status"], entry["status"]] == [FAILED, FAILED]
    assert attempt["reason"] == str(raised.value)
    assert attempt["verification"]["sentence"] == entry["verification"]["sentence"] == "10 orders are wrong."
    assert opened.c.distinct("n") == [1]


def test_again(opened: Database[Any], verifying: Callable[[str], Migration]) -> None:
    """Run again after a failed verification it is verified again, and no finished step is repeated."""
    migration = verifying("return db.flags.count_documents({}) == 1")
    for _ in range(2):
        with pytest.raises(VerificationError):
            run(opened, migration)
    opened.flags.insert_one({})

    assert run(opened, migration).outcome.status == APPLIED
    assert opened.c.distinct("n") == [1]
    assert [one["verification"]["passed"] for one in opened[RUNS].find().sort("began", 1)] == [
        False,
        False,
        True,
    ]


def test_acting(opened: Database[Any], tmp_path: Path) -> None:
    """A migration that acts by itself and returns nothing is verified, too."""
    source = 'def upgrade(db):\n    db.c.drop()\n\ndef verify(db):\n    return "too few"\n'
    (tmp_path / "m.py").write_text(source, "utf-8")
    with pytest.raises(VerificationError, match="too few"):
        run(opened, Migration.read(tmp_path / "m.py"))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return False", "verify(db) returned False."),
        ('return "two\\n are left"', "two are left."),
        ('raise KeyError("cents")', "verify(db) raised KeyError: 'cents'."),
        ('assert not "a"', "verify(db) raised AssertionError."),
    ],
)
def test_answers(
    opened: Database[Any], verifying: Callable[[str], Migration], body: str, sentence: str
) -> None:
    """False, a sentence and whatever it raises are failures, each with its sentence."""
    found = verification.ask(verifying(body), opened)

    assert (found.passed, found.sentence) == (False, sentence)


def test_discreet(opened: Database[Any], verifying: Callable[[str], Migration]) -> None:
    """What an exception says may quote a document, so it is not told to everybody."""
    found = verification.ask(verifying('raise ValueError("Ada Lovelace")'), opened)
    error = verification.failure("m", found)

    assert "Ada Lovelace" in str(error)
    assert "Ada Lovelace" not in error.discreet
    assert "verify(db) raised ValueError." in error.discreet


@pytest.mark.parametrize("answer", ["None", "0", '" "', "[]", "db.c.count_documents({})"])
def test_no_answer(opened: Database[Any], verifying: Callable[[str], Migration], answer: str) -> None:
    """What is neither True, False nor a sentence is no answer, and what to return is said."""
    with pytest.raises(InvalidModuleError, match=r"from verify\(db\); return True, or a sentence"):
        verification.ask(verifying(f"return {answer}"), opened)


def test_not_callable_so(opened: Database[Any], tmp_path: Path) -> None:
    """A function that cannot be called with a database is no verification, and its sentence shows one."""
    (tmp_path / "m.py").write_text("def verify(db, strict): ...\n", "utf-8")
    with pytest.raises(InvalidModuleError, match=r"verify\(db, strict\), which cannot be called as verify"):
        verification.ask(Migration.read(tmp_path / "m.py"), opened)


@pytest.mark.parametrize(
    "body",
    [
        "db.c.delete_many({}); return True",
        'list(db.c.aggregate([{"$out": "d"}])); return True',
        "db.client.other.c.drop(); return True",
        # Not even where the author's code holds up all exceptions.
        "try:;     db.c.drop(); except Exception:;     pass; return True",
    ],
)
def test_writes(opened: Database[Any], verifying: Callable[[str], Migration], body: str) -> None:
    """A verification that would write is refused, alone and in a run, before anything is sent."""
    migration = verifying(body)
    with pytest.raises(VerificationWritesError, match=r"was about to change something \(\w+\)"):
        verification.ask(migration, opened)
    with pytest.raises(VerificationWritesError):
        run(opened, migration)

    assert opened.c.count_documents({"n": 1}) == 10
    (attempt,) = opened[RUNS].find()
    assert attempt["status"] == FAILED


def test_unreachable(opened: Database[Any], verifying: Callable[[str], Migration]) -> None:
    """A server that could not be asked is no failed verification."""
    body = 'from pymongo.errors import AutoReconnect; raise AutoReconnect("connection closed")'
    with pytest.raises(AutoReconnect):
        verification.ask(verifying(body), opened)


def test_overtaken(opened: Database[Any]) -> None:
    """A run that was overtaken does not say of the other one's entry what it has found itself."""
    opened[MIGRATIONS].insert_one({"_id": "m", "status": "running", "run": 2})
    verification.record(opened, "m", verification.Verified(passed=True, seconds=0.1), run=1)

    assert "verification" not in (opened[MIGRATIONS].find_one() or {})


@pytest.mark.parametrize(
    ("source", "has"),
    [
        ("def verify(db): ...", True),
        ("from shop.checks import all_well as verify", True),
        ("verify = make(1)", True),
        ("class A:\n    def verify(self): ...", False),
        ("# verify(db)", False),
        ("def verify(", False),
    ],
)
def test_has_one(tmp_path: Path, source: str, has: bool) -> None:  # noqa: FBT001
    """Whether there is a verification is read from the file, which is not run for that."""
    (tmp_path / "m.py").write_text(source, "utf-8")

    assert verification.has_one(Migration.read(tmp_path / "m.py")) is has


def test_alive(
    opened: Database[Any], verifying: Callable[[str], Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches a run hears of it while a verification takes its time."""
    monkeypatch.setattr(verification, "ALIVE_SECONDS", 0.01)
    waits = "import time; while not db.flags.find_one():;     time.sleep(0.01); return True"

    verification.concluded(verifying(waits), opened, 1, lambda: opened.flags.insert_one({}))

    assert opened.flags.find_one()
