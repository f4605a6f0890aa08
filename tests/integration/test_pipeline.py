from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest
from bson import ObjectId

from chunkmigrate import (
    Backfill,
    DeleteMany,
    DeleteOne,
    InsertOne,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
    scan,
    sizing,
)
from chunkmigrate.errors import (
    ResumeError,
    SupersededError,
    TooLargeError,
    TransformError,
    WriteRefusedError,
)
from chunkmigrate.memory import Budget, Reading
from tests.integration.test_scan import MIXED_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.database import Database

    from chunkmigrate.memory import Sensor
    from tests.integration.conftest import Engine


def increment(document: Any) -> UpdateOne:
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})


def after(chunks: int) -> Callable[[], bool]:
    """Asks to stop once it was asked that often."""
    asked = count()
    return lambda: next(asked) >= chunks


def all_once(db: Database[Any], documents: int) -> bool:
    return db.c.count_documents({"n": 1}) == db.c.count_documents({}) == documents


def test_every_document_once(engine: Engine) -> None:
    """Every document is read once and written once, and the counts say so."""
    engine.db.c.insert_many({"_id": n} for n in range(5_500))

    counts = engine.run(Backfill(scan(engine.db.c, fields=[]), increment))

    assert (counts.read, counts.written, counts.writes) == (5_500, 5_500, 5_500)
    assert all_once(engine.db, 5_500)


@pytest.mark.parametrize("writers", [1, 2, 3, 4])
def test_stopped_and_resumed(engine: Engine, writers: int) -> None:
    """Stopping at any document and going on, with any number of writers, repeats and skips nothing."""
    engine.db.c.insert_many({"_id": n} for n in range(9_000))
    backfill, random_ = Backfill(scan(engine.db.c, fields=[]), increment), random.Random(writers)
    while not engine.claim(backfill).done:
        stop = after(random_.randrange(1, 2_500))
        engine.run(backfill, writers=random_.randint(1, writers), stopped=stop)

    assert all_once(engine.db, 9_000)


def test_mixed_ids_across_resumes(engine: Engine) -> None:
    """`_id`s of every type in one collection are all migrated once, one attempt for each document."""
    engine.db.c.insert_many({"_id": id_} for id_ in MIXED_IDS)
    backfill = Backfill(scan(engine.db.c, fields=[]), increment)
    while not engine.claim(backfill).done:
        engine.run(backfill, stopped=after(1))

    assert all_once(engine.db, len(MIXED_IDS))


@pytest.mark.parametrize("ids", [MIXED_IDS, range(2_000)], ids=["mixed", "plain"])
def test_read_by_another_index(engine: Engine, ids: Sequence[Any]) -> None:
    """What is read by an index that writing takes documents out of is migrated once, across attempts, too."""
    engine.db.c.create_index([("s", 1), ("_id", 1)])
    engine.db.c.insert_many({"_id": id_, "s": "open" if n % 2 else "done"} for n, id_ in enumerate(ids))
    close = lambda document: UpdateOne({"_id": document["_id"]}, {"$set": {"s": "done"}, "$inc": {"n": 1}})  # noqa: E731
    backfill = Backfill(scan(engine.db.c, {"s": "open"}, fields=[], hint="s_1__id_1"), close)
    while not engine.claim(backfill).done:
        engine.run(backfill, stopped=after(300 if len(ids) > 300 else 1))

    assert engine.db.c.count_documents({"n": 1}) == len(ids) // 2
    assert engine.db.c.count_documents({"n": {"$exists": True}}) == len(ids) // 2


