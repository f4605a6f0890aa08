"""A migration with ``undo=True`` is rolled back byte for byte, whatever it wrote, on a real server."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.collation import Collation

from chunkmigrate import Backfill, clearing, keeping, lease_record, scan, server, undo
from chunkmigrate.direction import DOWNGRADE, UNDO
from chunkmigrate.disorder import HalfRolledBackError
from chunkmigrate.errors import DocumentError, SupersededError, TooLargeError, UsageError
from chunkmigrate.ledger import PENDING, ROLLED_BACK, RUNS, STOPPED, Ledger
from chunkmigrate.memory import Sensor, process_rss
from chunkmigrate.restoring import backfill_of
from chunkmigrate.rollback import check_droppable
from chunkmigrate.runner import Run
from chunkmigrate.scan import RAW
from chunkmigrate.standing import standings
from tests.integration.random_updates import Maker
from tests.integration.test_scan import MIXED_IDS
from tests.integration.undone import MIB, applied, migration_of, stored, undone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pymongo.database import Database

    from chunkmigrate.backfill import Write
    from chunkmigrate.outcome import Outcome

SEEDS = range(6)


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database, as a run opens it."""
    return server.database(db.client, db.name)


def given(db: Database[Any]) -> None:
    """Documents with fields of many kinds, in several orders."""
    db.c.insert_many(
        {"_id": n, "a": n, "b": {"x": n, "y": [1, 2, 3]}, "list": [{"k": 1}, {"k": 2}], "z": "end"}
        for n in range(20)
    )
    db.other.insert_many({"_id": n, "group": n % 3, "text": f"t{n}"} for n in range(20))


def of_each(*writes: Callable[[Any], Write]) -> Callable[[Any], Any]:
    """A transform whose answer are these writes, made of the document's _id."""
    return lambda document: [make(document["_id"]) for make in writes]


def one(change: Any, **options: Any) -> Callable[[Any], Write]:
    return lambda id_: UpdateOne({"_id": id_}, change, **options)


