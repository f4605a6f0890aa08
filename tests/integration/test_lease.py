"""The lease on a real server: its clock, its transactions, and two who want the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from chunkmigrate import control, lease_record, server
from chunkmigrate.errors import LeaseHeldError, SupersededError
from chunkmigrate.holder import Holder, this_process
from chunkmigrate.lease import LEASE_SECONDS, Lease
from chunkmigrate.lease_record import COLLECTION
from chunkmigrate.mongod import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.lease_reading import LeaseRecord

SHORT = 1.5
SOON = LEASE_SECONDS / 3
FENCED = "fenced"


@pytest.fixture(params=["replica set", "standalone"])
def database(request: pytest.FixtureRequest) -> Iterator[Database[Any]]:
    """A database of the test's own on each kind of server, as a run opens it."""
    kind = {"replica set": "mongodb_uri", "standalone": "standalone_uri"}[request.param]
    with MongoClient[Any](request.getfixturevalue(kind)) as client:
        name = f"chunkmigrate_test_{uuid4().hex}"
        yield server.database(client, name)
        client.drop_database(name)


@pytest.fixture
def replicated(db: Database[Any]) -> Database[Any]:
    """A database of the test's own, with transactions."""
    return server.database(db.client, db.name)


def elsewhere(token: str) -> Holder:
    """A process of which nothing can be known from here."""
    return Holder(token=token, pod=f"pod-{token}", host=f"pod-{token}", pid=1, started="1", boot="x")


def lease(
    database: Database[Any], holder: Holder | str = "a", *, seconds: float = LEASE_SECONDS, **how: Any
) -> Lease:
    holder = elsewhere(holder) if isinstance(holder, str) else holder
    how.setdefault("fence", lambda generation, session: fence(database, generation, session))
    return Lease(database, "m", holder, seconds=seconds, **how)


def fence(database: Database[Any], generation: int, session: ClientSession | None) -> None:
    """What a run does with its checkpoints, in small."""
    update = {"$set": {"generation": generation}}
    database[FENCED].update_one({"_id": 1}, update, upsert=True, session=session)


def fenced(database: Database[Any]) -> int | None:
    found = database[FENCED].find_one()
    return found and found["generation"]


def record(database: Database[Any]) -> LeaseRecord:
    found = lease_record.look(database, "m")
    assert found
    return found


def eventually(condition: Callable[[], Any], seconds: float = 15.0) -> float:
    """Wait for a condition; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it never came true"
        time.sleep(0.01)
    return time.monotonic() - began


def test_held_by_one(database: Database[Any]) -> None:
    """A lease is held by one process at a time, and given back at the end, after a failure too."""
    held = lease(database)

    def fails() -> None:
        with held:
            assert held.acquire() is None
            assert record(database).held
            with pytest.raises(LeaseHeldError):
                lease(database, replace(elsewhere("b"), token="b")).acquire(stopped=lambda: True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert not record(database).held
    assert record(database).holder == elsewhere("a")
    assert lease(database, "b").acquire() is None


def test_on_the_servers_clock(database: Database[Any]) -> None:
    """A lease lasts its seconds by the server's clock, whatever ours says."""
    held = lease(database, clock=lambda: 0.0)
    held.acquire()
    found = record(database)

    assert (found.until - found.renewed).total_seconds() == LEASE_SECONDS
    assert abs((found.now - found.since).total_seconds()) < 5


