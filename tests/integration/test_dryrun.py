"""The dry run on a real server: it reads and transforms everything, and sends nothing that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate import Backfill, InsertOne, UpdateOne, scan
from chunkmigrate.dryrun import DryRun
from chunkmigrate.errors import UsageError, WouldWriteError
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.readonly import ReadOnly
from chunkmigrate.sizing import MIB
from tests.read_only import Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.database import Database

DOCUMENTS = 3_000


@pytest.fixture
def listener() -> Writes:
    return Writes()


@pytest.fixture
def heard(db: Database[Any], mongodb_uri: str, listener: Writes) -> Iterator[Database[Any]]:
    """The test's database through a client that only reads, and that is listened to."""
    with MongoClient[Any](mongodb_uri, event_listeners=[listener, ReadOnly()]) as client:
        yield client[db.name]


def migration(upgrade: Callable[[Any], Any], path: Path) -> Migration:
    return Migration(name="m", path=path / "m.py", description="", checksum="", upgrade=upgrade)


def tried(upgrade: Callable[[Any], Any], db: Database[Any], path: Path, **how: Any) -> DryRun:
    """A dry run, gone through to its end."""
    sensor = Sensor(memory=2_048 * MIB)
    trial = DryRun(migration(upgrade, path), db, sensor, writers=2, **({"stopped": lambda: False} | how))
    for _ in trial:
        pass
    return trial


def cents(order: dict[str, Any]) -> UpdateOne | None:
    if order["price"] is None:
        return None
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})


def in_cents(db: Any) -> Backfill:
    return Backfill(scan(db.orders, fields=["price"]), cents)


def fill(db: Database[Any], documents: int = DOCUMENTS) -> None:
    db.orders.insert_many({"_id": n, "price": n / 4, "secret": f"iban {n}"} for n in range(documents))


CENTS = {"$toLong": {"$multiply": ["$price", 100]}}


@pytest.mark.parametrize(
    ("update", "line"),
    [
        ([{"$set": {"cents": CENTS}}], "+ cents: long"),
        ([{"$replaceWith": {"price": "$price"}}], "- secret: string (7 characters)"),
        ({"$unset": {"secret": ""}}, "- secret: string (7 characters)"),
    ],
)
def test_server_side(heard: Database[Any], db: Database[Any], tmp_path: Path, update: Any, line: str) -> None:
    """What the server would do alone is shown of a few documents and counted, by a client that only reads."""
    fill(db)
    trial = tried(lambda db: Backfill(scan(db.orders, {"_id": {"$gte": 10}}), server=update), heard, tmp_path)

    [step] = trial.steps
    assert (step.documents, step.counts.read, step.counts.written) == (DOCUMENTS - 10, 200, 200)
    assert not step.whole
    assert step.index.name == "_id_"
    assert step.seconds
    assert 0 < step.seconds[0] < step.seconds[1] < 1
    assert [preview.document for preview in step.previews] == ["10", "11", "12"]
    assert any(shown.startswith(line) for shown in step.previews[0].lines), step.previews[0].lines
    assert "iban" not in str(step.previews)


@pytest.mark.parametrize("update", [[{"$set": {"n": {"$add": ["$secret", 1]}}}], {"$inc": {"secret": 1}}])
def test_server_side_failures(heard: Database[Any], db: Database[Any], tmp_path: Path, update: Any) -> None:
    """A document the server would refuse is counted with the reason, without what it holds."""
    db.orders.insert_many({"_id": n, "secret": "iban" if n == 5 else n} for n in range(20))
    trial = tried(lambda db: Backfill(scan(db.orders), server=update), heard, tmp_path)

    [step] = trial.steps
    assert step.failures == {"refused": 1}
    assert (step.counts.written, step.whole, step.stops) == (19, True, True)
    assert "_id 5" in step.first[0]
    assert "iban" not in step.first[0]


def test_server_side_impossible(heard: Database[Any], db: Database[Any], tmp_path: Path) -> None:
    """What the server can do to no document is refused by a dry run, too."""
    fill(db, 1)
    with pytest.raises(UsageError, match="MongoDB cannot do what server= says"):
        tried(lambda db: Backfill(scan(db.orders), server=[{"$set": {"a": {"$nope": 1}}}]), heard, tmp_path)


