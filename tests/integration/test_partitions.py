"""A step that several processes share: how it is divided, taken, taken over, and finished."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo import MongoClient

from chunkmigrate import (
    Backfill,
    UpdateOne,
    checkpoint,
    fencing,
    lease_record,
    partitions,
    records,
    scan,
    settlement,
)
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import LeaseHeldError, QuarantineFullError, SupersededError, TransformError
from chunkmigrate.frontier import Range, Reach
from chunkmigrate.ledger import APPLIED, MIGRATIONS, RUNS
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.pages import PageReader
from chunkmigrate.raw import key_of
from chunkmigrate.records import Counts, Intent, Place, Record
from chunkmigrate.runner import Run
from chunkmigrate.sharing import end_sharing
from tests.integration.test_scan import MIXED_IDS
from tests.integration.undone import stored, undone

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.database import Database

    from chunkmigrate.holder import Holder
    from chunkmigrate.raw import Key
    from tests.integration.conftest import Engine

MIB = 1024 * 1024
PLACE = Place("m", 0)


def key(id_: Any) -> Key:
    return key_of(bson.encode({"_id": id_}))


def migration(path: Path, *steps: Callable[[Any], Backfill]) -> Migration:
    return Migration(
        name="m",
        path=path / "m.py",
        description="",
        checksum="sha256:1",
        upgrade=lambda db: [step(db) for step in steps],
    )


def add_one(db: Database[Any]) -> Backfill:
    return Backfill(scan(db.c, fields=[]), lambda one: UpdateOne({"_id": one["_id"]}, {"$inc": {"n": 1}}))


def twice(db: Database[Any]) -> Backfill:
    """A step that would go wrong if the one before it were not done: it needs what that has written."""
    return Backfill(
        scan(db.c, fields=["n"]),
        lambda one: UpdateOne({"_id": one["_id"]}, {"$set": {"twice": one["n"] * 2}}),
    )


@pytest.fixture
def standalone(standalone_uri: str) -> Iterator[Database[Any]]:
    with MongoClient[dict[str, Any]](standalone_uri) as client:
        yield client.partitions
        client.drop_database("partitions")


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> str:
    """What makes the runs of this process share their work."""
    monkeypatch.setenv("CHUNKMIGRATE_GROUP", "g")
    return "g"


def run_of(db: Database[Any], path: Path, *steps: Callable[[Any], Backfill], **how: Any) -> Run:
    return Run(migration(path, *steps), db, Sensor(memory=512 * MIB), writers=1, **how)


def once(db: Database[Any], documents: int) -> bool:
    return db.c.count_documents({"n": 1}) == db.c.count_documents({}) == documents


def inside(db: Database[Any], after: Key | None, upto: Key) -> list[bytes]:
    pages = PageReader(scan(db.c), upto).pages(after, MIB, measured=False)
    return [bytes(page.document(index)) for page in pages for index in range(len(page))]


def test_equal_bytes(db: Database[Any]) -> None:
    """Ranges hold about as many bytes each, wherever in the collection the large documents are."""
    db.c.insert_many({"_id": n, "pad": "x" * (9_000 if n < 400 else 90)} for n in range(4_000))
    ends = partitions.ends(scan(db.c), None, key(3_999))
    sizes = [sum(map(len, inside(db, *ends_))) for ends_ in pairwise([None, *ends])]

    assert len(ends) in {7, 8}
    assert max(sizes) < 2 * sum(sizes) / len(sizes)


def test_nothing_between(db: Database[Any]) -> None:
    """The ranges hold every document once, in the order of the index, whatever the types of the `_id`s."""
    db.c.insert_many({"_id": id_} for id_ in MIXED_IDS)
    upto = scan(db.c).upper_bound()
    assert upto
    ends = partitions.ends(scan(db.c), None, upto, least=3)
    ranges = [inside(db, *ends_) for ends_ in pairwise([None, *ends])]

    assert len(ends) > 5
    assert ends[-1] == upto
    assert all(ranges)
    assert [one for range_ in ranges for one in range_] == inside(db, None, upto)


def test_large_ids(db: Database[Any]) -> None:
    """A step is divided whose sampled `_id`s are together more than one document may hold."""
    db.c.insert_many({"_id": f"{n:04}" + "x" * 9_000} for n in range(2_000))
    upto = scan(db.c).upper_bound()
    assert upto

    assert len(partitions.ends(scan(db.c), None, upto)) == 3


def test_few_documents(db: Database[Any]) -> None:
    """What is less than a chunk is not divided."""
    db.c.insert_many({"_id": n} for n in range(400))

    assert partitions.ends(scan(db.c), None, key(399)) == [key(399)]
    assert partitions.ends(scan(db.c), key(388), key(399), least=5) == [key(393), key(399)]


def test_shared(db: Database[Any], tmp_path: Path, group: str) -> None:
    """Runs of one group do each document of each step once, one step after the other, and apply it once."""
    assert group
    db.c.insert_many({"_id": n} for n in range(6_000))
    runs = [run_of(db, tmp_path, add_one, twice) for _ in range(3)]
    threads = [threading.Thread(target=list, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert once(db, 6_000)
    assert db.c.count_documents({"twice": 2}) == 6_000
    assert sum((run.outcome.counts for run in runs), Counts()).read == 12_000
    assert [run.outcome.status for run in runs] == [APPLIED] * 3
    assert [one["status"] for one in db[MIGRATIONS].find()] == [APPLIED]
    # Who comes when all is done finds nothing to begin.
    assert {one["status"] for one in db[RUNS].find()} == {APPLIED}


def setting_aside(every: int, limit: int = 1_000) -> Callable[[Any], Backfill]:
    """A step in which each so manyth document fails, and goes into quarantine."""

    def one(document: Any) -> UpdateOne:
        return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1 // (document["_id"] % every and 1)}})

    return lambda db: Backfill(scan(db.c, fields=[]), one, on_error="quarantine", quarantine_limit=limit)


def test_judged_as_a_whole(db: Database[Any], tmp_path: Path, group: str) -> None:
    """A few documents of each partition that fail are a few documents of the step: the run goes on."""
    assert group
    db.c.insert_many({"_id": n} for n in range(12_000))
    run = run_of(db, tmp_path, setting_aside(20))
    list(run)

    assert run.outcome.status == APPLIED
    assert db.chunkmigrate_quarantine.count_documents({}) == 600


def test_one_limit(engine: Engine) -> None:
    """What others have set aside of the same step counts against its limit."""
    by_now = iter([0, 1, 3])
    quarantine = engine.quarantine(setting_aside(1, limit=3)(engine.db), "m")
    quarantine.recount = lambda: next(by_now)
    error, chunk = TransformError(1, "it failed"), Chunk(0, None)
    quarantine.take(chunk, 0, 1, error)
    quarantine.take(chunk, 1, 2, error)
    with pytest.raises(QuarantineFullError):
        quarantine.take(chunk, 2, 3, error)


def test_undivided_before(db: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an undivided run has done is not done again once others share the rest."""
    db.c.insert_many({"_id": n} for n in range(6_000))
    asked = iter([False] * 1_500)
    first = run_of(db, tmp_path, add_one, stopped=lambda: next(asked, True))
    list(first)
    monkeypatch.setenv("CHUNKMIGRATE_GROUP", "g")
    second = run_of(db, tmp_path, add_one)
    list(second)

    assert 0 < first.outcome.counts.read < 6_000
    assert first.outcome.counts.read + second.outcome.counts.read == 6_000
    assert once(db, 6_000)


