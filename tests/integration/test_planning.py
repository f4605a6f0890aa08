"""A plan, and the history, on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate import (
    Backfill,
    DeleteOne,
    InsertOne,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
    history,
    planning,
    scan,
)
from chunkmigrate.compared import compare
from chunkmigrate.errors import ChunkmigrateError, UnknownRunError
from chunkmigrate.ledger import RUNS, Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.overview_lines import past_run, planned
from chunkmigrate.readonly import ReadOnly
from chunkmigrate.runner import Run
from chunkmigrate.sizing import Most
from chunkmigrate.touching import Written, written
from chunkmigrate.units import format_bytes
from tests.read_only import Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from chunkmigrate.planning import Planned

CHUNK = Most(chunk_bytes=1 << 20, page_bytes=1 << 20, chunk_documents=100)


def migration(upgrade: Callable[[Any], Any], name: str = "1_m", checksum: str = "meaning1:x") -> Migration:
    return Migration(
        name=name,
        path=Path("nowhere/migrations/m"),
        description="Say it.",
        checksum=checksum,
        upgrade=upgrade,
    )


def add_one(db: Database[Any]) -> Backfill:
    work = scan(db.c, {"n": {"$exists": False}}, fields=["a"])
    return Backfill(work, lambda one: UpdateOne({"_id": one["_id"]}, {"$set": {"n": 1}}))


def run(db: Database[Any], one: Migration) -> Run:
    return Run(one, db, Sensor(), writers=1, most=CHUNK)


@pytest.fixture
def documents(db: Database[Any]) -> Database[Any]:
    db.c.insert_many({"_id": number, "a": 1} for number in range(1_500))
    return db


@pytest.fixture
def plan(mongodb_uri: str, documents: Database[Any]) -> Iterator[Callable[[Migration], Planned]]:
    """Plans one migration by a client that may send reads alone, and proves that it sent no other."""
    writes = Writes()
    with MongoClient[Any](mongodb_uri, event_listeners=[ReadOnly(), writes]) as client:
        db = client[documents.name]

        def plan(one: Migration) -> Planned:
            (found,) = planning.plan(db, compare([one], Ledger(db).entries()))
            return found

        yield plan
    writes.assert_none()


def test_what_it_touches(plan: Callable[[Migration], Planned], documents: Database[Any]) -> None:
    """A plan names collections, fields, and how many documents of how many bytes; nothing tells the time."""
    documents.c.update_one({"_id": 1}, {"$set": {"n": 1}})
    one = migration(lambda db: [add_one(db), Backfill(scan(db.c), InsertOne, into=db.d)])
    found = plan(one)
    first, second = found.steps
    name = documents.name

    assert (found.status, found.acts, found.trouble, found.seconds) == ("pending", "", "", None)
    assert (first.namespace, first.fields, first.filtered_by) == (f"{name}.c", ("a",), ("n",))
    assert (first.documents, first.done) == (1_499, False)
    assert first.writes == (Written(f"{name}.c", "update", ("n",)),)
    assert (second.fields, second.documents, second.writes) == (
        None,
        1_500,
        (Written(f"{name}.d", "insert"),),
    )
    assert second.bytes == 1_500 * scan(documents.c).average_size() > 0
    assert [*planned(1, found)][:3] == [
        "1. 1_m  (pending)  Say it.",
        f"   step 1 reads a of {name}.c where n: 1,499 documents, {format_bytes(first.bytes or 0)}",
        f"     writes {name}.c (update: n)",
    ]


def test_acting(plan: Callable[[Migration], Planned]) -> None:
    """What acts by itself, in upgrade or in its transform, is said to do so; nothing of it is sent."""
    in_upgrade = plan(migration(lambda db: db.c.create_index("a") and None))
    in_transform = plan(migration(lambda db: Backfill(scan(db.c), lambda _: db.d.insert_one({}) and None)))

    assert (in_upgrade.acts, in_transform.acts) == ("createIndexes", "insert")
    assert "acts by itself (createIndexes)" in [*planned(1, in_upgrade)][1]


def test_trouble(plan: Callable[[Migration], Planned]) -> None:
    """What raises is told of without what it quotes, and what a run would refuse as that."""
    raising = plan(migration(lambda db: db.c.find_one()["nope"]))
    wrong = plan(migration(lambda _: 5))

    assert (raising.trouble, raising.unusable) == ("upgrade(db) of 1_m raised KeyError.", False)
    assert wrong.unusable
    assert "returned a int from upgrade(db)" in wrong.trouble


def test_resumed(plan: Callable[[Migration], Planned], documents: Database[Any]) -> None:
    """What an earlier run has done of a step is not planned again; nor a step it has finished."""
    everything = lambda db: Backfill(scan(db.c), lambda one: UpdateOne(one, {"$set": {"m": 1}}))  # noqa: E731
    one = migration(lambda db: [add_one(db), everything(db)])
    begun = iter(run(documents, one))
    while next(begun).step == 1:
        pass
    begun.close()
    first, second = plan(one).steps

    assert first.done
    assert second.documents is not None
    assert 0 < second.documents < 1_500
    assert [*planned(1, plan(one))][1] == "   step 1: done by an earlier run"


def test_pace(plan: Callable[[Migration], Planned], documents: Database[Any]) -> None:
    """How long it takes is told by runs of this very file, else by others of a thousand documents or more."""
    told = {"status": "applied", "began": 1, "seconds": 10.0}
    documents[RUNS].insert_one({"migration": "0_m", "read": 3_000, **told})
    documents[RUNS].insert_one({"migration": "0_m", "read": 999, **told})
    documents[RUNS].insert_one({"migration": "0_m", "read": 9_000, "direction": "down", **told})
    others = plan(migration(add_one))
    documents[RUNS].insert_one({"migration": "1_m", "read": 1_500, **told, "checksum": "meaning1:x"})
    documents[RUNS].insert_one({"migration": "1_m", "read": 9_000, **told, "checksum": "meaning1:old"})
    own = plan(migration(add_one))

    assert (others.seconds, others.by) == ((5.0, 5.0), "runs of other migrations")
    assert (own.seconds, own.by) == ((10.0, 10.0), "its own runs")


def test_writes(documents: Database[Any]) -> None:
    """Each kind of write is told, with the fields an update names; of documents that fail nothing is."""
    answers: dict[int, Any] = {
        0: UpdateMany({}, {"$inc": {"x.y": 1}, "$rename": {"old": "new"}, "$unset": {"z": ""}}),
        1: UpdateOne({}, [{"$set": {"p": 1}}, {"$unset": "q"}, {"$replaceWith": {}}]),
        2: [ReplaceOne({}, {"r": 1}), DeleteOne({})],
        3: 5,
    }
    name = documents.name

    def transform(one: Any) -> Any:
        return answers.get(one["_id"])

    assert written(Backfill(scan(documents.c), transform)) == (
        Written(f"{name}.c", "delete"),
        Written(f"{name}.c", "replace"),
        Written(f"{name}.c", "update", ("new", "old", "p", "q", "x.y", "z")),
    )
    assert written(Backfill(scan(documents.c), lambda _: None)) is None
    assert written(Backfill(scan(documents.nothing), transform)) is None
    each = Backfill(
        scan(documents.c), each_chunk=lambda many: [InsertOne({}) for _ in many], into=documents.d
    )
    assert written(each) == (Written(f"{name}.d", "insert"),)


@pytest.mark.parametrize(
    ("update", "fields"),
    [([{"$set": {"p": "$a"}}, {"$unset": "q"}], ("p", "q")), ({"$rename": {"old": "new"}}, ("new", "old"))],
)
def test_server_update(
    plan: Callable[[Migration], Planned], documents: Database[Any], update: Any, fields: tuple[str, ...]
) -> None:
    """Where the server updates alone, a plan names what is written, and that no document is read."""
    (step,) = plan(migration(lambda db: Backfill(scan(db.c), server=update))).steps

    assert (step.fields, step.writes) == ((), (Written(f"{documents.name}.c", "update", fields),))


def failing(db: Database[Any]) -> Backfill:
    def transform(one: Any) -> Any:
        if one["_id"] == 300:
            raise ValueError(one)
        return UpdateOne({"_id": one["_id"]}, {"$set": {"n": 1}})

    return Backfill(scan(db.c, fields=["a"]), transform)


def test_history(documents: Database[Any]) -> None:
    """Each run is a row of its own, kept for ever: who, where, version, time, counts, memory, failure."""
    with pytest.raises(ChunkmigrateError):
        list(run(documents, migration(failing)))
    list(run(documents, migration(add_one)))
    failed, applied = history.runs(documents, "1_m", show_values=False)
    (shown, _) = history.runs(documents, None, show_values=True)

    assert (failed.status, applied.status, failed.direction) == ("failed", "applied", "up")
    assert (failed.counts["read"], applied.counts["written"]) == (300, 1_200)
    assert (failed.failure, failed.document, failed.reason) == ("TransformError", "300", "")
    assert "'a': 1" in shown.reason
    assert applied.seconds is not None
    assert applied.peak is not None
    assert applied.peak > 0
    assert applied.version[0].isdigit()
    assert f"(pid {applied.pid})" in applied.by
    assert "  failed          1_m  " in past_run(failed)
    assert past_run(failed).endswith("TransformError at _id 300")


def test_history_of_the_dead(documents: Database[Any]) -> None:
    """A run that is down as running while nobody holds the lease has died; one that lives is running."""
    begun = iter(run(documents, migration(add_one)))
    next(begun)
    (live,) = history.runs(documents, None, show_values=False)
    begun.close()
    documents[RUNS].update_many({}, {"$set": {"status": "running", "direction": "down"}})
    (dead,) = history.runs(documents, None, show_values=False)

    assert (live.status, dead.status, dead.direction) == ("running", "died", "down")
    assert "1_m  (rolling back)  " in past_run(dead)


def test_history_by_name(documents: Database[Any]) -> None:
    """A migration is found by a part of its name, with or without a file; what is unclear is refused."""
    documents[RUNS].insert_many(
        {"migration": name, "status": "applied"} for name in ("1_prices", "2_price", "2")
    )

    assert [history.named(documents, part) for part in ("1_", "2", "prices")] == ["1_prices", "2", "1_prices"]
    with pytest.raises(UnknownRunError, match="price could be 1_prices, 2_price; write more of its name"):
        history.named(documents, "price")
    with pytest.raises(UnknownRunError, match="No run of nope is on record"):
        history.named(documents, "nope")