@pytest.mark.parametrize("sample", [None, 500])
def test_nothing_is_sent(
    db: Database[Any], heard: Database[Any], listener: Writes, tmp_path: Path, sample: int | None
) -> None:
    """A dry run sends no command that writes, of all documents or of a sample, and changes nothing."""
    fill(db)
    before = [*db.orders.find()]
    trial = tried(in_cents, heard, tmp_path, sample=sample)

    listener.assert_none()
    assert [*db.orders.find()] == before
    assert db.list_collection_names() == ["orders"]
    assert trial.steps[0].counts.written > 0


def test_counts_of_a_run(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """A dry run of everything counts what a run would count, and says how large its chunks may be."""
    fill(db)
    db.orders.update_many({"_id": {"$lt": 100}}, {"$set": {"price": None}})
    (step,) = tried(in_cents, heard, tmp_path).steps

    assert (step.documents, step.whole) == (DOCUMENTS, True)
    assert (step.counts.read, step.counts.written, step.counts.skipped) == (DOCUMENTS, DOCUMENTS - 100, 100)
    assert step.chunk_documents == 1_000
    assert 0 < step.peak < step.budget
    assert step.seconds is not None
    assert 0 < step.seconds[0] <= step.seconds[1]
    assert step.index.name == "_id_"


def test_sample(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """A dry run of a sample reads about so many documents, and knows how many there are."""
    fill(db)
    (step,) = tried(in_cents, heard, tmp_path, sample=300).steps

    assert step.documents == DOCUMENTS
    assert not step.whole
    assert 200 <= step.counts.read <= 600
    assert step.seconds is not None


def test_previews(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """The first few documents are shown before and after; what is in them only where it is asked for."""
    fill(db)
    (hidden,) = tried(in_cents, heard, tmp_path).steps
    (shown,) = tried(in_cents, heard, tmp_path, show_values=True).steps

    assert [preview.document for preview in hidden.previews] == ["0", "1", "2"]
    assert all("cents" in line for preview in hidden.previews for line in preview.lines)
    assert not any("25" in line for line in hidden.previews[1].lines)
    assert any("25" in line for line in shown.previews[1].lines)


def test_failures(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """Documents that fail are all counted, by reason, and the sentences of the first few quote nothing."""

    def failing(order: dict[str, Any]) -> UpdateOne | None:
        if order["_id"] % 100 == 7:
            raise ValueError(order["secret"])
        return cents(order)

    fill(db)
    (step,) = tried(lambda db: Backfill(scan(db.orders), failing), heard, tmp_path).steps

    assert step.failures == {"transform": DOCUMENTS // 100}
    assert step.stops
    assert step.counts.written == DOCUMENTS - DOCUMENTS // 100
    assert "_id 7" in step.first[0]
    assert "iban" not in " ".join(step.first)


def test_each_chunk(db: Database[Any], heard: Database[Any], listener: Writes, tmp_path: Path) -> None:
    """Documents that are transformed together are tried together, and their writes go nowhere, too."""

    def copies(orders: Any) -> Iterator[InsertOne[Any]]:
        yield from (InsertOne({"_id": order["_id"]}) for order in orders)

    fill(db)
    upgrade = lambda db: Backfill(scan(db.orders, fields=[]), each_chunk=copies, into=db.copies)  # noqa: E731
    (step,) = tried(upgrade, heard, tmp_path).steps

    assert (step.counts.read, step.counts.writes) == (DOCUMENTS, DOCUMENTS)
    listener.assert_none()


def test_acting_upgrade(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """A migration that acts by itself is not tried, and what it would have sent was not."""
    fill(db, 1)
    with pytest.raises(WouldWriteError, match=r"acts by itself \(createIndexes\)"):
        tried(lambda db: db.orders.create_index("price"), heard, tmp_path)

    assert [*db.orders.index_information()] == ["_id_"]


def test_several_steps(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """Each step is told of by itself; an empty collection has nothing to tell."""
    fill(db, 10)
    upgrade = lambda db: [in_cents(db), Backfill(scan(db.none), cents)]  # noqa: E731
    first, second = tried(upgrade, heard, tmp_path).steps

    assert (first.counts.read, second.counts.read) == (10, 0)
    assert second.previews == ()


def test_stopped(db: Database[Any], heard: Database[Any], tmp_path: Path) -> None:
    """A dry run that is asked to stop ends, and says that it has not seen all."""
    fill(db)
    (step,) = tried(in_cents, heard, tmp_path, stopped=iter([False] * 700 + [True] * 10_000).__next__).steps

    assert step.stopped_by == "stop"
    assert not step.whole
    assert step.counts.read < DOCUMENTS
