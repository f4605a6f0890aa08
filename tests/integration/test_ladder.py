from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, NotPrimaryError

from chunkmigrate import Backfill, DeleteOne, InsertOne, UpdateOne, scan, server, sizing
from chunkmigrate.errors import ChunkTooMuchError, QuarantineFullError, TransformError, WriteRefusedError
from chunkmigrate.quarantine import listing
from chunkmigrate.records import Counts
from tests.integration.conftest import Engine
from tests.integration.test_pipeline import increment

FULL = sizing.Sizes(chunk_bytes=sizing.MAX_CHUNK_BYTES, page_bytes=sizing.MAX_PAGE_BYTES)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database


def broken(number: int) -> RawBSONDocument:
    """A document whose text is no UTF-8."""
    element = b"\x10_id\x00" + number.to_bytes(4, "little") + b"\x02a\x00\x03\x00\x00\x00\xff\xfe\x00"
    return RawBSONDocument((len(element) + 5).to_bytes(4, "little") + element + b"\x00")


def raising(*bad: int) -> Callable[[Any], UpdateOne]:
    def transform(document: Any) -> UpdateOne:
        if document["_id"] in bad:
            message = "no price"
            raise KeyError(message)
        return increment(document)

    return transform


def aside(db: Database[Any]) -> list[Any]:
    return sorted(row["document"] for row in db.chunkmigrate_quarantine.find())


@pytest.mark.parametrize("bad", [(0,), (2_999,), (1, 2, 3, 1_000, 1_001, 2_998), tuple(range(40, 80))])
def test_transform_that_raises(engine: Engine, bad: tuple[int, ...]) -> None:
    """Documents the transform fails on are set aside with the reason; every other is migrated once."""
    engine.db.c.insert_many({"_id": n} for n in range(3_000))
    counts = engine.run(Backfill(scan(engine.db.c), raising(*bad), on_error="quarantine"))

    assert aside(engine.db) == list(bad)
    assert engine.db.c.count_documents({"n": 1}) == counts.written == 3_000 - len(bad)
    assert counts.quarantined == len(bad)
    row = engine.db.chunkmigrate_quarantine.find_one()
    assert row
    assert row["reason"] == "transform"
    assert "KeyError: 'no price'" in row["message"]
    assert "in transform" in row["traceback"]


def test_refused_by_the_server(engine: Engine) -> None:
    """Documents whose writes a validator refuses are set aside, also many of them in one chunk."""
    bad = [0, *range(500, 520), 1_999]
    engine.db.create_collection(
        "c", validator={"$or": [{"n": {"$exists": False}}, {"bad": {"$exists": False}}]}
    )
    engine.db.c.insert_many({"_id": n, **({"bad": 1} if n in bad else {})} for n in range(2_000))
    counts = engine.run(Backfill(scan(engine.db.c), increment, on_error="quarantine"))

    assert aside(engine.db) == bad
    assert engine.db.c.count_documents({"n": 1}) == counts.written == 2_000 - len(bad)
    assert {row["reason"] for row in listing(engine.db, "m")} == {"refused"}


@pytest.fixture
def alone(standalone_uri: str) -> Iterator[Engine]:
    """An engine on a server without transactions."""
    with MongoClient[dict[str, Any]](standalone_uri) as client:
        yield Engine(client.test_ladder)
        client.drop_database("test_ladder")


def test_refused_without_transactions(alone: Engine) -> None:
    """Where nothing can be undone, what was written before a document was refused is not written again."""
    bad = {0, 500, 501, 700}
    writes = ["c", "twins"]
    for name in writes:
        validator = {"$or": [{"n": {"$exists": False}}, {"bad": {"$exists": False}}]}
        alone.db.create_collection(name, validator=validator if name == "twins" else {})
        alone.db[name].insert_many({"_id": n, **({"bad": 1} if n in bad else {})} for n in range(1_000))

    def both(document: Any) -> list[Any]:
        twin = UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}}, namespace=f"{alone.db.name}.twins")
        return [
            increment(document),
            twin,
            InsertOne({"of": document["_id"]}, namespace=f"{alone.db.name}.log"),
        ]

    counts = alone.run(Backfill(scan(alone.db.c, fields=[]), both, on_error="quarantine"))

    assert counts.quarantined == len(bad)
    assert [alone.db.c.count_documents({"n": n}) for n in (1, 2)] == [1_000, 0]
    assert [alone.db.twins.count_documents({"n": n}) for n in (1, 2)] == [1_000 - len(bad), 0]
    assert alone.db.log.count_documents({}) == 1_000 - len(bad)