WRITES: dict[str, Callable[[Any], Any]] = {
    "$set of an existing field": of_each(one({"$set": {"a": "new"}})),
    "$set of another type": of_each(one([{"$set": {"a": {"$toDouble": "$a"}}}])),
    "$set of a new field": of_each(one({"$set": {"new": 1, "more": 2}})),
    "$set of a nested field": of_each(one({"$set": {"b.x": 5, "b.new.deep": 1}})),
    "$set of an array's element": of_each(one({"$set": {"list.1.k": 5, "b.y.7": 1}})),
    "$unset": of_each(one({"$unset": {"a": "", "b": ""}})),
    "$unset of a nested field": of_each(one({"$unset": {"b.x": ""}})),
    "$rename": of_each(one({"$rename": {"a": "renamed"}})),
    "$rename over another field": of_each(one({"$rename": {"a": "list"}})),
    "$inc, $mul, $min, $max": of_each(one({"$inc": {"a": 1.5}, "$mul": {"b.x": 3}, "$min": {"m": 1}})),
    "$push": of_each(one({"$push": {"list": {"$each": [1, 2], "$position": 0, "$slice": 3}}})),
    "$pull, $pop, $addToSet": of_each(
        one({"$pull": {"b.y": 2}}), one({"$pop": {"list": 1}}), one({"$addToSet": {"b.y": 9}})
    ),
    "$currentDate": of_each(one({"$currentDate": {"a": True, "t": {"$type": "timestamp"}}})),
    "a positional write": of_each(
        lambda id_: UpdateOne({"_id": id_, "list.k": 2}, {"$set": {"list.$.k": 8}})
    ),
    "arrayFilters": of_each(one({"$set": {"list.$[one].k": 7}}, array_filters=[{"one.k": 2}])),
    "a pipeline": of_each(one([{"$set": {"sum": {"$add": ["$a", 1]}}}, {"$unset": ["a", "z"]}])),
    "a pipeline that orders anew": of_each(
        one([{"$replaceWith": {"z": "$z", "b": "$b", "a": "$a", "_id": "$_id"}}])
    ),
    "ReplaceOne": of_each(lambda id_: ReplaceOne({"_id": id_}, {"z": 1, "a": id_})),
    "ReplaceOne with an equal _id": of_each(lambda id_: ReplaceOne({"_id": id_}, {"_id": float(id_)})),
    "DeleteOne": of_each(lambda id_: DeleteOne({"_id": id_})),
    "DeleteMany": lambda document: DeleteMany({"a": {"$gt": 15}}) if document["_id"] == 3 else None,
    "UpdateMany": lambda document: (
        UpdateMany({"a": {"$gte": 5, "$lt": 12}}, {"$inc": {"a": 100}}) if document["_id"] % 4 == 3 else None
    ),
    "UpdateOne by another field": of_each(
        lambda id_: UpdateOne({"a": id_, "list.k": 2}, {"$set": {"list.$.k": 8}, "$unset": {"z": ""}})
    ),
    "UpdateOne with a collation": of_each(
        lambda _: UpdateOne({"z": "END"}, {"$inc": {"n": 1}}, collation=Collation("en", strength=2))
    ),
    "DeleteOne by another field": of_each(lambda _: DeleteOne({"a": {"$gte": 0}})),
    "InsertOne": of_each(lambda id_: InsertOne({"_id": f"new {id_}", "at": Timestamp(0, 0)})),
    "InsertOne without an _id": of_each(lambda _: InsertOne(RawBSONDocument(bson.encode({"b": 1})))),
    "an upsert by _id": of_each(
        lambda id_: UpdateOne(
            {"_id": f"new {id_ // 2}"}, {"$inc": {"n": 1}, "$setOnInsert": {"s": 1}}, upsert=True
        )
    ),
    "an upsert by another field": of_each(
        lambda id_: UpdateOne({"key": id_ // 3}, {"$push": {"ids": id_}}, upsert=True)
    ),
    "a replacing upsert": of_each(lambda id_: ReplaceOne({"key": id_}, {"v": id_}, upsert=True)),
    "several of one document": of_each(
        one({"$unset": {"a": ""}}), one({"$set": {"a": 1}}), one({"$set": {"z": 1}}), one({"$inc": {"z": 1}})
    ),
    "there and back": of_each(one({"$inc": {"a": 1}}), one({"$inc": {"a": -1}})),
    "deleted and inserted": of_each(
        lambda id_: DeleteOne({"_id": id_}), lambda id_: InsertOne({"_id": float(id_), "again": True})
    ),
    "one document from all": of_each(lambda id_: UpdateOne({"_id": 7}, {"$push": {"from": id_}})),
}


@pytest.mark.parametrize("name", WRITES)
def test_every_write(opened: Database[Any], name: str) -> None:
    """Each kind of write is undone byte for byte, field order included, and nothing is kept afterwards."""
    given(opened)
    before = stored(opened)
    transform = WRITES[name]

    applied(opened, lambda db: Backfill(scan(db.c), transform, undo=True))
    changed = stored(opened)
    outcome = undone(opened)

    assert (changed == before) is (name == "there and back")
    assert stored(opened) == before
    assert outcome.counts.skipped == 0
    assert opened[undo.COLLECTION].count_documents({}) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_random_writes(opened: Database[Any], seed: int) -> None:
    """Random writes of random documents, in several steps and collections, are undone byte for byte."""
    before, steps = random_steps(opened, seed)

    applied(opened, lambda _: steps)
    undone(opened)

    assert stored(opened) == before


def random_steps(db: Database[Any], seed: int) -> tuple[Any, list[Backfill]]:
    """Random documents, what is stored of them, and steps of writes that the server takes."""
    maker = Maker(seed)
    documents = [maker.document(id_) for id_ in range(40)]
    for name in ("c", "d"):
        db[name].insert_many(map(dict, documents))
    before = stored(db)
    steps = []
    for source, target in (("c", "c"), ("d", "c"), ("c", "d")):
        writes = {document["_id"]: [*taken(db, maker, document, target)] for document in documents}
        steps.append(
            Backfill(
                scan(db[source]),
                lambda document, writes=writes: writes.get(document["_id"]),
                into=db[target],
                undo=True,
                on_error="quarantine",
            )
        )
    for name in ("c", "d"):
        db[name].drop()
        db[name].insert_many(RawBSONDocument(raw) for raw in before.get(f"{db.name}.{name}", ()))
    return stored(db), steps


def taken(db: Database[Any], maker: Maker, document: dict[str, Any], target: str) -> Iterable[Write]:
    """Up to three random writes; what is refused now is left out, and most of the others are taken later."""
    for _ in range(maker.random.randrange(4)):
        write = maker.write(document)
        try:
            db[target].bulk_write([write])
        except Exception:  # noqa: S112
            continue
        yield write


@pytest.mark.parametrize("joined", [False, True])
def test_every_id(opened: Database[Any], *, joined: bool) -> None:
    """Documents are undone whatever the type of their _id, also where they are transformed together."""
    opened.c.insert_many({"_id": id_, "a": 1, "b": 2} for id_ in MIXED_IDS)
    before = stored(opened)

    def change(document: Any) -> list[Write]:
        by_id = {"_id": RawBSONDocument(document.raw)["_id"]}
        return [UpdateOne(by_id, {"$unset": {"a": ""}}), UpdateOne(by_id, {"$set": {"c": 1}})]

    def upgrade(db: Database[Any]) -> Backfill:
        source = scan(db.c.with_options(RAW))
        if joined:
            return Backfill(source, each_chunk=lambda ds: [w for d in ds for w in change(d)], undo=True)
        return Backfill(source, change, undo=True, if_unchanged=True)

    applied(opened, upgrade)
    assert stored(opened) != before
    undone(opened)

    assert stored(opened) == before


def test_edits_stay(opened: Database[Any]) -> None:
    """Fields the migration did not write keep what others wrote into them; a document of which somebody
    changed what it wrote stays as they left it, and is named.
    """
    given(opened)
    applied(opened, lambda db: Backfill(scan(db.c), WRITES["$unset"], undo=True))
    opened.c.update_one({"_id": 1}, {"$set": {"mine": 1, "z": "edited"}})
    opened.c.update_one({"_id": 2}, {"$set": {"a": "edited"}})
    opened.c.delete_one({"_id": 3})

    outcome = undone(opened)

    assert (outcome.counts.written, outcome.counts.skipped) == (18, 2)
    found = opened.c.find_one({"_id": 1})
    assert found is not None
    assert found["z"] == "edited"
    assert [*found] == ["_id", "a", "b", "list", "z", "mine"]
    assert opened.c.find_one({"_id": 2}) == {
        "_id": 2,
        "list": [{"k": 1}, {"k": 2}],
        "z": "end",
        "a": "edited",
    }
    assert opened.c.find_one({"_id": 3}) is None
    assert undo.first_left(opened, "m") == ["2 in c", "3 in c"]
    assert [row["document"] for row in undo.listing(opened, "m")] == ["2", "3"]


def test_edited_between_steps(opened: Database[Any]) -> None:
    """What somebody writes between two writes of the migration is what the document goes back to."""
    given(opened)

    def edit(document: Any) -> UpdateOne:
        if document["_id"] == 0:
            opened.c.update_many({"_id": {"$in": [4, 5]}}, {"$set": {"a": "edited"}})
        return UpdateOne({"_id": document["_id"]}, {"$set": {"a": "last"}})

    def upgrade(db: Database[Any]) -> list[Backfill]:
        first = Backfill(scan(db.c), of_each(one({"$set": {"a": "first"}})), undo=True)
        return [first, Backfill(scan(db.c), edit, undo=True)]

    applied(opened, upgrade)
    outcome = undone(opened)

    assert [document["a"] for document in opened.c.find()] == [
        "edited" if n in (4, 5) else n for n in range(20)
    ]
    assert outcome.counts.skipped == 2


def test_interrupted_anywhere(opened: Database[Any]) -> None:
    """Stopped again and again on both ways, a migration is undone byte for byte; a half-done one, too."""
    given(opened)
    opened.c.insert_many({"_id": n, "a": n} for n in range(20, 600))
    before = stored(opened)
    chance = random.Random(3)

    def upgrade(db: Database[Any]) -> list[Backfill]:
        inc = of_each(one({"$inc": {"n": 1}, "$push": {"list": 1}}), lambda id_: InsertOne({"of": id_}))
        return [
            Backfill(scan(db.c, {"a": {"$exists": True}}, fields=[]), inc, undo=True),
            Backfill(scan(db.c), WRITES["$unset"], undo=True),
        ]

    def stopping() -> Callable[[], bool]:
        left = iter(range(chance.randrange(20, 500)))
        return lambda: next(left, None) is None

    for _ in range(3):
        outcome = applied(opened, upgrade, stopped=stopping())
    attempts, positions = 0, set()
    while (stopped := undone(opened, stopped=stopping())).status == STOPPED:
        attempts += 1
        positions.add(str(stopped.position).partition(" in ")[2])

    assert outcome.status == STOPPED
    assert attempts > 1
    assert "c" in positions
    assert stored(opened) == before


def test_pending_again(opened: Database[Any]) -> None:
    """Once it is rolled back a migration is pending, and is applied anew from the beginning."""
    given(opened)
    before = stored(opened)

    def upgrade(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), WRITES["$push"], undo=True)

    for _ in range(2):
        applied(opened, upgrade)
        after = stored(opened)
        assert after != before
        assert undone(opened).status == ROLLED_BACK
        assert stored(opened) == before
        assert Ledger(opened).entry("m")["status"] == PENDING
        assert opened.chunkmigrate_checkpoints.count_documents({"migration": {"$exists": True}}) == 0
    ways = [(run["status"], run["direction"]) for run in opened[RUNS].find().sort("began", 1)]
    assert ways == [("applied", "up"), ("rolled back", "down")] * 2


def test_half_rolled_back(opened: Database[Any]) -> None:
    """While a rollback is not complete the migration is not applied, and is told what to do first."""
    given(opened)

    def upgrade(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), WRITES["$push"], undo=True)

    applied(opened, upgrade)
    calls = iter(range(5))
    assert undone(opened, stopped=lambda: next(calls, None) is None).status == STOPPED

    with pytest.raises(HalfRolledBackError, match="chunkmigrate rollback m"):
        applied(opened, upgrade)