NEVER = datetime(9000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "meddled",
    [
        {},
        {"holder": None, "until": NEVER},
        {"holder": "bob", "until": NEVER},
        {"holder": {"token": 5, "pid": "1"}, "until": NEVER},
        {"holder": {"token": "b"}, "until": "tomorrow"},
        {"holder": {"token": "b"}, "until": NEVER, "renewed": DatetimeMS(2**60)},
        {"holder": {"token": "b"}, "until": DatetimeMS(2**60)},
        {"holder": {"token": "b"}, "until": NEVER, "renewed": DatetimeMS(-(2**60))},
        {"generation": "seven", "released": 1, "former": {"holder": "bob"}},
        {"released": True, "asked": {"what": "dance"}, "former": 5},
        {"released": True, "asked": "pause"},
    ],
    ids=str,
)
def test_meddled_with(database: Database[Any], meddled: dict[str, Any]) -> None:
    """A record that does not say who holds the lease until when is nobody's, and asks for nothing."""
    whole = (
        {"generation": 7, "released": False, "renewed": datetime(2020, 1, 1, tzinfo=UTC)} if meddled else {}
    )
    database[COLLECTION].insert_one(whole | meddled | {"_id": "m"})
    with lease(database) as first:
        first.acquire()
        assert record(database).held
        assert first.asked == ""
        assert type(first.generation) is int


@pytest.mark.parametrize("option", ["datetime_conversion=DATETIME_MS", "tz_aware=true"])
def test_dates_as_the_connection_has_them(mongodb_uri: str, option: str) -> None:
    """Whatever a connection string makes of dates, the lease's are what they are."""
    with MongoClient[Any](f"{mongodb_uri}&{option}") as client:
        database = server.database(client, f"chunkmigrate_test_{uuid4().hex}")
        with lease(database) as first:
            first.acquire()
            assert record(database).held
            with (
                pytest.raises(LeaseHeldError, match=r"since .* UTC"),
                lease(database, this_process()) as second,
            ):
                second.acquire(stopped=lambda: True)
        client.drop_database(database)


def test_generations_never_repeat(database: Database[Any]) -> None:
    """Each change of hands, each step and each `unlock` has a higher generation; the fence is told of it."""
    seen = []
    for token in "abc":
        held = lease(database, token)
        held.acquire()
        assert held.generation == fenced(database)
        seen += [held.generation, held.advance(None)]
        assert held.generation == seen[-1]
        held.release()
    last = lease(database, "d")
    last.acquire()
    unlocked = control.unlock(database, "m", "d", lambda *told: fence(database, *told))
    after = lease(database, "e")
    after.acquire()

    assert [*seen, last.generation, unlocked, after.generation] == list(range(1, 10))
    assert fenced(database) == after.generation