def test_random_sizes_on_every_resume(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the chunk size at random on every resume skips nothing and repeats nothing."""
    engine.db.c.insert_many({"_id": ObjectId()} for _ in range(6_000))
    backfill, random_ = Backfill(scan(engine.db.c, fields=[]), increment), random.Random(11)
    while not engine.claim(backfill).done:
        monkeypatch.setattr(sizing, "MAX_CHUNK_DOCUMENTS", random_.choice([1, 7, 100, 1_000]))
        engine.run(backfill, writers=random_.randint(1, 4), stopped=after(random_.randrange(900)))

    assert all_once(engine.db, 6_000)


def test_hole_is_filled_and_ranges_ahead_are_skipped(engine: Engine) -> None:
    """Chunks committed beyond one that failed are not repeated once the failed one succeeds."""
    engine.db.create_collection("c", validator={"n": {"$not": {"$gt": 0}}})
    engine.db.c.insert_many({"_id": n} for n in range(8_000))
    engine.db.command("collMod", "c", validator={"$or": [{"n": {"$exists": False}}, {"_id": {"$ne": 1_500}}]})
    # The first time, the server takes so long to find that document that others commit beyond it.
    slow = iter([{"$where": "sleep(2000) || true"}])

    def increment_slowly(document: Any) -> UpdateOne:
        held = next(slow, {}) if document["_id"] == 1_500 else {}
        return UpdateOne({"_id": document["_id"], **held}, {"$inc": {"n": 1}})

    backfill = Backfill(scan(engine.db.c, fields=[]), increment_slowly)
    for writers in (4, 3, 4, 2):
        with pytest.raises(WriteRefusedError) as refused:
            engine.run(backfill, writers=writers)

        assert refused.value.document_id == 1_500
        assert engine.db.c.count_documents({"n": {"$gt": 1}}) == 0
    ahead = engine.db.c.count_documents({"_id": {"$gte": 2_000}, "n": 1})
    engine.db.command("collMod", "c", validator={})
    engine.run(backfill, stopped=after(700), writers=3)
    counts = engine.run(backfill, writers=3)

    assert ahead > 0
    assert counts.read < 8_000 - ahead
    assert all_once(engine.db, 8_000)


def test_inserted_behind_the_bound(engine: Engine) -> None:
    """What a migration inserts into the collection it reads is not read again, and the run ends."""
    engine.db.c.insert_many({"_id": n} for n in range(3_000))

    counts = engine.run(Backfill(scan(engine.db.c), lambda d: InsertOne({"copy": d["_id"]})))

    assert counts.read == 3_000
    assert engine.db.c.count_documents({}) == 6_000


def test_every_operation(engine: Engine) -> None:
    """All six operations do what pymongo's bulk_write would do, in their order."""
    db = engine.db
    db.c.insert_many({"_id": n, "tags": [1, 2, 3]} for n in range(6))
    db.other.insert_many({"_id": n, "of": n % 2} for n in range(6))
    answers: dict[int, Any] = {
        0: UpdateOne(
            {"_id": 0, "tags": 2}, {"$set": {"tags.$[big]": 9}}, array_filters=[{"big": {"$gt": 1}}]
        ),
        1: ReplaceOne({"_id": 1}, {"replaced": True}),
        2: [DeleteOne({"_id": 2}), InsertOne({"_id": "two"})],
        3: UpdateMany({"of": 1}, {"$set": {"many": True}}, namespace=f"{db.name}.other"),
        4: (write for write in [DeleteMany({"of": 0}, namespace=f"{db.name}.other")]),
        5: UpdateOne({"_id": "new"}, [{"$set": {"made": {"$add": [1, 1]}}}], upsert=True),
    }

    counts = engine.run(Backfill(scan(db.c), lambda document: answers[document["_id"]]))

    assert counts.writes == 7
    assert db.c.find_one(0) == {"_id": 0, "tags": [1, 9, 9]}
    assert db.c.find_one(1) == {"_id": 1, "replaced": True}
    assert db.c.find_one(2) is None
    assert db.c.find_one("two") == {"_id": "two"}
    assert db.c.find_one("new") == {"_id": "new", "made": 2}
    assert [d["_id"] for d in db.other.find({"many": True})] == [1, 3, 5]
    assert db.other.count_documents({"of": 0}) == 0


def test_into_another_collection(engine: Engine) -> None:
    """Writes go to `into=`, and the scanned collection stays as it was."""
    engine.db.c.insert_many({"_id": n} for n in range(1_200))
    backfill = Backfill(scan(engine.db.c), InsertOne, into=engine.db.copy)

    engine.run(backfill)

    assert engine.db.copy.count_documents({}) == engine.db.c.count_documents({}) == 1_200


def test_skipped_documents_move_the_position(engine: Engine) -> None:
    """Documents whose transform returns None count as skipped, and are not read again."""
    engine.db.c.insert_many({"_id": n} for n in range(2_000))
    backfill = Backfill(scan(engine.db.c), lambda _: None)
    counts = engine.run(backfill, stopped=after(1_300))
    rest = engine.run(backfill)

    assert (counts.written, counts.skipped) == (0, counts.read)
    assert counts.read + rest.read == 2_000


def test_each_chunk(engine: Engine) -> None:
    """`each_chunk` gets lists of decoded documents, each document in exactly one of them."""
    engine.db.c.insert_many({"_id": n, "a": "x" * 2_000} for n in range(3_000))
    lengths = []

    def together(documents: Any) -> Any:
        lengths.append(len(documents))
        return [increment(document) for document in documents]

    counts = engine.run(Backfill(scan(engine.db.c), each_chunk=together))

    assert counts.read == sum(lengths) == 3_000
    assert max(lengths) * 2_000 < 1.1 * 1024 * 1024
    assert all_once(engine.db, 3_000)


def test_writes_of_one_document_stay_together(engine: Engine) -> None:
    """A document with more writes than a chunk may have documents is one chunk all the same."""
    engine.db.c.insert_many({"_id": n} for n in range(3))
    backfill = Backfill(
        scan(engine.db.c), lambda d: (InsertOne({"of": d["_id"]}) for _ in range(2_500)), into=engine.db.copy
    )

    counts = engine.run(backfill)

    assert counts.writes == engine.db.copy.count_documents({}) == 7_500


def test_transform_that_raises(engine: Engine) -> None:
    """A transform that raises stops the run with the document named, and its chunk is not written."""
    engine.db.c.insert_many({"_id": n} for n in range(2_100))

    def picky(document: Any) -> Any:
        return {}["missing"] if document["_id"] == 2_050 else increment(document)

    with pytest.raises(TransformError, match=r"picky raised KeyError: 'missing'.*_id 2050") as failed:
        engine.run(Backfill(scan(engine.db.c), picky))

    assert failed.value.document_id == 2_050
    assert engine.db.c.count_documents({"n": 1}) in (0, 1_000, 2_000)


def test_duplicate_key(engine: Engine) -> None:
    """A write the server refuses names the document it came from, and nothing of its chunk is written."""
    engine.db.c.insert_many({"_id": n} for n in range(500))
    engine.db.copy.insert_one({"_id": 321})

    with pytest.raises(WriteRefusedError, match=r"_id 321\b.*duplicate key.*11000") as refused:
        engine.run(Backfill(scan(engine.db.c), InsertOne, into=engine.db.copy))

    assert (refused.value.document_id, refused.value.code) == (321, 11000)
    assert engine.db.copy.count_documents({}) == 1


def test_result_over_16_mib(engine: Engine) -> None:
    """A document that would grow over 16 MiB, here or on the server, stops the run with its `_id`."""
    engine.db.c.insert_many([{"_id": "small"}, {"_id": "large", "a": "x" * (9 << 20)}])
    growing: list[Any] = [
        lambda d: UpdateOne({"_id": d["_id"]}, {"$set": {"b": "y" * (17 << 20)}}),
        lambda d: UpdateOne({"_id": d["_id"]}, {"$set": {"b": "y" * (8 << 20)}}),
        lambda d: ReplaceOne({"_id": d["_id"]}, {"b": "y" * (16 << 20)}),
    ]
    for transform in growing:
        with pytest.raises((TooLargeError, WriteRefusedError)) as failed:
            engine.run(Backfill(scan(engine.db.c, {"_id": "large"}, fields=[]), transform))

        assert failed.value.document_id == "large"
        assert "16" in str(failed.value) or "large" in str(failed.value)
    assert engine.db.c.count_documents({"b": {"$exists": True}}) == 0


def test_live_writer_on_the_same_documents(engine: Engine) -> None:
    """Conflicts with a live writer are retried: its edits and the migration's both arrive, once each."""
    import threading

    engine.db.c.insert_many({"_id": n, "live": 0} for n in range(3_000))
    done = threading.Event()

    def edit() -> None:
        for n in count():
            if done.is_set():
                return
            engine.db.c.update_one({"_id": n % 3_000}, {"$inc": {"live": 1}})

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        engine.run(Backfill(scan(engine.db.c, fields=[]), increment), writers=4)
    finally:
        done.set()
        editor.join()

    assert all_once(engine.db, 3_000)


def test_taken_over(engine: Engine) -> None:
    """A run whose step was claimed by another cannot write one more chunk."""
    engine.db.c.insert_many({"_id": n} for n in range(4_000))
    backfill = Backfill(scan(engine.db.c, fields=[]), increment)
    first = engine.results(backfill, writers=1)
    next(first)
    engine.run(backfill)
    with pytest.raises(SupersededError):
        list(first)

    assert all_once(engine.db, 4_000)


def test_death_while_claiming(engine: Engine) -> None:
    """A step whose claim was cut off after its first record, on a standalone server, keeps its place."""
    engine.db.c.insert_many({"_id": n} for n in range(4_000))
    backfill = Backfill(scan(engine.db.c, fields=[]), increment)
    done = engine.run(backfill, stopped=after(2_500))
    engine.claim(backfill)
    checkpoints = engine.db.chunkmigrate_checkpoints
    first = checkpoints.find_one({"slot": 0})
    assert first
    torn = next(engine.generations)
    checkpoints.insert_one(first | {"_id": f"m:0:0:{torn}", "generation": torn, "fence": torn})
    rest = engine.run(backfill)

    assert done.read + rest.read == 4_000
    assert all_once(engine.db, 4_000)
    assert checkpoints.distinct("generation") == [torn + 2]


def test_empty_collection(engine: Engine) -> None:
    """A collection without documents is done at once, and stays done."""
    backfill = Backfill(scan(engine.db.c), increment)

    assert engine.run(backfill).read == 0
    assert engine.claim(backfill).done


def test_filter_that_cannot_be_counted(engine: Engine) -> None:
    """A filter the server can find with but not count with is no failure; how many are left is not known."""
    engine.db.c.insert_many({"_id": n} for n in range(20))
    described = scan(engine.db.c, {"$where": "this._id < 10"})

    assert described.count() is None
    assert len(list(described)) == 10


def test_checkpoint_of_another_scan(engine: Engine) -> None:
    """A checkpoint made in one collection is not used in another."""
    engine.db.c.insert_many({"_id": n} for n in range(10))
    engine.run(Backfill(scan(engine.db.c), increment))

    with pytest.raises(ResumeError, match="Restore what it read"):
        engine.claim(Backfill(scan(engine.db.other), increment))


def test_learned_sizes_are_kept(engine: Engine) -> None:
    """The sizes a run learned are where the next attempt begins."""
    engine.db.c.insert_many({"_id": n} for n in range(9_000))
    backfill = Backfill(scan(engine.db.c, fields=[]), increment)
    *_, last = engine.results(backfill, stopped=after(7_500))

    assert engine.claim(backfill).sizes == last.sizes


def test_undecodable_document(engine: Engine) -> None:
    """A stored document that the driver cannot decode stops the run with its `_id`."""
    from bson.raw_bson import RawBSONDocument

    from chunkmigrate.errors import UndecodableError

    text = b"\x02a\x00\x03\x00\x00\x00\xff\xfe\x00"
    element = b"\x10_id\x00\x07\x00\x00\x00" + text
    broken = (len(element) + 5).to_bytes(4, "little") + element + b"\x00"
    engine.db.c.insert_one(RawBSONDocument(broken))

    with pytest.raises(UndecodableError, match="_id 7 cannot be decoded"):
        engine.run(Backfill(scan(engine.db.c), increment))


class FullSensor:
    """Reports ever less room, as a process does whose transform leaks."""

    rss_start = 40 << 20
    budget = Budget(size=100 << 20, source="a test", warnings=())

    def __init__(self) -> None:
        self._used = self.rss_start

    def read(self) -> Reading:
        self._used = min(self._used + (1 << 16), 97 << 20)
        return Reading(rss=self._used, used=self._used, budget=self.budget.size)


def test_memory_that_does_not_come_back(engine: Engine) -> None:
    """A run whose memory stays used shrinks to the least, then stops at a checkpoint for lack of memory."""
    engine.db.c.insert_many({"_id": n, "a": "x" * 500} for n in range(90_000))
    backfill = Backfill(
        scan(engine.db.c, fields=[]), lambda d: UpdateOne({"_id": d["_id"]}, {"$set": {"n": 1}})
    )
    results = list(engine.results(backfill, sensor=cast("Sensor", FullSensor())))
    zones = list(dict.fromkeys(result.zone for result in results))

    assert zones[:3] == [sizing.Zone.GROW, sizing.Zone.HOLD, sizing.Zone.SHRINK]
    assert results[-1].sizes.chunk_bytes <= 2 * sizing.MIN_CHUNK_BYTES
    assert not engine.claim(backfill).done
    assert sum(r.read for r in results) == engine.db.c.count_documents({"n": 1}) < 90_000