def test_started_without(opened: Database[Any]) -> None:
    """A step that began without undo cannot begin to keep in the middle: it could not be undone."""
    opened.c.insert_many({"_id": n} for n in range(3_000))
    calls = iter(range(1_500))

    def upgrade(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), of_each(one({"$set": {"a": 1}})))

    stopped = applied(opened, upgrade, stopped=lambda: next(calls, None) is None)
    assert 0 < stopped.counts.read < 3_000

    with pytest.raises(UsageError, match="began without undo=True"):
        applied(opened, lambda db: Backfill(scan(db.c), WRITES["$push"], undo=True))


def test_large_documents(opened: Database[Any]) -> None:
    """Documents of almost 16 MiB are kept whole, in chunks whose memory is bounded; what does not fit into a
    record is refused, by its _id.
    """
    opened.c.insert_many({"_id": n, "a": bytes(15 * MIB), "b": 1} for n in range(2))
    opened.c.insert_one({"_id": 9, "a": bytes(16 * MIB - 40)})
    before = stored(opened)

    def upgrade(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c, {"b": 1}, fields=[]), WRITES["DeleteOne"], undo=True)

    applied(opened, upgrade)
    assert opened.c.count_documents({}) == 1
    undone(opened)
    assert stored(opened) == before

    with pytest.raises(TooLargeError, match=r"_id 9 .* over 16 MiB"):
        applied(opened, lambda db: Backfill(scan(db.c, fields=[]), WRITES["DeleteOne"], undo=True))
    undone(opened)
    assert stored(opened) == before


