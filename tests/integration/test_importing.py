"""Other tools' histories on a real server: taken over as they are, and left as they were."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate import importing, marking, readonly, server
from chunkmigrate.disorder import ForeignHistoryError, ForeignRecordError
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.foreign import BEANIE, MIGRATE_MONGO, MONGODB_MIGRATIONS, PYMONGO_MIGRATE, TOOLS
from chunkmigrate.ledger import MIGRATIONS, RUNS, Ledger
from chunkmigrate.marking import Author, Mark
from chunkmigrate.migration import Migration, discover
from chunkmigrate.standing import standings
from tests.read_only import Writes, latest, written_since

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

    from chunkmigrate.importing import Findings

DAY = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)

# As those tools write them; `second` has a file here, `first` has none any more.
HISTORIES: dict[str, list[dict[str, Any]]] = {
    PYMONGO_MIGRATE: [{"name": "1_first", "applied": DAY}, {"name": "2_second", "applied": DAY}],
    MIGRATE_MONGO: [
        {"fileName": "1_first.js", "appliedAt": DAY, "migrationBlock": 1.0},
        {"fileName": "2_second.js", "appliedAt": DAY, "fileHash": "x", "migrationBlock": 1.0},
    ],
    MONGODB_MIGRATIONS: [
        {"migration_datetime": "1", "created_at": DAY},
        {"migration_datetime": "2", "created_at": DAY},
    ],
    BEANIE: [
        {"name": "1_first.py", "ts": DAY, "is_current": False},
        {"name": "2_second.py", "ts": DAY, "is_current": True},
    ],
}
FIRST = {tool: "1" if tool == MONGODB_MIGRATIONS else "1_first" for tool in HISTORIES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the second of two migrations, and a third that is new."""
    for name in ("2_second", "3_third"):
        (tmp_path / f"{name}.py").write_text(f'"""{name}."""\n\ndef upgrade(db): ...\n', "utf-8")
    return tmp_path


def found(db: Database[Any], tool: str, folder: Path, collection: str = "") -> Findings:
    theirs = TOOLS[tool]
    opened = server.database(db.client, db.name)
    return importing.found(opened, theirs, collection or theirs.collection, discover(folder))


def taken_over(db: Database[Any], tool: str, folder: Path) -> Findings:
    findings = found(db, tool, folder)
    if findings.marks:
        marking.put(server.database(db.client, db.name), findings.marks, Author(by="op"))
    return findings


def everything_of(db: Database[Any], collection: str) -> Any:
    options = db.command("listCollections", filter={"name": collection})["cursor"]["firstBatch"]
    return [*db[collection].find().sort("_id", 1)], db[collection].index_information(), options


@pytest.mark.parametrize("tool", HISTORIES)
def test_taken_over(db: Database[Any], tool: str, folder: Path) -> None:
    """A history becomes ours: with the dates, the files' checksums, where it comes from and each record."""
    collection = TOOLS[tool].collection
    db[collection].insert_many(dict(record) for record in HISTORIES[tool])
    db[collection].create_index("x")
    before, moment = everything_of(db, collection), latest(db.client)
    findings = taken_over(db, tool, folder)
    entries = Ledger(db).entries()
    second = Migration.read(folder / "2_second.py")

    assert {*entries} == {FIRST[tool], "2_second"}
    assert {entry["status"] for entry in entries.values()} == {"applied"}
    assert {entry["origin"] for entry in entries.values()} == {f"imported from {tool}"}
    assert entries["2_second"]["checksum"] == second.checksum
    assert entries["2_second"]["began"].replace(tzinfo=UTC) == DAY
    assert entries[FIRST[tool]]["checksum"] is None
    assert (findings.fileless, findings.pending) == ([FIRST[tool]], ["3_third"])
    assert [*db[RUNS].find().sort("migration", 1)][-1]["record"] == before[0][-1]

    # Nothing of theirs: neither by what is there, nor by what was written on the way.
    assert everything_of(db, collection) == before
    written = written_since(db.client, moment, db.name)
    assert written
    assert not [one for one in written if f"{db.name}.chunkmigrate_" not in one and not one.startswith("c ")]


