"""Timekeeping on a real server: what a run puts on record about its course, and that it costs it nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from chunkmigrate import Backfill, UpdateOne, control, scan, server, timeline
from chunkmigrate.errors import TransformError
from chunkmigrate.holder import Holder
from chunkmigrate.ledger import APPLIED, DIED, FAILED, PAUSED, RUNNING, RUNS, STOPPED, Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.recorder import Recorder
from chunkmigrate.runner import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pymongo.database import Database

MIB = 1024 * 1024
DOCUMENTS = 5_000


@dataclass
class Work:
    """A migration without a file."""

    upgrade: Callable[[Any], Any]
    name: str = "m"
    checksum: str = "x"
    description: str = ""
    path: Path = Path("nowhere.py")

    def steps(self, database: Any) -> list[Backfill]:
        return [self.upgrade(database)]


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database, as a run opens it, with documents."""
    db.c.insert_many({"_id": number} for number in range(DOCUMENTS))
    return server.database(db.client, db.name)


def run_of(
    database: Database[Any],
    work: Callable[[Any], Any] | None = None,
    throttle: Callable[[], Any] | None = None,
    **how: Any,
) -> Run:
    chosen: Any = Work(lambda db: Backfill(scan(db.c), work or add_one, throttle=throttle))
    return Run(chosen, database, Sensor(memory=512 * MIB), writers=2, **how)


def add_one(document: Mapping[str, Any]) -> UpdateOne:
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})


def kept(database: Database[Any]) -> dict[str, Any]:
    found = database[RUNS].find_one()
    assert found
    return dict(found)


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


def test_recorded(opened: Database[Any]) -> None:
    """A run that is done has its course on record: its samples, its memory, and what it ran with."""
    assert [*run_of(opened)]
    record = kept(opened)
    samples = timeline.read(record["timeline"]).samples

    assert samples[0].read < DOCUMENTS
    assert samples[-1].read == DOCUMENTS
    assert {one.budget for one in samples} == {512 * MIB}
    assert max(one.rss for one in samples) <= record["peak"] + MIB
    assert (record["writers"], record["failure"]) == (2, None)
    assert record["start"] <= record["peak"]
    assert record["progress"]["step_read"] == DOCUMENTS
    assert record["sizes"]["last"]["chunk_documents"] > 0


def test_on_record_at_once(opened: Database[Any]) -> None:
    """While a run goes, its course so far is on record, counts and peak included, from its first chunk on."""
    run = iter(run_of(opened))
    first = next(run)
    eventually(lambda: kept(opened).get("timeline"))
    record = kept(opened)

    assert record["status"] == RUNNING
    assert record["read"] == first.counts.read
    assert record["peak"] > 0
    assert timeline.read(record["timeline"]).samples[-1].read == first.counts.read
    assert [*run]


def test_failure(opened: Database[Any]) -> None:
    """Of a run that failed it is on record what kind of failure it was and where, apart from what it said."""

    def fail(document: Mapping[str, Any]) -> UpdateOne:
        if document["_id"] == 4_321:
            message = "Ann"
            raise KeyError(message)
        return add_one(document)

    with pytest.raises(TransformError):
        [*run_of(opened, fail)]
    record = kept(opened)

    assert record["status"] == FAILED
    assert record["failure"] == {"kind": "TransformError", "cause": "KeyError", "document": "4321"}
    assert "Ann" in record["reason"]


def test_waits(opened: Database[Any]) -> None:
    """How long a run waited, and for what, is on record."""
    answers = iter(["the nightly batch runs"])
    run = run_of(opened, throttle=lambda: next(answers, False))
    assert [*run]
    record = kept(opened)

    assert record["pauses"]["predicate"] > 0.5
    assert [(word, sentence) for _, word, sentence in record["timeline"]["marks"]] == [
        ("throttled", "predicate <lambda> (the nightly batch runs) = true")
    ]


def test_paused_by_an_operator(opened: Database[Any]) -> None:
    """A pause an operator asked for is a wait like others, and marked at both ends."""
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 4:
            control.clear(opened, "m")
        if len(naps) > 4:
            time.sleep(seconds)  # until the lease's keeper has noticed

    control.ask(opened, "m", control.PAUSE, "op")
    assert [*run_of(opened, sleep=sleep)]
    record = kept(opened)

    assert record["status"] == APPLIED
    assert record["pauses"]["operator"] == pytest.approx(sum(naps))
    assert [word for _, word, _ in record["timeline"]["marks"]] == ["paused", "resumed"]


def begun(database: Database[Any]) -> ObjectId:
    run = ObjectId()
    holder = Holder(token=str(run), host="elsewhere")
    work: Any = Work(lambda _: None)
    Ledger(database).begin(work, run, holder, generation=1, budget=MIB, about={"writers": 3})
    return run


def test_about(opened: Database[Any]) -> None:
    """What is known of a run as it begins is on record from its begin."""
    begun(opened)

    assert kept(opened)["writers"] == 3


@pytest.fixture
def one_connection(mongodb_uri: str, opened: Database[Any]) -> Iterator[Database[Any]]:
    """The same database through one connection: what is sent later, the server does later."""
    with MongoClient[Any](mongodb_uri, maxPoolSize=1) as client:
        yield server.database(client, opened.name)


@pytest.mark.parametrize(
    ("status", "read"), [(RUNNING, 2), (PAUSED, 2), (DIED, 1), (APPLIED, 1), (FAILED, 1), (STOPPED, 1)]
)
def test_an_end_is_an_end(one_connection: Database[Any], status: str, read: int) -> None:
    """What is told late, of a run that has ended or was declared dead, changes nothing on record."""
    run = begun(one_connection)
    one_connection[RUNS].update_one({"_id": run}, {"$set": {"status": status, "read": 1}})
    Ledger(one_connection).keep(run, {"read": 2})

    assert kept(one_connection)["read"] == read


class Deaf(Ledger):
    """A ledger whose server takes nothing about how a run stands."""

    def keep(self, run: ObjectId, facts: Mapping[str, Any]) -> None:
        message = f"{run} {len(facts)}"
        raise AutoReconnect(message)


def test_a_failure_to_keep_is_none(opened: Database[Any]) -> None:
    """A server that takes nothing about a run's course fails nothing."""
    lease: Any = None
    work: Any = Work(lambda _: None)
    recorder = Recorder(
        Deaf(opened), work, lease, quiet=False, stopped=lambda: False, note=lambda _a, _b: None
    )

    recorder.keep({"read": 1})


def test_no_answer_is_waited_for(mongodb_uri: str, opened: Database[Any]) -> None:
    """What goes on record as a run goes waits for nobody: not even for a server that writes nothing now."""
    run = begun(opened)
    with MongoClient[Any](mongodb_uri) as other:
        other.admin.command("fsync", lock=True)
        try:
            Ledger(opened).keep(run, {"read": 7})
        finally:
            other.admin.command("fsyncUnlock")

    eventually(lambda: kept(opened).get("read") == 7)
