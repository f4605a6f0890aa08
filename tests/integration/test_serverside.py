"""Server-side backfills on a real server: windows over ranges of `_id`, exactly once, and what is refused."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from chunkmigrate import Backfill, control, fencing, quarantine, scan, server
from chunkmigrate.errors import SupersededError, UsageError, WriteRefusedError
from chunkmigrate.hints import stages
from chunkmigrate.ledger import APPLIED, STOPPED
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration
from chunkmigrate.runner import Run
from chunkmigrate.sizing import MIB, Most
from tests.integration.test_scan import MIXED_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pymongo.database import Database
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

ADD = [{"$set": {"n": {"$add": ["$n", 1]}}}]
# A validator refuses it, an addition of text does, and so does a unique index.
BAD = 617


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database, as a run opens it."""
    return server.database(db.client, db.name)


def migration(upgrade: Callable[[Any], Any], path: Path) -> Migration:
    return Migration(name="m", path=path / "m.py", description="", checksum="", upgrade=upgrade)


def run_of(upgrade: Callable[[Any], Any], db: Database[Any], path: Path, **how: Any) -> Run:
    """A run, gone through to its end."""
    run = Run(migration(upgrade, path), db, Sensor(memory=512 * MIB), writers=2, **how)
    for _ in run:
        pass
    return run


def adding(db: Any) -> Backfill:
    return Backfill(scan(db.c), server=ADD)


def after(asked: int) -> Callable[[], bool]:
    """Asks to stop once it was asked that often."""
    number = count()
    return lambda: next(number) >= asked


def all_once(db: Database[Any], documents: int) -> bool:
    return db.c.count_documents({"n": 1}) == db.c.count_documents({}) == documents


def test_every_document_once(opened: Database[Any], tmp_path: Path) -> None:
    """Every document is updated once, `read` counts what matched and `written` what was modified."""
    opened.c.insert_many({"_id": n, "n": 0, "same": n % 2 == 0} for n in range(3_300))
    same = [{"$set": {"n": {"$cond": ["$same", "$n", {"$add": ["$n", 1]}]}}}]

    run = run_of(lambda db: Backfill(scan(db.c, {"_id": {"$gte": 300}}), server=same), opened, tmp_path)

    counts = run.outcome.counts
    assert (counts.read, counts.written, counts.writes) == (3_000, 1_500, 1_500)
    assert opened.c.count_documents({"n": 1, "same": False, "_id": {"$gte": 300}}) == 1_500
    assert opened.c.count_documents({"n": 0}) == 1_800


