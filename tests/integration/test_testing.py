"""What an author's tests rely on, on a real server; what needs other processes is in acceptance."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import Backfill, InsertOne, UpdateOne, scan
from chunkmigrate.confined import _disarm
from chunkmigrate.disorder import NoWayBackError
from chunkmigrate.errors import TransformError, UsageError, VerificationError
from chunkmigrate.ledger import RUNNING, RUNS
from chunkmigrate.records import Counts
from chunkmigrate.sessions import names
from chunkmigrate.testing import Migrate, load

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

DOUBLE = '''"""Double every n."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, {"m": None}), double)


def double(document):
    return UpdateOne({"_id": document["_id"]}, {"$set": {"m": document["n"] * 2}})
'''
GIVEN = {"c": [{"_id": 1, "n": 1}, {"_id": 2, "n": 2, "m": 4}]}
DOUBLED = [{"_id": 1, "n": 1, "m": 2}, {"_id": 2, "n": 2, "m": 4}]
FIVE_NUMBERED = {"c": [{"_id": number, "n": 1} for number in range(5)]}
FIVE = {"c": [{"_id": number} for number in range(5)]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "1_double.py").write_text(DOUBLE)
    return tmp_path / "1_double.py"


@pytest.fixture
def migrate(db: Database[Any], mongodb_uri: str, path: Path) -> Migrate:
    return Migrate(db, path.parent, mongodb_uri)


def increment(db: Database[Any]) -> Backfill:
    return Backfill(scan(db.c), lambda c: UpdateOne({"_id": c["_id"]}, {"$inc": {"n": 1}}))


def number(db: Database[Any]) -> Backfill:
    """Not as it should be: the numbers are kept in the process."""
    numbers = count(1)
    return Backfill(scan(db.c), lambda c: UpdateOne({"_id": c["_id"]}, {"$set": {"n": next(numbers)}}))


def number_all(db: Database[Any]) -> Backfill:
    numbers = count(1)
    set_n = lambda c: UpdateOne({"_id": c["_id"]}, {"$set": {"n": next(numbers)}})  # noqa: E731
    return Backfill(scan(db.c), each_chunk=lambda some: [*map(set_n, some)])


def test_documents(migrate: Migrate) -> None:
    """Documents go in, and what became of them comes out, with what the run counted."""
    migrated = migrate("double", GIVEN)

    assert migrated.found("c") == DOUBLED
    assert migrated.found("elsewhere") == []
    assert migrated.counts == Counts(read=1, written=1, writes=1)


def test_given_is_left_alone(migrate: Migrate) -> None:
    """The documents a test gives are not changed by being inserted, so that tests may share them."""
    given = [{"n": 1}]
    migrate("double", {"c": given})

    assert given == [{"n": 1}]


@pytest.mark.parametrize("how", ["name", "path", "module", "function"])
def test_ways_to_name(migrate: Migrate, path: Path, how: str) -> None:
    """A migration is given by its name, its path, its module, or as a function."""
    module = load(path)
    ways = {"name": "1_double", "path": path, "module": module, "function": module.upgrade}

    assert migrate(ways[how], GIVEN).found("c") == DOUBLED


def test_from_the_beginning(migrate: Migrate) -> None:
    """Each call applies the migration, whatever was applied before."""
    migrate(increment, FIVE)

    assert [one["n"] for one in migrate(increment).found("c")] == [2] * 5


def test_given_again(migrate: Migrate) -> None:
    """A collection that is given holds what is given, whatever it held before."""
    migrate("double", {"c": [{"_id": 9, "n": 1}], "d": [{"_id": 1}]})

    assert migrate("double", GIVEN).found("c") == DOUBLED
    assert migrate("double", GIVEN).found("d") == [{"_id": 1}]


def test_one_after_another(migrate: Migrate) -> None:
    """A migration finds what an earlier one has left."""
    migrate(increment, FIVE)

    assert migrate("double").found("c")[4] == {"_id": 4, "n": 1, "m": 2}


def test_failure(migrate: Migrate) -> None:
    """What fails raises what a run raises, with the document it failed on."""
    with pytest.raises(TransformError) as failed:
        migrate("double", {"c": [{"_id": 7, "n": None}]})

    assert failed.value.document_id == 7


@pytest.mark.parametrize("given", [[{"_id": 1}], {"c": {"_id": 1}}])
def test_not_by_collection(migrate: Migrate, given: Any) -> None:
    """Documents that are not lists by collection are refused, with the shape they should have."""
    with pytest.raises(TypeError, match=r"""such as {"orders": \[{"_id": 1}, {"_id": 2}\]}"""):
        migrate("double", given)


def test_somebodys_database(db: Database[Any], mongodb_uri: str, tmp_path: Path) -> None:
    """A database that does not look like a test's is refused before anything of it is dropped."""
    with pytest.raises(UsageError, match="The database shop does not say"):
        Migrate(db.client["shop"], tmp_path, mongodb_uri)


def test_twice(migrate: Migrate) -> None:
    """What may be applied twice passes, and what the first one did is returned."""
    assert migrate.twice("double", GIVEN).counts.written == 1


def test_not_idempotent(migrate: Migrate) -> None:
    """What may not be applied twice fails with the first documents and fields that differ."""
    with pytest.raises(AssertionError) as failed:
        migrate.twice(increment, FIVE)

    assert str(failed.value).splitlines() == [
        "increment is not idempotent: applied a second time, it changed what the first had left:",
        "  c, _id 0: n: 1 -> 2",
        "  c, _id 1: n: 1 -> 2",
        "  c, _id 2: n: 1 -> 2",
        "  and 2 more",
        "Let its filter leave out what is done, or compute from fields that it does not write.",
    ]


def test_inserted_twice(migrate: Migrate) -> None:
    """A document that the second one added is a difference, in whatever collection."""

    def copied(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), lambda _: InsertOne({}), into=db.copies)

    with pytest.raises(AssertionError, match=r"copies, _id ObjectId\('[0-9a-f]+'\): is new"):
        migrate.twice(copied, FIVE)


def test_ignoring(migrate: Migrate) -> None:
    """Fields that may differ are named, and no others."""
    assert migrate.twice(increment, FIVE, ignoring=["n"]).found("c")[0] == {"_id": 0, "n": 1}


def test_interrupted(migrate: Migrate) -> None:
    """A migration is stopped at that very document, goes on, and leaves what it leaves in one go."""
    given: list[list[int]] = []

    def noted(db: Database[Any]) -> Backfill:
        given.append([])
        return Backfill(scan(db.c), lambda c: given[-1].append(c["_id"]))

    migrated = migrate.interrupted(noted, FIVE, after=2)

    assert given == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4]]
    assert migrated.counts.read == 5


def test_interrupted_on_the_server(migrate: Migrate) -> None:
    """What the server does alone is stopped behind that very document, too, and goes on."""
    add = [{"$set": {"n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}}}]

    migrated = migrate.interrupted(lambda db: Backfill(scan(db.c), server=add), FIVE, after=2)

    assert migrated.counts.read == 5
    assert migrated.found("c") == [{"_id": number, "n": 1} for number in range(5)]


@pytest.mark.parametrize("upgrade", [number, number_all])
def test_kept_in_the_process(migrate: Migrate, upgrade: Any) -> None:
    """What is kept from one document to the next shows when it is gone, also where it is one chunk's."""
    with pytest.raises(AssertionError, match=r"resumed, left other data.*\n  c, _id 2: n: 3 -> 1"):
        migrate.interrupted(upgrade, FIVE, after=2)


def test_nothing_to_interrupt(migrate: Migrate) -> None:
    """An interruption that cannot happen is a failure: nothing would be tested."""
    for after in (5, 6):
        with pytest.raises(AssertionError, match="no more than 5 documents to read"):
            migrate.interrupted(increment, FIVE, after=after)
    with pytest.raises(AssertionError, match="no more than 0 documents to read"):
        migrate.interrupted(lambda _db: None)
    with pytest.raises(ValueError, match="not after 0"):
        migrate.interrupted(increment, FIVE, after=0)


def test_put_back(migrate: Migrate, db: Database[Any]) -> None:
    """Both runs find the same database: documents, indexes, and the options of collections."""
    db.create_collection("c", validator={"n": {"$exists": True}})
    db.c.create_index("n", name="by_n")
    found: list[Any] = []

    def moved(db: Database[Any]) -> Backfill:
        found.append((db.c.options(), [*db.c.index_information()], db.moved.count_documents({})))
        db.c.drop_indexes()
        db.command("collMod", "c", validator={})
        return Backfill(scan(db.c), InsertOne, into=db.moved)

    migrate.interrupted(moved, FIVE)

    assert found[0] == found[1] == ({"validator": {"n": {"$exists": True}}}, ["_id_", "by_n"], 0)


def test_what_a_kill_leaves_open(db: Database[Any]) -> None:
    """After a kill, the transaction of the dead process does not keep the database from being dropped."""
    db.c.insert_one({"_id": 1})
    with db.client.start_session() as session, session.start_transaction():
        db.c.update_one({"_id": 1}, {"$set": {"n": 1}}, session=session)
        dead = {"status": RUNNING, "token": "dead", "sessions": names([session])}
        db[RUNS].insert_one(dead)
        _disarm(db)

        db.command("drop", "c", maxTimeMS=5_000)
        session.abort_transaction()


def test_verified(migrate: Migrate, path: Path) -> None:
    """A migration's own verification is asked in its tests, too."""
    wrong = '\n\ndef verify(db):\n    return f"{db.c.count_documents({})} are wrong"\n'
    path.write_text(DOUBLE + wrong)
    with pytest.raises(VerificationError, match="2 are wrong"):
        migrate("double", GIVEN)


def test_back(migrate: Migrate) -> None:
    """A migration is applied and rolled back, by its downgrade or its undo, and what is left is compared."""

    def kept(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), lambda c: InsertOne({"of": c["_id"]}), into=db.lines, undo=True)

    assert migrate.back(kept, GIVEN).found("c") == GIVEN["c"]

    path = migrate.folder / "2_back.py"
    downgrade = 'def downgrade(db):\n    db.c.update_many({}, {"$unset": {"m": ""}})\n'
    path.write_text(f"{DOUBLE}\n\n{downgrade}")
    assert migrate.back(path, FIVE_NUMBERED).found("c") == FIVE_NUMBERED["c"]
    with pytest.raises(AssertionError, match="2_back, applied and rolled back, left other data"):
        migrate.back(path, GIVEN)
    with pytest.raises(NoWayBackError, match="cannot be rolled back"):
        migrate.back(increment, GIVEN)