def test_stopped_without_transactions(alone: Engine) -> None:
    """Where nothing can be undone, a run that a document stops does not say that nothing was written."""
    alone.db.create_collection("c", validator={"n": {"$exists": False}})
    alone.db.c.insert_many({"_id": n} for n in range(3))
    with pytest.raises(
        WriteRefusedError, match=r"_id 0: .* Some of its chunk may be written twice; everything"
    ):
        alone.run(Backfill(scan(alone.db.c), increment))


def test_undecodable(engine: Engine) -> None:
    """Documents that are no BSON are set aside under their `_id`."""
    for number in range(300):
        engine.db.c.insert_one(broken(number) if number in (0, 7, 8, 299) else {"_id": number})
    engine.run(Backfill(scan(engine.db.c), increment, on_error="quarantine"))

    assert aside(engine.db) == [0, 7, 8, 299]
    assert engine.db.c.count_documents({"n": 1}) == 296


@pytest.mark.parametrize(
    "id_",
    [b"\x02_id\x00\x03\x00\x00\x00\xff\xfe\x00", b"\x09_id\x00\x00\x00\x00\x00\x00\x00\x00\x10"],
    ids=["no UTF-8", "beyond the year 9999"],
)
def test_undecodable_id(engine: Engine, id_: bytes) -> None:
    """A document whose `_id` itself cannot be decoded is set aside like any other, and the run goes on."""
    engine.db.c.insert_one(RawBSONDocument((len(id_) + 5).to_bytes(4, "little") + id_ + b"\x00"))
    engine.db.c.insert_many({"_id": number} for number in range(300))
    counts = engine.run(Backfill(scan(engine.db.c), increment, on_error="quarantine"))

    assert counts.quarantined == 1
    assert engine.db.c.count_documents({"n": 1}) == 300
    assert [row["reason"] for row in listing(engine.db, "m")] == ["undecodable"]


def test_each_chunk_is_bisected(engine: Engine) -> None:
    """Of documents transformed together those at fault are found, and the others are migrated once."""
    engine.db.c.insert_many({"_id": n} for n in range(1_500))

    def together(documents: Any) -> Any:
        if {document["_id"] for document in documents} & {3, 4, 1_499}:
            message = "no"
            raise ValueError(message)
        return [increment(document) for document in documents]

    counts = engine.run(Backfill(scan(engine.db.c), each_chunk=together, on_error="quarantine"))

    assert aside(engine.db) == [3, 4, 1_499]
    assert engine.db.c.count_documents({"n": 1}) == counts.read - counts.quarantined == 1_497


def test_limit(engine: Engine) -> None:
    """One document more than quarantine may hold stops the run; nothing of its chunk is written."""
    engine.db.c.insert_many({"_id": n} for n in range(100))
    backfill = Backfill(scan(engine.db.c), raising(*range(50, 60)), on_error="quarantine", quarantine_limit=9)

    with pytest.raises(QuarantineFullError, match=r"9 documents are in quarantine.*_id 59"):
        engine.run(backfill)
    assert engine.db.c.count_documents({"n": 1}) == 0


def test_stops_by_default(engine: Engine) -> None:
    """Without on_error a document that fails stops the run, and nothing gets into quarantine."""
    engine.db.c.insert_many({"_id": n} for n in range(10))
    with pytest.raises(TransformError, match="_id 5"):
        engine.run(Backfill(scan(engine.db.c), raising(5)))

    assert aside(engine.db) == []