@pytest.mark.parametrize("ids", [MIXED_IDS, [ObjectId() for _ in range(4_000)]], ids=["mixed", "plain"])
def test_stopped_and_resumed(opened: Database[Any], tmp_path: Path, ids: Sequence[Any]) -> None:
    """Stopping after any window and going on repeats and skips nothing, whatever the types of the `_id`s."""
    opened.c.insert_many({"_id": id_, "n": 0} for id_ in ids)
    few = Most(chunk_documents=max(2, len(ids) // 10))
    attempts, status = 0, STOPPED
    while status == STOPPED:
        attempts += 1
        status = run_of(adding, opened, tmp_path, stopped=after(attempts + 3), most=few).outcome.status

    assert attempts > 2
    assert status == APPLIED
    assert all_once(opened, len(ids))


def test_what_comes_later_is_left(opened: Database[Any], tmp_path: Path) -> None:
    """What is inserted behind the bound fixed at the first start is not touched by a later attempt either."""
    opened.c.insert_many({"_id": n, "n": 0} for n in range(10))
    run_of(adding, opened, tmp_path, stopped=after(5), most=Most(chunk_documents=2))
    opened.c.insert_one({"_id": 100, "n": 0})
    run_of(adding, opened, tmp_path)

    assert [one["_id"] for one in opened.c.find({"n": 0})] == [100]
    assert opened.c.count_documents({"n": 1}) == 10


@pytest.mark.parametrize("hint", [None, "s_1__id_1"])
@pytest.mark.parametrize("ids", [MIXED_IDS, range(2_000)], ids=["mixed", "plain"])
def test_filter_and_hint(opened: Database[Any], tmp_path: Path, ids: Sequence[Any], hint: str | None) -> None:
    """Only what matches is updated, also where that takes it out of the filter and of the index used."""
    opened.c.create_index([("s", 1), ("_id", 1)])
    opened.c.insert_many({"_id": id_, "s": "open" if n % 2 else "done", "n": 0} for n, id_ in enumerate(ids))
    close = {"$set": {"s": "done"}, "$inc": {"n": 1}}

    run = run_of(
        lambda db: Backfill(scan(db.c, {"s": "open"}, hint=hint), server=close),
        opened,
        tmp_path,
        most=Most(chunk_documents=100),
    )

    assert run.outcome.counts.read == len(ids) // 2
    assert opened.c.count_documents({"n": 1, "s": "done"}) == len(ids) // 2


class Updates(CommandListener):
    """The update commands that were sent to one collection."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "update" and event.command["update"] == "c":
            self.sent.append(event.command["updates"][0])

    def succeeded(self, _event: CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, _event: CommandFailedEvent) -> None:
        """Nothing."""


@pytest.fixture
def heard(mongodb_uri: str, opened: Database[Any]) -> Iterator[tuple[Database[Any], Updates]]:
    """The test's database, and the updates sent to it."""
    updates = Updates()
    with MongoClient[Any](mongodb_uri, event_listeners=[updates]) as client:
        yield server.database(client, opened.name), updates


@pytest.mark.parametrize("ids", [MIXED_IDS, range(900)], ids=["mixed", "plain"])
def test_windows_read_their_range(
    heard: tuple[Database[Any], Updates], tmp_path: Path, ids: Sequence[Any]
) -> None:
    """A window looks at its own range of the index and at nothing else, whatever the types at its ends."""
    db, updates = heard
    db.c.insert_many({"_id": id_, "n": 0} for id_ in ids)
    width = len(ids) // 9
    run_of(adding, db, tmp_path, most=Most(chunk_documents=width))

    assert len(updates.sent) >= 9
    for sent in updates.sent:
        command = {"update": "c", "updates": [sent]}
        explained = db.command({"explain": command, "verbosity": "executionStats"})
        assert {"IXSCAN"} == {one["stage"] for one in stages(explained) if "SCAN" in one["stage"]}
        # One key behind the end tells that it is the end; between types there may be one in front, too.
        assert explained["executionStats"]["totalKeysExamined"] <= width + 2


def validated(db: Database[Any]) -> list[dict[str, Any]]:
    """A collection whose validator refuses one document, and that document's update."""
    db.c.insert_many({"_id": n, "n": 0} for n in range(2_000))
    db.command("collMod", "c", validator={"$or": [{"n": 0}, {"_id": {"$ne": BAD}}]})
    return ADD


def wrongly_typed(db: Database[Any]) -> list[dict[str, Any]]:
    """A collection with a text that cannot be added to."""
    db.c.insert_many({"_id": n, "n": "secret" if n == BAD else 0} for n in range(2_000))
    return ADD


def twice_there(db: Database[Any]) -> list[dict[str, Any]]:
    """A collection whose unique index refuses one document."""
    db.c.create_index("u", unique=True, sparse=True)
    db.c.insert_many({"_id": n, "n": 0} for n in range(2_000))
    db.c.insert_one({"_id": "taken", "n": 0, "u": BAD})
    return [{"$set": {"n": {"$add": ["$n", 1]}, "u": {"$cond": [{"$eq": ["$_id", "taken"]}, "x", "$_id"]}}}]


@pytest.mark.parametrize("broken", [validated, wrongly_typed, twice_there])
def test_refused_document_stops(
    opened: Database[Any], tmp_path: Path, broken: Callable[[Any], list[dict[str, Any]]]
) -> None:
    """A document the server refuses stops the run with its `_id`; what lies before it is updated."""
    update = broken(opened)
    with pytest.raises(WriteRefusedError, match=f"_id {BAD}: ") as caught:
        run_of(lambda db: Backfill(scan(db.c), server=update), opened, tmp_path)

    assert "secret" not in caught.value.discreet
    assert opened.c.count_documents({"n": 1}) == BAD
    assert opened.c.count_documents({"n": 1, "_id": {"$lt": BAD}}) == BAD


@pytest.mark.parametrize("broken", [validated, wrongly_typed, twice_there])
def test_quarantine(
    opened: Database[Any], tmp_path: Path, broken: Callable[[Any], list[dict[str, Any]]]
) -> None:
    """With quarantine it is set aside by its `_id`, and all the others are updated once."""
    update = broken(opened)
    total = opened.c.count_documents({})
    upgrade = lambda db: Backfill(scan(db.c), server=update, on_error="quarantine")  # noqa: E731

    run = run_of(upgrade, opened, tmp_path)

    counts = run.outcome.counts
    assert (counts.read, counts.written, counts.quarantined) == (total, total - 1, 1)
    assert opened.c.count_documents({"n": 1}) == total - 1
    assert [one["document"] for one in quarantine.listing(opened, "m")] == [str(BAD)]
    assert [one["reason"] for one in quarantine.listing(opened, "m")] == ["refused"]


def test_quarantine_is_retried(opened: Database[Any], tmp_path: Path) -> None:
    """What was set aside is updated by a retry once it can be, and stays where it still cannot."""
    update = wrongly_typed(opened)
    upgrade = lambda db: Backfill(scan(db.c), server=update, on_error="quarantine")  # noqa: E731
    run_of(upgrade, opened, tmp_path)
    again = run_of(upgrade, opened, tmp_path, only_quarantined=True)
    assert again.outcome.stay == 1

    opened.c.update_one({"_id": BAD}, {"$set": {"n": 0}})
    again = run_of(upgrade, opened, tmp_path, only_quarantined=True)

    assert again.outcome.stay == 0
    assert all_once(opened, 2_000)


@pytest.mark.parametrize(
    "update", [[{"$set": {"a": {"$nope": 1}}}], {"$nope": {"a": 1}}, {"$set": {"a": 1, "a.b": 2}}]
)
def test_no_document_can_take_it(opened: Database[Any], tmp_path: Path, update: Any) -> None:
    """What the server can do to no document is refused before anything is touched."""
    opened.c.insert_many({"_id": n} for n in range(10))
    with pytest.raises(UsageError, match="MongoDB cannot do what server= says: "):
        run_of(lambda db: Backfill(scan(db.c), server=update), opened, tmp_path)

    assert opened.c.count_documents({"a": {"$exists": True}}) == 0


def test_too_large_a_document(opened: Database[Any], tmp_path: Path) -> None:
    """A document that an update would make larger than 16 MiB goes into quarantine, and no other."""
    opened.c.insert_many({"_id": n, "n": 0, "pad": "x" * (9 * MIB if n == 3 else 9)} for n in range(6))
    update = [{"$set": {"n": {"$add": ["$n", 1]}, "again": "$pad"}}]
    run_of(lambda db: Backfill(scan(db.c), server=update, on_error="quarantine"), opened, tmp_path)

    assert [one["_id"] for one in opened.c.find({"n": 0}, {"_id": 1})] == [3]
    assert [one["reason"] for one in quarantine.listing(opened, "m")] == ["too large"]


def test_fenced_off(opened: Database[Any], tmp_path: Path) -> None:
    """A run whose lease was taken away updates nothing more: its window is undone with its position."""
    opened.c.insert_many({"_id": n, "n": 0} for n in range(3_000))
    run = Run(migration(adding, tmp_path), opened, Sensor(memory=512 * MIB), writers=2)
    results = iter(run)
    first = next(results)
    fencing.fence(opened, {"migration": "m"}, 99, None)

    with pytest.raises(SupersededError):
        next(results)
    assert opened.c.count_documents({"n": 1}) == first.counts.read == 250


@pytest.mark.parametrize("value", [object(), 2**70])
def test_what_cannot_be_sent(opened: Database[Any], tmp_path: Path, value: Any) -> None:
    """A value that is no BSON is refused with a sentence, before anything is touched."""
    opened.c.insert_one({"_id": 1})
    with pytest.raises(UsageError, match="cannot be sent to MongoDB"):
        run_of(lambda db: Backfill(scan(db.c), server={"$set": {"a": value}}), opened, tmp_path)


def test_slow_updates_have_small_windows(opened: Database[Any], tmp_path: Path) -> None:
    """Where the server takes 5 ms for a document, a window soon has few of them."""
    slowly = {"body": "function(n) { sleep(5); return n + 1 }", "args": ["$n"], "lang": "js"}
    opened.c.insert_many({"_id": n, "n": 0} for n in range(600))
    update = [{"$set": {"n": {"$function": slowly}}}]
    run = Run(
        migration(lambda db: Backfill(scan(db.c), server=update), tmp_path),
        opened,
        Sensor(memory=512 * MIB),
        writers=2,
    )

    read = [progress.result.read for progress in run]

    assert read[0] == 250
    assert min(read[1:-1]) < 100
    assert all_once(opened, 600)


def test_conflicts_make_windows_smaller(opened: Database[Any], tmp_path: Path) -> None:
    """A document that another transaction holds stops neither those before it nor, once free, itself."""
    opened.c.insert_many({"_id": n, "n": 0} for n in range(1_000))
    said: list[str] = []
    with opened.client.start_session() as session:
        session.start_transaction()
        opened.c.update_one({"_id": 900}, {"$set": {"held": True}}, session=session)

        def note(kind: str, *_: Any, **__: Any) -> None:
            said.append(kind)
            # By then the window was halved: its conflicts were more than a few.
            if said.count("retrying") == 8 and session.in_transaction:
                session.commit_transaction()

        run_of(adding, opened, tmp_path, note=note)

    assert said.count("retrying") >= 8
    assert all_once(opened, 1_000)


def test_paused_and_resumed(opened: Database[Any], tmp_path: Path) -> None:
    """A pause is kept at the end of a window, and the run goes on there, by itself."""
    opened.c.insert_many({"_id": n, "n": 0} for n in range(240))
    paused: list[int] = []

    def idle(_seconds: float) -> None:
        paused.append(opened.c.count_documents({"n": 1}))
        control.clear(opened, "m")

    run = Run(
        migration(adding, tmp_path),
        opened,
        Sensor(memory=512 * MIB),
        writers=2,
        most=Most(chunk_documents=4),
        sleep=idle,
        max_rate=60,
    )
    for progress in run:
        if not paused and progress.counts.read >= 40:
            control.ask(opened, "m", control.PAUSE, "somebody")

    assert paused
    assert 40 <= paused[0] < 240
    assert all_once(opened, 240)


def test_standalone(standalone_uri: str, db: Database[Any], tmp_path: Path) -> None:
    """Without transactions everything is updated at least once, and that is said."""
    said: list[str] = []
    with MongoClient[Any](standalone_uri) as client:
        alone = server.database(client, db.name)
        alone.c.insert_many({"_id": n, "n": 0} for n in range(2_000))
        run = run_of(adding, alone, tmp_path, note=lambda _kind, sentence="", **_: said.append(sentence))
        assert run.outcome.status == APPLIED
        assert all_once(alone, 2_000)
        client.drop_database(alone)

    assert any("standalone" in sentence for sentence in said)