def test_fence_fails(database: Database[Any]) -> None:
    """A lease whose fence failed is given back, and the next one is fenced under a higher generation."""
    with pytest.raises(ZeroDivisionError):
        lease(database, fence=lambda generation, _: 1 // (generation - generation)).acquire()

    assert not record(database).held

    lease(database, "b").acquire()

    assert record(database).generation == fenced(database) == 2


def test_unlocked_together(replicated: Database[Any]) -> None:
    """Unlocking and fencing are one transaction: a failure between the two leaves neither."""

    def fails(generation: int, session: ClientSession | None) -> None:
        fence(replicated, generation, session)
        raise ZeroDivisionError

    lease(replicated, "b").acquire()
    with pytest.raises(ZeroDivisionError):
        control.unlock(replicated, "m", "b", fails)

    assert record(replicated).held
    assert record(replicated).generation == fenced(replicated) == 1


DIES = """
import os, signal, sys
from tests.integration.test_lease import *
database = server.database(MongoClient(sys.argv[1]), sys.argv[2])

def dies(generation, session):
    os.kill(os.getpid(), signal.SIGKILL)

lease(database, this_process(), fence=dies).acquire()
"""


def test_killed_before_the_fence(replicated: Database[Any], mongodb_uri: str) -> None:
    """A process killed between taking the lease and fencing is followed at once, and without a conflict."""
    ended = subprocess.run(
        [sys.executable, "-c", DIES, mongodb_uri, replicated.name], timeout=60, check=False
    )
    began = time.monotonic()

    assert ended.returncode == -signal.SIGKILL
    assert lease(replicated, this_process()).acquire()
    assert time.monotonic() - began < SOON
    assert record(replicated).generation == fenced(replicated) == 2


def test_renewed(replicated: Database[Any]) -> None:
    """While it is held it is renewed, several times before it would run out; afterwards it is not."""
    held = lease(replicated, seconds=SHORT)
    held.acquire()
    with held:
        first = record(replicated)
        eventually(lambda: record(replicated).renewed > first.until)

        assert record(replicated).held
        assert not held.lost
    last = record(replicated)
    time.sleep(SHORT)  # nothing to wait for: that nothing happens is the promise

    assert record(replicated).renewed == last.renewed


def test_ends_at_once(replicated: Database[Any]) -> None:
    """Leaving waits for no renewal that is due later."""
    held = lease(replicated)
    held.acquire()
    with held:
        began = time.monotonic()

    assert time.monotonic() - began < 0.9


def test_runs_out(replicated: Database[Any]) -> None:
    """One that is not renewed is taken over once it has run out, and the new holder is told of the former."""
    lost = lease(replicated, "crashed", seconds=4)
    lost.acquire()
    before, said = record(replicated), list[str]()
    former = lease(replicated, "successor").acquire(said=said.append)

    assert record(replicated).since >= before.until
    assert former
    assert (former.pod, former.host, former.pid) == ("pod-crashed", "pod-crashed", 1)
    assert (former.since, former.renewed) == (before.since, before.renewed)
    assert len(said) == 1
    assert said[0].startswith("m is being run by pod pod-crashed (pid 1) since ")
    assert said[0].endswith("Watching for at most 4 s whether it still lives.")


def test_overdue_but_not_taken(database: Database[Any]) -> None:
    """One that has run out is renewed as if nothing were, while nobody has taken it."""
    held = lease(database, seconds=0.2)
    held.acquire()
    eventually(lambda: not record(database).held)
    held.check()

    assert record(database).held
    assert held.advance(None) == 2


def test_lost(replicated: Database[Any]) -> None:
    """Who was frozen past its lease finds out before it goes on, and gives back nothing but its own."""
    frozen = lease(replicated, "frozen", seconds=0.2)
    frozen.acquire()
    eventually(lambda: not record(replicated).held)
    lease(replicated, "new").acquire()

    with pytest.raises(SupersededError):
        frozen.check()
    assert frozen.lost

    frozen.release()

    assert record(replicated).held
    assert record(replicated).token == "new"


def test_lost_for_ever(replicated: Database[Any]) -> None:
    """What was lost is lost, even if the record says otherwise again: a server may have been rolled back."""
    held = lease(replicated)
    held.acquire()
    before = replicated[COLLECTION].find_one()
    assert before
    control.unlock(replicated, "m", "a", lambda *_: None)
    with pytest.raises(SupersededError):
        held.check(now=True)
    replicated[COLLECTION].replace_one({}, before)
    held._renew()

    with pytest.raises(SupersededError):
        held.check(now=True)


def test_released_for_good(replicated: Database[Any]) -> None:
    """What was given back is not taken again by a renewal that arrives late."""
    held = lease(replicated)
    held.acquire()
    held.release()
    held._renew()

    assert not held.lost
    with pytest.raises(SupersededError):
        held.advance(None)
    assert record(replicated).released
    assert record(replicated).generation == 1


def test_late_answer(replicated: Database[Any]) -> None:
    """An answer asked for before the lease was given back, and got back, is no loss of it."""
    held, other = lease(replicated), lease(replicated, "b")
    held.acquire()
    held.release()
    asked_before = held._period
    other.acquire()
    seen = record(replicated)
    other.release()
    held.acquire()
    held._note(asked_before, seen, ours=False)

    assert not held.lost


def test_renewed_before_it_was_taken(database: Database[Any]) -> None:
    """A holder that was thought dead and renews in the last moment keeps its lease."""
    held = lease(database)
    held.acquire()
    thought_dead = record(database)
    held._renew()
    eventually(lambda: record(database).renewed > thought_dead.renewed or held._renew())
    claim = lease_record.claim(database[COLLECTION], "m", elsewhere("b"), 30, over=thought_dead)

    assert claim is None
    assert lease_record.claim(database[COLLECTION], "m", elsewhere("b"), 30, over=record(database))


def test_check_asks_only_when_overdue(database: Database[Any]) -> None:
    """A check costs no round trip while the lease is in time by our own clock."""
    now = [0.0]
    held = lease(database, seconds=30, clock=lambda: now[0])
    held.acquire()
    control.unlock(database, "m", "a", lambda *_: None)
    now[0] = 29.9
    held.check()
    now[0] = 30.0

    with pytest.raises(SupersededError):
        held.check()


def test_check_now(replicated: Database[Any]) -> None:
    """Who must know, because something failed, asks the server at once."""
    held = lease(replicated)
    held.acquire()
    held.check(now=True)
    control.unlock(replicated, "m", "a", lambda *_: None)
    held.check()

    with pytest.raises(SupersededError):
        held.check(now=True)


def test_advance_after_a_takeover(database: Database[Any]) -> None:
    """Who lost the lease cannot raise its generation."""
    held = lease(database, "a", seconds=0.2)
    held.acquire()
    lease(database, "b").acquire(wait=5)

    with pytest.raises(SupersededError):
        held.advance(None)
    assert held.lost
    assert record(database).generation == 2


def test_advance_in_a_transaction(replicated: Database[Any]) -> None:
    """The generation is raised in the caller's transaction, and not at all where that is undone."""
    held = lease(replicated)
    held.acquire()

    def undone(session: ClientSession) -> None:
        assert held.advance(session) == 2
        raise ZeroDivisionError

    with replicated.client.start_session() as session:
        with pytest.raises(ZeroDivisionError):
            server.transact(session, undone)
        assert record(replicated).generation == 1
        assert server.transact(session, held.advance) == 2
    assert record(replicated).generation == held.generation == 2


def test_keeper_notices_a_loss(replicated: Database[Any]) -> None:
    """A lease that was taken away is lost within about a second, without a check, and for ever."""
    held = lease(replicated)
    held.acquire()
    with held:
        control.unlock(replicated, "m", "a", lambda *_: None)

        assert eventually(lambda: held.lost) < 3
        with pytest.raises(SupersededError):
            held.check()
    assert not record(replicated).held


@pytest.fixture
def faulty_uri() -> Iterator[str]:
    """A server that can be told to refuse commands."""
    with embedded(arguments=("--setParameter", "enableTestCommands=1")) as uri:
        yield uri


def test_keeper_survives_anything(faulty_uri: str) -> None:
    """While the server refuses everything nothing is lost, and once it does not the lease is renewed."""
    refused = {"failCommands": ["aggregate", "findAndModify"], "errorCode": 2, "appName": "refused"}
    with MongoClient[Any](faulty_uri) as admin, MongoClient[Any](faulty_uri, appname="refused") as client:
        held = lease(client.shop, seconds=SHORT)
        held.acquire()
        with held:
            admin.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=refused)
            eventually(lambda: not record(admin.shop).held)
            held.check()

            assert not held.lost

            admin.admin.command("configureFailPoint", "failCommand", mode="off")
            eventually(lambda: record(admin.shop).held)
            held.check()