def test_alone_afterwards(
    db: Database[Any], tmp_path: Path, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of its own goes on with what a group has left."""
    db.c.insert_many({"_id": n} for n in range(6_000))
    asked = iter([False] * 1_500)
    first = run_of(db, tmp_path, add_one, stopped=lambda: next(asked, True))
    list(first)
    stopped = db[MIGRATIONS].find_one() or {}
    monkeypatch.delenv("CHUNKMIGRATE_GROUP")
    second = run_of(db, tmp_path, add_one)
    list(second)

    assert (group, stopped["status"]) == ("g", "stopped")
    assert 0 < first.outcome.counts.read < 6_000
    assert first.outcome.counts.read + second.outcome.counts.read == 6_000
    assert once(db, 6_000)


def keeping(db: Database[Any]) -> Backfill:
    change = {"$inc": {"n": 1}, "$unset": {"a": ""}}
    return Backfill(scan(db.c), lambda one: UpdateOne({"_id": one["_id"]}, change), undo=True)


def test_rolled_back(db: Database[Any], tmp_path: Path, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a group has done is undone byte for byte, and can be done again from the beginning."""
    assert group
    db.c.insert_many({"_id": n, "a": n, "z": 1} for n in range(3_000))
    before = stored(db)
    list(run_of(db, tmp_path, keeping))
    monkeypatch.delenv("CHUNKMIGRATE_GROUP")

    assert stored(db) != before
    assert undone(db).counts.written == 3_000
    assert stored(db) == before
    assert not db[checkpoint.COLLECTION].count_documents({"migration": "m"})

    list(run_of(db, tmp_path, keeping))

    assert once(db, 3_000)


def test_rollback_waits(db: Database[Any], tmp_path: Path, group: str) -> None:
    """Nobody rolls back what somebody is at work on, with one partition left."""
    assert group
    db.c.insert_many({"_id": n} for n in range(3_000))
    asked = iter([False] * 500)
    list(run_of(db, tmp_path, keeping, stopped=lambda: next(asked, True)))
    lease_record.collection_of(db).update_one(
        {"_id.partition": {"$gt": 0}},
        [{"$set": {"released": False, "until": {"$add": ["$$NOW", 60_000]}, "holder.boot": "elsewhere"}}],
    )

    with pytest.raises(LeaseHeldError):
        undone(db)


def shared_with(db: Database[Any], other: Holder) -> dict[str, Any]:
    """Divide a step in two, and let somebody else have the first; return the name of its lease."""
    name = replace(PLACE, partition=1).document()
    partitions.divide(
        db,
        PLACE,
        Record(namespace=f"{db.name}.c", upto=key(2_999)),
        [key(1_500), key(2_999)],
        advance=lambda _: 1,
        session=None,
    )
    lease_record.present(db, name)
    assert lease_record.claim(lease_record.collection_of(db), name, other, 30)
    return name


def test_rolled_back_meanwhile(
    db: Database[Any], tmp_path: Path, group: str, process: tuple[subprocess.Popen[str], Holder]
) -> None:
    """A run that waits for others takes no partition of what somebody has begun to roll back."""
    db.c.insert_many({"_id": n} for n in range(3_000))
    list(run_of(db, tmp_path, add_one, stopped=lambda: True))
    name = shared_with(db, process[1])

    def rollback(event: str, *_: Any, **__: Any) -> None:
        if event == "waiting":
            db[MIGRATIONS].update_one({"_id": "m"}, {"$set": {"direction": "down", "status": "failed"}})
            lease_record.release(lease_record.collection_of(db), name, process[1].token)

    assert group
    with pytest.raises(SupersededError):
        list(run_of(db, tmp_path, add_one, note=rollback))
    assert (db[MIGRATIONS].find_one() or {})["status"] == "failed"
    assert db.c.count_documents({"n": 1}) == 1_499


def test_held_by_another(
    db: Database[Any], tmp_path: Path, group: str, process: tuple[subprocess.Popen[str], Holder]
) -> None:
    """A partition is given back undone while somebody who is not of the group has the migration's lease."""
    db.c.insert_many({"_id": n} for n in range(3_000))
    list(run_of(db, tmp_path, add_one, stopped=lambda: True))
    name, leases = shared_with(db, process[1]), lease_record.collection_of(db)
    freed = {"generation": 0}

    def taken(event: str, *_: Any, **__: Any) -> None:
        if event == "waiting" and not freed["generation"]:
            assert lease_record.claim(leases, "m", replace(process[1], group=""), 30)
            lease_record.release(leases, name, process[1].token)
            freed["generation"] = lease_record.present(db, name).generation

    def stopped() -> bool:
        seen = lease_record.present(db, name)
        return bool(freed["generation"]) and seen.released and seen.generation > freed["generation"]

    assert group
    list(run_of(db, tmp_path, add_one, note=taken, stopped=stopped))
    assert db.c.count_documents({"n": 1}) == 1_499


def test_nobody_goes_on(db: Database[Any], process: tuple[subprocess.Popen[str], Holder]) -> None:
    """Who has a partition and was frozen until its lease ran out does not go on beside a rollback."""
    name, leases = shared_with(db, process[1]), lease_record.collection_of(db)
    leases.update_one({"_id": name}, [{"$set": {"until": "$$NOW"}}])
    end_sharing(db, "m")

    assert lease_record.renew(leases, name, process[1].token, 30, advance=True) is None


def test_forgotten(
    db: Database[Any], tmp_path: Path, group: str, process: tuple[subprocess.Popen[str], Holder]
) -> None:
    """A run that waits for others does not take a step for done that was forgotten in the meantime."""
    db.c.insert_many({"_id": n} for n in range(3_000))
    list(run_of(db, tmp_path, add_one, stopped=lambda: True))
    shared_with(db, process[1])
    forget = {"waiting": lambda: fencing.forget(db, "m", None)}
    run = run_of(db, tmp_path, add_one, note=lambda event, *_, **__: forget.get(event, bool)())

    assert group
    with pytest.raises(SupersededError):
        list(run)
    assert (db[MIGRATIONS].find_one() or {})["status"] != APPLIED


def test_joined(
    db: Database[Any], tmp_path: Path, group: str, process: tuple[subprocess.Popen[str], Holder]
) -> None:
    """A run of its own that has joined a group, and is at work on a partition, is not down as died."""
    db.c.insert_many({"_id": n} for n in range(10))
    name = replace(PLACE, partition=64).document()
    lease_record.present(db, name)
    assert lease_record.claim(lease_record.collection_of(db), name, process[1], 30)
    joined = {"migration": "m", "status": "running", "token": process[1].token, "group": "", "generation": 0}
    db[RUNS].insert_one({"_id": 1} | joined)
    list(run_of(db, tmp_path, add_one, stopped=lambda: True))

    assert group
    assert [one["status"] for one in db[RUNS].find().sort("status", 1)] == ["running", "stopped"]


def test_settled_beside_the_dead(
    db: Database[Any],
    tmp_path: Path,
    group: str,
    process: tuple[subprocess.Popen[str], Holder],
) -> None:
    """The last of a group says how the migration stands, whatever lease one that was killed has left."""
    killed, holder = process
    db.c.insert_many({"_id": n} for n in range(3_000))
    asked = iter([False] * 300)
    killed.kill()
    killed.wait()
    name = replace(PLACE, partition=64).document()
    lease_record.present(db, name)
    assert lease_record.claim(lease_record.collection_of(db), name, holder, 30)
    list(run_of(db, tmp_path, add_one, stopped=lambda: next(asked, True)))

    assert group
    assert (db[MIGRATIONS].find_one() or {})["status"] == "stopped"


def settled(db: Database[Any], folder: Path, group: str, end: str, ago: timedelta) -> str:
    """Return how a migration stands after a stop, where another one of the group had ended so, so long ago,
    and one had died.
    """
    db.c.insert_many({"_id": n} for n in range(1_000))
    other = {"migration": "m", "group": group, "began": datetime.now(UTC) - timedelta(days=1)}
    db[RUNS].insert_one(other | {"status": "died", "ended": None})
    db[RUNS].insert_one(other | {"status": end, "ended": datetime.now(UTC) - ago})
    list(run_of(db, folder, add_one, stopped=lambda: True))
    return str((db[MIGRATIONS].find_one() or {})["status"])


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_last_to_begin(db: Database[Any], tmp_path: Path, group: str, end: str) -> None:
    """One that began as the others were ending, as one failed or was cancelled, makes no stop of that."""
    assert settled(db, tmp_path, group, end, timedelta()) == end


def test_end_of_another_day(db: Database[Any], tmp_path: Path, group: str) -> None:
    """That a Job of the same name has failed before, with a pod of it dead, makes no failure of a stop."""
    assert settled(db, tmp_path, group, "failed", timedelta(hours=1)) == "stopped"


@pytest.mark.parametrize("first", ["stopped", "failed"])
def test_settled_too_early(db: Database[Any], tmp_path: Path, group: str, first: str) -> None:
    """Who ends last says how the group ended, though another one has settled it in the moment before; but
    what is worse stays.
    """
    assert group
    db.c.insert_many({"_id": n} for n in range(1_000))
    run = run_of(db, tmp_path, add_one, stopped=lambda: True)
    list(run)
    db[MIGRATIONS].update_one({}, {"$set": {"status": first}})
    mine = (db[RUNS].find_one() or {})["_id"]
    for end in ("cancelled", "stopped"):
        settlement.settle(db, "m", mine, end)

    assert (db[MIGRATIONS].find_one() or {})["status"] == ("failed" if first == "failed" else "cancelled")


def test_islands(db: Database[Any], tmp_path: Path, group: str) -> None:
    """Ranges that an undivided attempt had done ahead of its position are not done again."""
    assert group
    db.c.insert_many({"_id": n, **({"n": 1} if n < 100 or 200 <= n < 300 else {})} for n in range(3_000))
    island = Range(0, key(199), key(299))
    left = Record(
        namespace=f"{db.name}.c",
        upto=key(2_999),
        reach=Reach(key(99)),
        islands=(island,),
        counts=Counts(read=200),
        intent=Intent(after=key(99), through=None, used=1, budget=2),
    )
    identity = {**PLACE.document(), "namespace": left.namespace}
    db[checkpoint.COLLECTION].insert_one({"_id": "m:0:0:1"} | identity | records.slot_document(0, 1, left))
    run = run_of(db, tmp_path, add_one)
    list(run)

    assert run.outcome.counts.read == 2_800
    assert once(db, 3_000)


def test_torn(standalone: Database[Any], tmp_path: Path, group: str) -> None:
    """A division that was cut off, on a server without transactions, is made anew."""
    assert group
    standalone.c.insert_many({"_id": n} for n in range(3_000))
    list(run_of(standalone, tmp_path, add_one, stopped=lambda: True))
    fresh = Record(namespace=f"{standalone.name}.c", upto=key(2_999))
    scrap = {"_id": "m:0/7:0:0", "namespace": fresh.namespace} | replace(PLACE, partition=7).document()
    standalone[checkpoint.COLLECTION].insert_one(scrap | records.slot_document(0, 0, fresh))
    run = run_of(standalone, tmp_path, add_one)
    list(run)

    assert run.outcome.counts.read == 3_000
    assert once(standalone, 3_000)


def test_taken_over(engine: Engine) -> None:
    """Who has lost a partition to another commits nothing to it any more."""
    engine.db.c.insert_many({"_id": n} for n in range(10))
    place = replace(PLACE, partition=3)
    generations = iter(range(1, 10))

    def claim() -> checkpoint.Checkpoint:
        fencing.fence(engine.db, place.matching(), next(generations), None)
        advance = lambda _: next(generations)  # noqa: E731
        return checkpoint.claim(engine.db, place, scan(engine.db.c), slots=1, advance=advance, session=None)

    slow = claim()
    claim()
    with pytest.raises(SupersededError):
        slow.intend(Intent(after=None, through=None, used=1, budget=2))


def test_fenced_apart(engine: Engine) -> None:
    """The lease of a migration changes hands without fencing the partitions others are at work on."""
    engine.db.c.insert_many({"_id": n} for n in range(10))
    place, generations = replace(PLACE, partition=3), iter(range(1, 10))
    at_work = checkpoint.claim(
        engine.db, place, scan(engine.db.c), slots=1, advance=lambda _: next(generations), session=None
    )
    fencing.fence(engine.db, records.undivided("m"), 99, None)

    at_work.intend(Intent(after=None, through=None, used=1, budget=2))