@pytest.mark.parametrize(
    "writes",
    [
        of_each(
            one({"$unset": {"z": ""}}), lambda id_: UpdateOne({"_id": (id_ + 5) % 12}, {"$set": {"b": 1}})
        ),
        of_each(
            lambda id_: DeleteOne({"_id": id_}),
            lambda id_: UpdateOne({"key": id_}, {"$setOnInsert": {"_id": id_}}, upsert=True),
        ),
        of_each(lambda _: UpdateMany({"a": {"$gte": 3}}, {"$unset": {"z": ""}, "$inc": {"n": 1}})),
        of_each(one({"$set": {"pad": "short"}}), one({"$set": {"a": "again"}})),
    ],
)
def test_a_little_at_a_time(opened: Database[Any], writes: Callable[[Any], Any]) -> None:
    """Documents that are looked at in several turns of one chunk, some of them more than once, are undone."""
    opened.c.insert_many({"_id": n, "a": n, "pad": bytes(300_000), "z": n} for n in range(12))
    before = stored(opened)

    applied(opened, lambda db: Backfill(scan(db.c, fields=[]), writes, undo=True), room=40 * MIB)
    assert stored(opened) != before
    undone(opened, room=40 * MIB)

    assert stored(opened) == before
    assert opened[undo.COLLECTION].count_documents({}) == 0