def test_refused_for_a_while(faulty_uri: str) -> None:
    """A server that refuses the lease for a while is asked again, and that is told."""
    refused = {"failCommands": ["findAndModify"], "errorCode": 365, "appName": "refused"}
    said: list[str] = []
    with MongoClient[Any](faulty_uri) as admin, MongoClient[Any](faulty_uri, appname="refused") as client:
        held = lease(client.shop)
        with held:
            admin.admin.command("configureFailPoint", "failCommand", mode={"times": 2}, data=refused)
            held.acquire(said=said.append)

            assert record(admin.shop).held
    assert said
    assert all("; trying again in 0." in sentence for sentence in said)


def test_asked(replicated: Database[Any]) -> None:
    """What an operator asks, and takes back, reaches who holds the lease within about a second."""
    held = lease(replicated)
    held.acquire()
    with held:
        assert held.asked == ""

        for what in ("pause", "cancel"):
            control.ask(replicated, "m", what, "ann on vm")
            assert eventually(lambda what=what: held.asked == what) < 3
            assert held.asked_by == "ann on vm"

        control.clear(replicated, "m")

        assert eventually(lambda: not held.asked) < 3
        assert held.asked_by == ""
        assert not held.lost


def test_asked_before_the_start(replicated: Database[Any]) -> None:
    """What was asked while nobody ran is known once somebody does, and outlives every change of hands."""
    control.ask(replicated, "m", "cancel", "$ann")
    held = lease(replicated)
    held.acquire()

    assert (held.asked, held.asked_by) == ("cancel", "$ann")

    held.release()
    control.ask(replicated, "m", "pause", "bob")
    again = lease(replicated, "b")
    again.acquire()

    assert (again.asked, again.asked_by) == ("pause", "bob")


