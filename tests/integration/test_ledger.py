"""The ledger on a real server: what runs that are paused, frozen or overtaken leave on record."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError
from pymongo.monitoring import CommandListener

from chunkmigrate import Backfill, UpdateOne, control, quarantine, scan, server
from chunkmigrate.errors import LeaseHeldError, ServerError, SupersededError
from chunkmigrate.holder import Holder, this_process
from chunkmigrate.ledger import APPLIED, DIED, FAILED, MIGRATIONS, PAUSED, RUNNING, RUNS, STOPPED, Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.recorder import Recorder
from chunkmigrate.runner import Run
from chunkmigrate.standing import standings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

MIB = 1024 * 1024


@dataclass
class Work:
    """A migration without a file."""

    upgrade: Callable[[Any], Any]
    name: str = "m"
    checksum: str = "x"
    description: str = ""
    path: Path = Path("nowhere.py")

    def steps(self, database: Any) -> list[Backfill]:
        found = self.upgrade(database)
        return [found] if found else []


WORK: Any = Work(lambda _: None)


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database, as a run opens it."""
    return server.database(db.client, db.name)


@dataclass
class Started:
    """A run in a thread of its own, and what it said."""

    work: Any
    database: Database[Any]
    how: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    ended: str = ""

    def __post_init__(self) -> None:
        self.asked = threading.Event()
        self.run = run_of(
            self.work,
            self.database,
            stopped=self.asked.is_set,
            note=lambda event, _, **_facts: self.said.append(event),
            **self.how,
        )
        self.thread = threading.Thread(target=self._all, daemon=True)
        self.thread.start()

    def _all(self) -> None:
        try:
            for _ in self.run:
                pass
            self.ended = self.run.outcome.status
        except Exception as error:
            self.ended = type(error).__name__

    def wait_for(self, event: str) -> None:
        eventually(lambda: event in self.said or self.ended)
        assert event in self.said

    def wait(self) -> str:
        self.thread.join(60)
        return self.ended


def run_of(work: Any, database: Database[Any], **how: Any) -> Run:
    return Run(work, database, Sensor(memory=512 * MIB), writers=2, **how)


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


def elsewhere(token: str) -> Holder:
    return Holder(token=token, pod="", host="elsewhere", pid=1, started="1", boot="x")


def begin(ledger: Ledger, generation: int, **how: Any) -> ObjectId:
    run = ObjectId()
    ledger.begin(WORK, run, elsewhere(str(run)), generation=generation, budget=MIB, **how)
    return run


def entry(database: Database[Any]) -> dict[str, Any]:
    found = database[MIGRATIONS].find_one({"_id": "m"})
    return found or {}


def status_of(database: Database[Any], run: ObjectId) -> str:
    found = database[RUNS].find_one({"_id": run})
    assert found
    return str(found["status"])


def counting(database: Database[Any]) -> Backfill:
    return Backfill(scan(database.c), lambda d: UpdateOne({"_id": d["_id"]}, {"$inc": {"n": 1}}))


def test_paused_applied(opened: Database[Any]) -> None:
    """A run that was paused, and finishes after another one began and ended, is recorded as applied."""
    opened.c.insert_many({"_id": n} for n in range(100))
    control.ask(opened, "m", control.PAUSE, "op")
    first = Started(Work(counting), opened)
    first.wait_for("paused")
    second = Started(Work(counting), opened)
    second.wait_for("paused")
    second.asked.set()

    assert second.wait() == STOPPED
    control.clear(opened, "m")

    assert first.wait() == APPLIED
    assert opened.c.distinct("n") == [1]
    assert Ledger(opened).is_applied(WORK)
    assert status_of(opened, entry(opened)["run"]) == APPLIED


def test_paused_after_a_death(opened: Database[Any]) -> None:
    """A run that is paused before it begins still tells, once it goes on, that the one before has died."""
    opened.c.insert_one({"_id": 1})
    control.ask(opened, "m", control.PAUSE, "op")
    dead = {"holder": elsewhere("dead").document(), "released": False}
    over = {"since": "$$NOW", "renewed": "$$NOW", "until": "$$NOW"}
    opened.chunkmigrate_leases.update_one({"_id": "m"}, [{"$set": dead | over}])
    run = Started(Work(counting), opened)
    run.wait_for("paused")
    control.clear(opened, "m")

    assert run.wait() == APPLIED
    assert "unclean_end" in run.said


def test_resumed_direction(opened: Database[Any]) -> None:
    """A paused run that goes on after its migration was rolled back is on record as one that applies it."""
    ledger, up = Ledger(opened), {"direction": "up", "way": ""}
    run = begin(ledger, 1, entered=up)
    ledger.paused(WORK, run, generation=1)
    begin(ledger, 2, entered={"direction": "down", "way": "undo"})

    ledger.resumed(WORK, run, generation=3, entered=up)

    assert (entry(opened)["direction"], entry(opened)["run"]) == ("up", run)