def test_commit_whose_answer_was_lost(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that was committed, and is tried again because nobody heard of it, is not committed twice."""
    engine.db.c.insert_many({"_id": n} for n in range(3_000))
    attempt, tries = server.attempt, count()

    def lost(*how: Any, **more: Any) -> None:
        attempt(*how, **more)
        if next(tries) == 1:
            message = "the answer never arrived"
            raise AutoReconnect(message)

    monkeypatch.setattr(server, "attempt", lost)
    copying = Backfill(scan(engine.db.c), lambda d: InsertOne({"of": d["_id"]}), into=engine.db.copy)
    counts = engine.run(copying, writers=1)

    assert next(tries) == 3
    assert counts.read == 3_000
    assert engine.db.copy.count_documents({}) == len(engine.db.copy.distinct("of")) == 3_000


def test_edits_are_not_overwritten(engine: Engine) -> None:
    """With if_unchanged a document edited after it was read is read again; no edit and no step is lost."""
    engine.db.c.insert_many({"_id": n, "value": 0, "seen": []} for n in range(1_000))
    done = threading.Event()

    def edit() -> None:
        number = 0
        while not done.is_set():
            number += 1
            engine.db.c.update_one({"_id": number % 40}, {"$inc": {"value": 2}})

    def transform(document: Any) -> UpdateOne:
        return UpdateOne({"_id": document["_id"]}, {"$set": {"value": document["value"] + 1}})

    editor = threading.Thread(target=edit)
    before = engine.db.c.with_options()
    editor.start()
    try:
        counts = engine.run(
            Backfill(
                scan(engine.db.c, {"value": {"$mod": [2, 0]}}, fields=["value"]), transform, if_unchanged=True
            )
        )
    finally:
        done.set()
        editor.join()

    odd = before.count_documents({"value": {"$mod": [2, 1]}})
    assert counts.read == 1_000
    assert odd == counts.written
    assert counts.written + counts.quarantined + counts.skipped == 1_000
    assert odd + len(aside(engine.db)) == 1_000


def test_edited_in_between(engine: Engine) -> None:
    """A document edited between reading and writing is transformed from what it is now, or left when gone."""
    engine.db.c.insert_many({"_id": n, "value": 0} for n in range(10))
    edits: list[Any] = [
        lambda: engine.db.c.update_one({"_id": 3}, {"$set": {"value": 5}}),
        lambda: engine.db.c.delete_one({"_id": 4}),
        lambda: engine.db.c.update_one({"_id": 6}, {"$set": {"other": 1}}),
    ]

    def transform(document: Any) -> UpdateOne:
        while edits:
            edits.pop()()
        return UpdateOne({"_id": document["_id"]}, {"$set": {"twice": 2 * document["value"], "value": -1}})

    counts = engine.run(Backfill(scan(engine.db.c, fields=["value"]), transform, if_unchanged=True))
    found = {document["_id"]: document for document in engine.db.c.find()}

    assert found[3] == {"_id": 3, "value": -1, "twice": 10}
    assert 4 not in found
    assert found[6] == {"_id": 6, "value": -1, "twice": 0, "other": 1}
    assert (counts.read, counts.written, counts.changed) == (10, 9, 2)


def test_always_edited(engine: Engine) -> None:
    """A document edited each time before it is written goes into quarantine as a conflict, as it was left."""
    engine.db.c.insert_many({"_id": n, "value": 0} for n in range(5))

    def transform(document: Any) -> UpdateOne:
        if document["_id"] == 2:
            engine.db.c.update_one({"_id": 2}, {"$inc": {"value": 1}})
        return UpdateOne({"_id": document["_id"]}, {"$set": {"done": True}})

    counts = engine.run(Backfill(scan(engine.db.c, fields=["value"]), transform, if_unchanged=True))

    assert [(row["document"], row["reason"]) for row in listing(engine.db, "m")] == [("2", "conflict")]
    assert engine.db.c.find_one({"_id": 2}) == {"_id": 2, "value": 4}
    assert engine.db.c.count_documents({"done": True}) == counts.written == 4


def test_unchanged_for_other_writes(engine: Engine) -> None:
    """if_unchanged holds for deletes and for writes to other collections, too, and with each_chunk."""
    engine.db.c.insert_many({"_id": n, "value": 0} for n in range(6))
    edits: list[Any] = [lambda: engine.db.c.update_one({"_id": 2}, {"$set": {"value": 1}})]

    def together(documents: Any) -> Any:
        while edits:
            edits.pop()()
        for document in documents:
            yield InsertOne(
                {"_id": document["_id"], "was": document["value"]}, namespace=f"{engine.db.name}.copy"
            )
            if not document["value"]:
                yield DeleteOne({"_id": document["_id"]})

    counts = engine.run(Backfill(scan(engine.db.c), each_chunk=together, if_unchanged=True))

    assert [document["was"] for document in engine.db.copy.find(sort=[("_id", 1)])] == [0, 0, 1, 0, 0, 0]
    assert engine.db.c.distinct("_id") == [2]
    assert counts.changed == 1


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_statement_the_server_cannot_read(engine: Engine) -> None:
    """One write that makes a whole command fail is found, also among a thousand, and set aside alone."""
    engine.db.c.insert_many({"_id": n} for n in range(1_500))

    def transform(document: Any) -> UpdateOne:
        value = nested(250 if document["_id"] in (0, 700) else 2)
        return UpdateOne({"_id": document["_id"]}, {"$set": {"n": 1, "deep": value}})

    backfill = Backfill(scan(engine.db.c, fields=[]), transform, on_error="quarantine")
    counts = finished(engine, backfill)

    assert aside(engine.db) == [0, 700]
    assert engine.db.c.count_documents({"n": 1}) == 1_498
    assert counts.quarantined == 2


def finished(engine: Engine, backfill: Backfill) -> Counts:
    """What a step does: begin again with half the documents where a chunk was too much."""
    total, sizes = Counts(), None
    while True:
        try:
            for result in engine.results(backfill, sizes=sizes):
                total += result.counts
        except ChunkTooMuchError as error:
            sizes = sizing.fewer(FULL, error.documents // 2, sizing.MAX_CHUNK_BYTES)
        else:
            return total


def test_lookup_that_fails_in_passing(engine: Engine) -> None:
    """A transform whose own lookup meets an election is called again; no document is blamed for it."""
    engine.db.c.insert_many({"_id": n} for n in range(100))
    elections = iter(range(3))

    def transform(document: Any) -> UpdateOne:
        if document["_id"] == 50 and next(elections, None) is not None:
            message = "no primary"
            raise NotPrimaryError(message)
        return increment(document)

    counts = engine.run(Backfill(scan(engine.db.c), transform, on_error="quarantine"))

    assert (counts.written, counts.quarantined) == (100, 0)


def test_replaced_by_its_equal(engine: Engine) -> None:
    """With if_unchanged a document replaced under an equal `_id` of another type is gone, as if deleted."""
    engine.db.c.insert_many({"_id": n} for n in range(50))
    replaced = [20, 48, 49]

    def transform(document: Any) -> UpdateOne:
        while document["_id"] == 49 and replaced:
            number = replaced.pop()
            engine.db.c.delete_one({"_id": number})
            engine.db.c.insert_one({"_id": float(number)})
        return increment(document)

    counts = engine.run(Backfill(scan(engine.db.c), transform, if_unchanged=True))

    assert (counts.written, counts.changed) == (47, 3)
    assert engine.db.c.count_documents({"n": 1}) == 47


def meets_elections(*, later: bool, then_fails: bool = False) -> Callable[[Any], Any]:
    """A transform that takes the price out of a document before its lookup; ``later``: as a generator."""
    elections = iter(range(3))

    def moved(document: Any) -> UpdateOne:
        price = document.pop("price")
        if document["_id"] == 50 and next(elections, None) is not None:
            message = "no primary"
            raise NotPrimaryError(message)
        if document["_id"] == 50 and then_fails:
            message = "no cents"
            raise ValueError(message)
        return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": price}})

    def generated(document: Any) -> Any:
        yield UpdateOne({"_id": document["_id"]}, {"$inc": {"writes": 1}})
        yield moved(document)

    return generated if later else moved


@pytest.mark.parametrize("later", [False, True], ids=["function", "generator"])
@pytest.mark.parametrize("together", [False, True], ids=["single", "each_chunk"])
def test_lookup_in_the_middle(engine: Engine, *, together: bool, later: bool) -> None:
    """Where a lookup fails in passing the document is given afresh, and none of its writes is there twice."""
    engine.db.c.insert_many({"_id": n, "price": 5} for n in range(100))
    transform = meets_elections(later=later)

    def each_chunk(documents: list[Any]) -> Any:
        while documents:  # what it has taken out must be there again
            answer = transform(documents.pop())
            yield from answer if later else [answer]

    how: Any = {"each_chunk": each_chunk} if together else {"transform": transform}
    counts = engine.run(Backfill(scan(engine.db.c), **how))

    assert counts.written == 100
    assert engine.db.c.count_documents({"n": 5} | ({"writes": 1} if later else {})) == 100


@pytest.mark.parametrize("later", [False, True], ids=["function", "generator"])
def test_lookup_that_fails_for_good(engine: Engine, *, later: bool) -> None:
    """What a transform raises after its lookup met an election is that document's failure, like any other."""
    engine.db.c.insert_many({"_id": n, "price": 5} for n in range(100))
    transform = meets_elections(later=later, then_fails=True)
    counts = engine.run(Backfill(scan(engine.db.c), transform, on_error="quarantine"))

    assert (counts.written, counts.quarantined) == (99, 1)
    assert [row["reason"] for row in listing(engine.db, "m")] == ["transform"]
    assert engine.db.c.find_one({"_id": 50}) == {"_id": 50, "price": 5}


def test_reply_that_is_cut(engine: Engine) -> None:
    """With if_unchanged documents are not taken for gone because the server cuts a reply at 16 MiB."""
    engine.db.c.insert_many({"_id": n, "a": "x" * (1_000_000 if n % 30 == 0 else 10)} for n in range(900))
    counts = engine.run(Backfill(scan(engine.db.c), increment, if_unchanged=True))

    assert (counts.written, counts.changed) == (900, 0)
    assert engine.db.c.count_documents({"n": 1}) == 900