def test_paused(replicated: Database[Any]) -> None:
    """Given back, a lease may be another's meanwhile, which is no loss, and wishes are still heard."""
    held, other = lease(replicated), lease(replicated, "b", seconds=SHORT)
    held.acquire()
    with held:
        held.release()

        assert not record(replicated).held
        other.acquire()
        control.ask(replicated, "m", "pause", "ann")
        eventually(lambda: held.asked == "pause")
        assert not held.lost

        other.release()
        assert held.acquire() is None
        assert held.generation == 3
        held.check()
        with pytest.raises(AssertionError):
            eventually(lambda: held.lost, 2)


def test_beside_a_living_one(replicated: Database[Any]) -> None:
    """A second run beside one that renews elsewhere ends within a third of the lease, and says who runs."""
    held = lease(replicated, seconds=6)
    held.acquire()
    with held:
        began = time.monotonic()
        with pytest.raises(LeaseHeldError, match=r"m is being run by pod pod-a \(pid 1\) since"):
            lease(replicated, "b").acquire()
        assert time.monotonic() - began < 2 + 2


def test_waits(replicated: Database[Any]) -> None:
    """A second run told to wait gets the lease once the first has ended, and says once that it waits."""
    said: list[str] = []
    first = lease(replicated, this_process())
    first.acquire()
    timer = threading.Timer(1, first.release)
    timer.start()

    assert lease(replicated, this_process()).acquire(wait=30, said=said.append) is None
    assert len(said) == 1
    assert said[0].endswith("Waiting up to 30.0 s for its lease.")
    timer.join()


def test_waits_in_vain(replicated: Database[Any]) -> None:
    """A wait ends with the refusal when its time is over, or when the run is asked to stop."""
    lease(replicated, this_process()).acquire()
    began = time.monotonic()
    with pytest.raises(LeaseHeldError):
        lease(replicated, this_process()).acquire(wait=1.0)
    assert 1.0 <= time.monotonic() - began < 4

    began, asked = time.monotonic(), iter([False, True])
    with pytest.raises(LeaseHeldError):
        lease(replicated, this_process()).acquire(wait=600, stopped=lambda: next(asked))
    assert time.monotonic() - began < 4


def test_alive_here(replicated: Database[Any], process: tuple[subprocess.Popen[str], Holder]) -> None:
    """A second run beside a living one on this machine is refused at once."""
    lease(replicated, process[1]).acquire()
    began = time.monotonic()
    with pytest.raises(LeaseHeldError) as caught:
        lease(replicated, this_process()).acquire()

    assert time.monotonic() - began < SOON
    assert caught.value.pid == process[0].pid


def test_dead_here(replicated: Database[Any], process: tuple[subprocess.Popen[str], Holder]) -> None:
    """The lease of a process killed on this machine is taken over at once, long before it runs out."""
    popen, holder = process
    lease(replicated, holder).acquire()
    popen.kill()
    popen.wait()
    began = time.monotonic()
    former = lease(replicated, this_process()).acquire()

    assert time.monotonic() - began < SOON
    assert former
    assert former.pid == popen.pid