@pytest.mark.parametrize("tool", HISTORIES)
def test_twice(db: Database[Any], tool: str, folder: Path) -> None:
    """A second import changes nothing, not even what was withdrawn or applied here in between."""
    db[TOOLS[tool].collection].insert_many(dict(record) for record in HISTORIES[tool])
    taken_over(db, tool, folder)
    withdrawn = Mark(migration="2_second", applied=False, origin=marking.MARKED)
    marking.put(server.database(db.client, db.name), [withdrawn], Author(by="op"))
    before, moment = Ledger(db).entries(), latest(db.client)
    again = taken_over(db, tool, folder)

    assert (again.marks, again.known, again.withdrawn) == ([], [FIRST[tool]], ["2_second"])
    assert Ledger(db).entries() == before
    assert not written_since(db.client, moment, db.name)


@pytest.mark.parametrize("tool", HISTORIES)
def test_malformed(db: Database[Any], tool: str, folder: Path) -> None:
    """One record that is none, and nothing is imported of the others."""
    db[TOOLS[tool].collection].insert_many([*(dict(one) for one in HISTORIES[tool]), {"_id": "odd", "n": 1}])
    with pytest.raises(ForeignRecordError, match="record with _id 'odd' cannot be imported"):
        taken_over(db, tool, folder)

    assert not db[MIGRATIONS].count_documents({})


def test_only_read(db: Database[Any], mongodb_uri: str, folder: Path) -> None:
    """To look at a history nothing is sent that may write, by any client."""
    db.changelog.insert_many(dict(record) for record in HISTORIES[MIGRATE_MONGO])
    moment, writes = latest(db.client), Writes()
    with MongoClient[dict[str, Any]](mongodb_uri, event_listeners=[writes]) as client:
        found(client[db.name], MIGRATE_MONGO, folder)

    writes.assert_none()
    assert not written_since(db.client, moment, db.name)


def test_reader_cannot_write(db: Database[Any]) -> None:
    """The client that reads their records is another one of the same server, and refuses to write."""
    db.changelog.insert_one({"_id": 1})
    with readonly.reading(db) as reader:
        assert reader.client is not db.client
        assert reader.changelog.find_one() == {"_id": 1}
        with pytest.raises(readonly.Refused):
            reader.changelog.update_one({"_id": 1}, {"$set": {"n": 1}})

    assert db.changelog.find_one() == {"_id": 1}


def test_by_its_name(db: Database[Any], folder: Path) -> None:
    """A module of pymongo-migrate whose file was renamed is recognised by its `name`."""
    db.pymongo_migrate.insert_one({"name": "2019_old", "applied": DAY})
    (folder / "2_second.py").write_text("name = '2019_old'\n\ndef upgrade(db): ...\n", "utf-8")
    taken_over(db, PYMONGO_MIGRATE, folder)

    assert [*Ledger(db).entries()] == ["2_second"]


def test_two_files(db: Database[Any], folder: Path) -> None:
    """A record that two files here could be of is refused, and says which."""
    db.database_migrations.insert_one({"migration_datetime": "2"})
    (folder / "2_also.py").write_text("def upgrade(db): ...\n", "utf-8")
    with pytest.raises(ForeignHistoryError, match="could be 2_also and 2_second"):
        found(db, MONGODB_MIGRATIONS, folder)


def test_contradiction(db: Database[Any], folder: Path) -> None:
    """What they have applied and what failed here is for somebody to decide."""
    db.changelog.insert_many(dict(record) for record in HISTORIES[MIGRATE_MONGO])
    db[MIGRATIONS].insert_one({"_id": "2_second", "status": "failed", "checksum": "x"})
    with pytest.raises(ForeignHistoryError, match="applied 2_second, and here it is failed"):
        found(db, MIGRATE_MONGO, folder)


@pytest.mark.parametrize(
    ("collection", "error"), [("nothing_there", ForeignHistoryError), ("a..b", InvalidSettingError)]
)
def test_no_history(db: Database[Any], folder: Path, collection: str, error: type[Exception]) -> None:
    """Where there is no history, the sentence says which collection was looked at."""
    with pytest.raises(error, match=collection):
        found(db, MIGRATE_MONGO, folder, collection)


def test_ported(db: Database[Any], folder: Path) -> None:
    """A file that is written later for what was imported without one is applied, and not changed."""
    db.changelog.insert_many(dict(record) for record in HISTORIES[MIGRATE_MONGO])
    taken_over(db, MIGRATE_MONGO, folder)
    (folder / "1_first.py").write_text("def upgrade(db): ...\n", "utf-8")
    first, *others = standings(db, discover(folder))

    assert (first.name, first.status, first.drifted) == ("1_first", "applied", False)
    assert others
    assert not any(other.missing for other in others)