@pytest.mark.parametrize("write", [UpdateMany({"a": {"$gte": 0}}, {"$inc": {"n": 1}}), DeleteMany({})])
def test_matches_too_many(opened: Database[Any], monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    """A write that matches more documents than can be kept in its transaction is refused, by the document."""
    given(opened)
    before = stored(opened)
    monkeypatch.setattr(keeping, "MOST_MATCHED", 19)

    with pytest.raises(DocumentError, match="_id 0 matches more than 19 documents"):
        applied(opened, lambda db: Backfill(scan(db.c), lambda _: write, undo=True))
    assert stored(opened) == before

    monkeypatch.setattr(keeping, "MOST_MATCHED", 20)
    applied(opened, lambda db: Backfill(scan(db.c), lambda _: write, undo=True))
    undone(opened)

    assert stored(opened) == before


def test_standalone(standalone_uri: str) -> None:
    """A server without transactions is refused: it would have one without the other after a kill."""
    with server.connect(standalone_uri) as client:
        db = server.database(client, "chunkmigrate_test_undo")
        db.c.insert_one({"_id": 1})
        with pytest.raises(UsageError, match="undo=True needs transactions"):
            applied(db, lambda db: Backfill(scan(db.c), WRITES["$push"], undo=True))
        client.drop_database(db.name)


def test_quarantine_retried(opened: Database[Any]) -> None:
    """A document that leaves quarantine is kept as any other; those that stay in it are forgotten when the
    migration is rolled back, for it begins anew.
    """
    given(opened)
    before = stored(opened)

    def upgrade(*poison: int) -> Callable[[Database[Any]], Backfill]:
        def change(document: Any) -> UpdateOne:
            if document["_id"] in poison:
                raise ValueError(document["_id"])
            return UpdateOne({"_id": document["_id"]}, {"$unset": {"a": ""}})

        return lambda db: Backfill(scan(db.c), change, undo=True, on_error="quarantine")

    assert applied(opened, upgrade(3, 4)).counts.quarantined == 2
    applied(opened, upgrade(4), only_quarantined=True)
    assert opened.c.count_documents({"a": {"$exists": True}}) == 1
    undone(opened)

    assert stored(opened) == before
    assert opened.chunkmigrate_quarantine.count_documents({}) == 0


def test_downgrade(opened: Database[Any]) -> None:
    """A downgrade that is stopped goes on where it stood, does nothing twice, and has counts of its own."""
    opened.c.insert_many({"_id": n} for n in range(3_000))
    applied(opened, lambda db: Backfill(scan(db.c), of_each(one({"$inc": {"n": 1}}))))

    def back(stop_after: int) -> Outcome:
        calls = iter(range(stop_after))
        down = of_each(one({"$inc": {"n": -1}}))
        stopped: Callable[[], bool] = lambda: next(calls, None) is None  # noqa: E731
        return applied(opened, lambda db: Backfill(scan(db.c), down), direction=DOWNGRADE, stopped=stopped)

    outcome = back(500)
    assert outcome.status == STOPPED
    assert 0 < opened.c.count_documents({"n": 0}) == outcome.counts.read < 3_000
    [row] = standings(opened, [migration_of(lambda _: None)])
    assert (row.read, row.direction, row.status) == (3_000, "down", STOPPED)
    outcome = back(10**6)

    assert outcome.status == ROLLED_BACK
    assert outcome.counts.read < 3_000
    assert opened.c.count_documents({"n": 0}) == 3_000
    assert Ledger(opened).entry("m")["status"] == PENDING


def test_overtaken(opened: Database[Any]) -> None:
    """What a rollback removes at its end is not what a later run has made."""
    given(opened)

    def upgrade(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), WRITES["$push"], undo=True)

    applied(opened, upgrade)
    clearing.of_upgrade(opened, "m", generation=0)

    assert opened.chunkmigrate_checkpoints.count_documents({"migration": "m"}) == 2
    assert opened[undo.COLLECTION].count_documents({}) == 21