def test_stopped_here(replicated: Database[Any], process: tuple[subprocess.Popen[str], Holder]) -> None:
    """A process stopped with SIGSTOP is neither dead nor alive: its lease is taken once it has run out."""
    popen, holder = process
    lease(replicated, holder, seconds=SHORT).acquire()
    popen.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, popen.pid, os.WSTOPPED | os.WNOWAIT)
    until = record(replicated).until
    former = lease(replicated, this_process()).acquire()

    assert former
    assert former.pid == popen.pid
    assert record(replicated).since >= until


def test_told_once(database: Database[Any]) -> None:
    """A holder that never gave the lease back is told of to the next one, and only to it."""
    lease(database, "a").acquire()
    control.unlock(database, "m", "a", lambda *_: None)
    second = lease(database, "b")
    former = second.acquire()
    second.release()

    assert former
    assert former.pod == "pod-a"
    assert lease(database, "c").acquire() is None


def test_answer_that_never_arrived(database: Database[Any]) -> None:
    """A claim made again, because its answer was lost, succeeds, and still tells of the former holder."""
    lease(database, "a", seconds=0.1).acquire()
    eventually(lambda: not record(database).held)
    ours = elsewhere("b")
    claims = [lease_record.claim(database[COLLECTION], "m", ours, 30) for _ in range(2)]

    assert [claim and claim.generation for claim in claims] == [2, 3]
    assert [claim and claim.former and claim.former.pod for claim in claims] == ["pod-a", "pod-a"]


def test_unlock_of_another(database: Database[Any]) -> None:
    """`unlock` takes the lease from the holder the operator was shown, and from no other."""
    lease(database, "a").acquire()

    assert control.unlock(database, "m", "shown", lambda *_: None) is None
    assert record(database).token == "a"
    assert record(database).generation == 1


RACE = """
import sys, threading
from tests.integration.test_lease import *
client = MongoClient(sys.argv[1])
database = server.database(client, sys.argv[2])
for line in sys.stdin:
    held = Lease(database, line.strip(), this_process(), fence=lambda *told: fence(database, *told))
    try:
        held.acquire()
        print("won", flush=True)
    except LeaseHeldError:
        print("refused", flush=True)
"""


def test_race_of_processes(replicated: Database[Any], mongodb_uri: str) -> None:
    """Of two processes that want one lease at the same moment exactly one gets it, a hundred times."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, mongodb_uri, replicated.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for turn in range(100):
            for racer in racers:
                racer.stdin.write(f"m{turn}\n")
                racer.stdin.flush()
            assert sorted(racer.stdout.readline() for racer in racers) == ["refused\n", "won\n"]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_race_of_threads(database: Database[Any]) -> None:
    """Of two that want one lease at the same moment, given back or a dead one's, exactly one gets it."""
    for turn in range(50):
        left_behind(database, dead=turn % 2 == 0)
        results = together(lambda: won(lease(database, this_process())), 2)

        assert sorted(results) == [False, True], turn
        assert fenced(database) == record(database).generation


def left_behind(database: Database[Any], *, dead: bool) -> None:
    """Leave the lease as its last holder may have left it, if there was one."""
    gone = replace(this_process(), pid=2**22 + 1).document()
    left = {"holder": gone} if dead else {"released": True}
    database[COLLECTION].update_one({"_id": "m"}, {"$set": left})


def won(held: Lease) -> bool:
    try:
        held.acquire()
    except LeaseHeldError:
        return False
    return True


def together(work: Callable[[], bool], number: int) -> list[bool]:
    """Do the same in several threads, begun in the same moment."""
    barrier, results = threading.Barrier(number), dict[int, bool]()

    def one(index: int) -> None:
        barrier.wait()
        results[index] = work()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[index] for index in range(number)]