def test_paused_twice(opened: Database[Any]) -> None:
    """Of two paused runs that may go on, one does the work: the other finds it done, and leaves."""
    opened.c.insert_one({"_id": 1})

    def upgrade(database: Database[Any]) -> None:
        database.c.update_one({"_id": 1}, {"$inc": {"n": 1}})

    control.ask(opened, "m", control.PAUSE, "op")
    both = [Started(Work(upgrade), opened, {"wait": 60.0}) for _ in range(2)]
    for one in both:
        one.wait_for("paused")
    control.clear(opened, "m")

    assert [one.wait() for one in both] == [APPLIED, APPLIED]
    assert sorted("resumed" in one.said for one in both) == [False, True]
    assert opened.c.find_one() == {"_id": 1, "n": 1}
    assert entry(opened)["status"] == APPLIED
    assert opened[RUNS].distinct("status") == [APPLIED]


def test_paused_held(opened: Database[Any]) -> None:
    """A paused run whose lease another one holds by then has not failed: its entry stays."""
    opened.c.insert_one({"_id": 1})
    control.ask(opened, "m", control.PAUSE, "op")
    waits = Started(Work(counting), opened)
    waits.wait_for("paused")
    before = entry(opened)
    now = {"holder": this_process().document(), "released": False}
    opened.chunkmigrate_leases.update_one(
        {"_id": "m"}, [{"$set": now | {"since": "$$NOW", "renewed": "$$NOW", "until": _later()}}]
    )
    control.clear(opened, "m")

    assert waits.wait() == LeaseHeldError.__name__
    assert opened[RUNS].distinct("status") == [STOPPED]
    assert entry(opened) == before


def _later() -> dict[str, Any]:
    return {"$add": ["$$NOW", 60_000]}


def test_fenced(opened: Database[Any]) -> None:
    """A run that was overtaken changes nothing any more: neither begins, nor pauses, nor ends."""
    ledger = Ledger(opened)
    stale, live = begin(ledger, 1), begin(ledger, 2)
    before = entry(opened)
    with pytest.raises(SupersededError):
        begin(ledger, 1)
    with pytest.raises(SupersededError):
        ledger.paused(WORK, stale, generation=1)
    with pytest.raises(SupersededError):
        ledger.resumed(WORK, stale, generation=1)
    with pytest.raises(SupersededError):
        ledger.end(WORK, stale, APPLIED, {}, generation=1)

    assert entry(opened) == before
    assert status_of(opened, live) == RUNNING


def test_fenced_quietly(opened: Database[Any]) -> None:
    """An overtaken run that is about the quarantine alone does not call the living one dead either."""
    ledger = Ledger(opened)
    live = begin(ledger, 2)
    begin(ledger, 1, quiet=True)

    assert status_of(opened, live) == RUNNING


def test_old_entry(opened: Database[Any]) -> None:
    """An entry without a generation, or none at all, is no obstacle."""
    ledger = Ledger(opened)
    opened[MIGRATIONS].insert_one({"_id": "m", "status": STOPPED, "checksum": "x"})
    run = begin(ledger, 1)
    opened[MIGRATIONS].delete_one({"_id": "m"})
    ledger.end(WORK, run, APPLIED, {}, generation=1)

    assert ledger.is_applied(WORK)
    assert standings(opened, [WORK])[0].drifted is False


def test_died(opened: Database[Any]) -> None:
    """Who begins tells of a run that died at work, not of one that is paused: that may live."""
    ledger = Ledger(opened)
    paused = begin(ledger, 1)
    ledger.paused(WORK, paused, generation=1)
    killed = begin(ledger, 2)
    begin(ledger, 3)

    assert [status_of(opened, run) for run in (paused, killed)] == [PAUSED, DIED]
    ledger.resumed(WORK, paused, generation=4)
    assert [entry(opened)[name] for name in ("run", "status", "generation")] == [paused, RUNNING, 4]
    assert status_of(opened, paused) == RUNNING


class Lost:
    """A lease that was taken away; it is noticed when asked."""

    generation = 1
    asked = asked_by = ""

    def check(self, *, now: bool = False) -> None:
        if now:
            raise SupersededError


def test_frozen(opened: Database[Any]) -> None:
    """A run that was frozen before it began asks for its lease first, and leaves no trace."""
    lease: Any = Lost()
    recorder = Recorder(
        Ledger(opened), WORK, lease, quiet=False, stopped=lambda: False, note=lambda _a, _b, **_facts: None
    )
    with pytest.raises(SupersededError):
        recorder.begin(elsewhere("a"), budget=MIB, sessions=())

    assert not opened[RUNS].count_documents({})
    assert not entry(opened)


class Held(Lost):
    """A lease that is held."""

    held = True

    def check(self, *, now: bool = False) -> None:
        """Nothing is wrong."""


@dataclass(frozen=True)
class Failing(Ledger):
    """A ledger whose calls fail, as long as there are failures left."""

    failures: list[PyMongoError] = field(default_factory=list)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()

    def is_applied(self, migration: Any) -> bool:
        self._fail()
        return super().is_applied(migration)

    def end(self, *args: Any, **how: Any) -> None:
        self._fail()
        super().end(*args, **how)