def test_overtaken_at_its_end(opened: Database[Any]) -> None:
    """A rollback that was overtaken takes nothing out of quarantine: a later run has set that aside."""
    given(opened)
    applied(opened, lambda db: Backfill(scan(db.c), WRITES["$push"], undo=True))
    sensor = Sensor(memory=process_rss()() + 448 * MIB)
    run = Run(migration_of(lambda db: backfill_of(db, "m")), opened, sensor, writers=1, direction=UNDO)

    def overtaken() -> None:
        for _ in run:
            held = lease_record.present(opened, "m")
            lease_record.revoke(lease_record.collection_of(opened), "m", held.token, None)
            aside = {"_id": {"migration": "m", "step": 0, "document": 1}, "migration": "m", "step": 0}
            opened.chunkmigrate_quarantine.replace_one({"_id": aside["_id"]}, aside, upsert=True)

    with pytest.raises(SupersededError):
        overtaken()
    assert opened.chunkmigrate_quarantine.count_documents({}) == 1


def test_space_of_one(opened: Database[Any]) -> None:
    """What is kept of one migration is counted apart from all others, whatever their names begin with."""
    for name, documents in (("m", 3), ("m2", 2), ("l", 1)):
        opened[undo.COLLECTION].insert_many(
            {"_id": {"migration": name, "namespace": "d.c", "document": n}} for n in range(documents)
        )
    opened[undo.COLLECTION].insert_one({"_id": {"left": "m", "run": 1, "namespace": "d.c", "document": 1}})
    undo.mark(opened, "m", 0, 1)

    [row] = undo.space(opened, "m")

    assert (row["migration"], row["documents"], row["left"]) == ("m", 3, 1)
    assert [row["migration"] for row in undo.space(opened)] == ["l", "m", "m2"]


def test_other_databases(opened: Database[Any]) -> None:
    """What is written into another database is undone there; what is kept is where the migration is."""
    given(opened)
    other = opened.client[f"{opened.name}_other"]
    other.c.insert_many({"_id": n, "n": n} for n in range(20))
    before = stored(opened, other)

    def moved(document: Any) -> list[Write]:
        there = {"namespace": f"{other.name}.c"}
        gone = DeleteOne({"_id": document["_id"]})
        return [gone, UpdateOne({"_id": document["_id"]}, {"$set": {"of": document}}, **there)]

    applied(opened, lambda db: Backfill(scan(db.c), moved, undo=True))
    assert opened[undo.COLLECTION].count_documents({}) == 41
    undone(opened)

    assert stored(opened, other) == before
    opened.client.drop_database(other)


def test_droppable(opened: Database[Any]) -> None:
    """What is kept is not dropped while it is being used: by a run that lives, or a rollback half done."""
    given(opened)

    def upgrade(db: Database[Any]) -> Backfill:
        return Backfill(scan(db.c), WRITES["$push"], undo=True)

    refused: list[str] = []

    def asked() -> bool:
        with suppress(UsageError):
            check_droppable("m", opened)
            return False
        refused.append("while it runs")
        return False

    applied(opened, upgrade, stopped=asked)
    assert refused
    check_droppable("m", opened)
    calls = iter(range(5))
    undone(opened, stopped=lambda: next(calls, None) is None)

    with pytest.raises(HalfRolledBackError):
        check_droppable("m", opened)