def recorder_of(ledger: Ledger, said: list[str], *, stopped: bool = False) -> Recorder:
    lease: Any = Held()

    def note(event: str, _message: str, **_facts: Any) -> None:
        said.append(event)

    return Recorder(ledger, WORK, lease, quiet=False, stopped=lambda: stopped, note=note)


def test_again(opened: Database[Any]) -> None:
    """What an election interrupts is asked, and recorded, once more."""
    ledger = Failing(opened, failures=[AutoReconnect("gone")])
    recorder = recorder_of(ledger, [])

    assert not recorder.is_done()
    recorder.begin(elsewhere("a"), budget=MIB, sessions=())
    ledger.failures.append(AutoReconnect("gone"))
    recorder.end(APPLIED, {})
    assert recorder.is_done()


@pytest.mark.parametrize("status", [APPLIED, FAILED])
def test_unrecorded(opened: Database[Any], status: str) -> None:
    """A migration is not called applied where that could not be recorded; other ends are, with a warning."""
    said: list[str] = []
    recorder = recorder_of(Failing(opened, failures=[AutoReconnect("gone")] * 2), said, stopped=True)
    if status != APPLIED:
        recorder.end(status, {})
        assert said == ["warning"]
        return
    with pytest.raises(ServerError, match=r"All is done, but that could not be recorded\."):
        recorder.end(status, {})


@pytest.mark.parametrize("status", [APPLIED, STOPPED])
def test_overtaken(opened: Database[Any], status: str) -> None:
    """A run that is overtaken as it ends does not say that it is applied; that it stopped is true even so."""
    recorder = recorder_of(Ledger(opened), [])
    begin(Ledger(opened), 2)
    before = entry(opened)
    if status != APPLIED:
        recorder.end(status, {})
    else:
        with pytest.raises(SupersededError, match="took over as this one ended"):
            recorder.end(status, {})

    assert entry(opened) == before


class Commands(CommandListener):
    """The commands that were sent, about the ledger and the quarantine."""

    def __init__(self) -> None:
        self.bounds: dict[str, list[bool]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in ("hello", "endSessions", "ping", "getMore"):
            self.bounds.setdefault(event.command_name, []).append("maxTimeMS" in event.command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing."""


def test_bounded(mongodb_uri: str, opened: Database[Any]) -> None:
    """A server that stalls cannot keep a run for ever: each call has a time."""
    commands = Commands()
    keep(opened, 1)
    with MongoClient[Any](mongodb_uri, event_listeners=[commands]) as client:
        database = server.database(client, opened.name)
        ledger, session = Ledger(database), client.start_session()
        run = begin(ledger, 1, sessions=[session.session_id])
        ledger.disarm(str(run))
        ledger.paused(WORK, run, generation=1)
        ledger.resumed(WORK, run, generation=1)
        ledger.end(WORK, run, FAILED, {}, generation=1)
        assert not ledger.is_applied(WORK)
        assert standings(database, [WORK])
        assert len(list(quarantine.waiting(database, "m", 0))) == 1
        assert len(list(quarantine.listing(database, "m"))) == 1
        session.end_session()

    assert set(commands.bounds) >= {"find", "aggregate", "update", "killSessions"}
    assert {name for name, bounds in commands.bounds.items() if not all(bounds)} == set()


def keep(database: Database[Any], number: int, step: int = 0) -> None:
    """Put a document into quarantine."""
    identity = {"migration": "m", "step": step, "document": number}
    rest = {"reason": "transform", "message": "x", "traceback": "y" * 100, "attempts": 1, "at": number}
    database[quarantine.COLLECTION].insert_one({"_id": identity, **identity, **rest})


def test_waiting(opened: Database[Any]) -> None:
    """What waits in quarantine is told page by page, each once, of one step, while it leaves or stays."""
    for number in range(quarantine.WAITING * 2 + 3):
        keep(opened, number)
    keep(opened, 1_000, step=1)
    found = []
    for key in quarantine.waiting(opened, "m", 0):
        found.append(int(key.shown()))
        if len(found) % 2:
            opened[quarantine.COLLECTION].delete_one({"document": found[-1]})

    assert found == list(range(quarantine.WAITING * 2 + 3))


def test_waiting_behind(opened: Database[Any]) -> None:
    """What waits is told from where it was left."""
    for number in range(5):
        keep(opened, number)
    after = next(key for key in quarantine.waiting(opened, "m", 0) if key.shown() == "2")

    assert [key.shown() for key in quarantine.waiting(opened, "m", 0, after=after)] == ["3", "4"]


def test_listing(opened: Database[Any]) -> None:
    """The list is oldest first, one at a time, and leaves tracebacks where they are."""
    numbers = list(range(250))
    for number in reversed(numbers):
        keep(opened, number)
    rows = list(quarantine.listing(opened, "m"))

    assert [row["document"] for row in rows] == [str(number) for number in numbers]
    assert set(rows[0]) == {"migration", "step", "document", "reason", "message", "attempts", "at"}
    assert not list(quarantine.listing(opened, "another"))
