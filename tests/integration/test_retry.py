"""Retries on a real server: what its failures are, one commit whatever happens, no wait without an end."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import bson
import pymongo
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener, CommandStartedEvent
from pymongo.uri_parser import parse_uri

from chunkmigrate import scan, server
from chunkmigrate.errors import AccessDeniedError
from chunkmigrate.mongod import embedded
from chunkmigrate.pages import PageReader
from chunkmigrate.raw import key_of
from chunkmigrate.retry import Retry, is_conflict, is_passing, is_slow, is_too_much, overload_backoff
from chunkmigrate.windows import FIRST_WIDTH, READ_SECONDS, Interrupted, Windows
from tests.faults.mongods import Mongod
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

UNKNOWN = "UnknownTransactionCommitResult"


@pytest.fixture(scope="module")
def faulty_uri() -> Iterator[str]:
    """A server that fails when it is told to."""
    with embedded(arguments=["--setParameter", "enableTestCommands=1"]) as uri:
        yield uri


class Faulty:
    """A counter in a database, and the server's failures."""

    def __init__(self, db: Database[Any], session: ClientSession) -> None:
        self.db, self.session, self.calls = db, session, 0
        self._admin = db.client.admin
        db.c.drop()
        db.c.insert_one({"_id": 1, "n": 0})

    @property
    def n(self) -> int:
        return int(self.db.c.find_one({"_id": 1})["n"])

    def count(self, session: ClientSession) -> str:
        self.calls += 1
        self.db.c.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        return f"call {self.calls}"

    @contextmanager
    def failing(self, command: str, times: int, **how: Any) -> Iterator[None]:
        data = {"failCommands": [command]} | how
        self._admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
        try:
            yield
        finally:
            self._admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
def faulty(faulty_uri: str) -> Iterator[Faulty]:
    with server.connect(faulty_uri) as client, client.start_session(causal_consistency=False) as session:
        yield Faulty(server.database(client, "faulty"), session)


@contextmanager
def through_proxy(uri: str) -> Iterator[tuple[Proxy, Faulty]]:
    (_, port), *_ = parse_uri(uri)["nodelist"]
    with (
        Proxy(port) as proxy,
        server.connect(proxy.uri(uri)) as client,
        client.start_session(causal_consistency=False) as session,
    ):
        yield proxy, Faulty(server.database(client, "proxied"), session)


def raised(work: Callable[[], object]) -> PyMongoError:
    with pytest.raises(PyMongoError) as caught:
        work()
    return caught.value


TRANSIENT = {"errorLabels": ["TransientTransactionError"]}
FAILURES = [
    ("update", {"closeConnection": True}),
    ("update", {"errorCode": 112} | TRANSIENT),
    ("update", {"errorCode": 251} | TRANSIENT),
    ("commitTransaction", {"errorCode": 251} | TRANSIENT),
]
LATE = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}


def test_attempt(faulty: Faulty) -> None:
    """An attempt commits what it was given to do, and returns what that returned."""
    assert server.attempt(faulty.session, faulty.count, seconds=5) == "call 1"
    assert (faulty.n, faulty.calls) == (1, 1)


@pytest.mark.parametrize(("command", "how"), FAILURES)
def test_attempt_fails(faulty: Faulty, command: str, how: dict[str, Any]) -> None:
    """An attempt is made once: a failure is raised as it came, and nothing is written or left open."""
    with faulty.failing(command, 1, **how):
        error = raised(lambda: server.attempt(faulty.session, faulty.count, seconds=5))

    assert is_passing(error)
    assert error.has_error_label("TransientTransactionError")
    assert (faulty.n, faulty.calls) == (0, 1)
    assert not faulty.session.in_transaction
    if command == "update":
        # No lock is left behind: an update outside of the transaction would wait for it.
        with pymongo.timeout(2):
            faulty.db.c.update_one({"_id": 1}, {"$set": {"n": 0}})
    assert server.attempt(faulty.session, faulty.count, seconds=5) == "call 2"
    assert faulty.n == 1


def test_attempt_unknown(faulty: Faulty) -> None:
    """A commit of which it is not known whether it succeeded is said to be one."""
    with faulty.failing("commitTransaction", 1, **LATE):
        error = raised(lambda: server.attempt(faulty.session, faulty.count, seconds=5))

    assert error.has_error_label(UNKNOWN)
    assert is_passing(error)
    assert not is_too_much(error)
    assert faulty.n == 1


def test_work_raises(faulty: Faulty) -> None:
    """When the work itself raises, nothing is written, and its exception comes out as it is."""

    def work(session: ClientSession) -> None:
        faulty.count(session)
        raise KeyError(5)

    with pytest.raises(KeyError):
        server.attempt(faulty.session, work, seconds=5)
    with pytest.raises(KeyError):
        server.transact(faulty.session, work)

    assert faulty.n == 0
    assert not faulty.session.in_transaction


@pytest.mark.parametrize(("command", "how"), FAILURES)
def test_transact_again(faulty: Faulty, command: str, how: dict[str, Any]) -> None:
    """A transaction that failed and was not committed is done again, as a whole."""
    with faulty.failing(command, 2, **how):
        assert server.transact(faulty.session, faulty.count) == "call 3"

    assert faulty.n == 1


@pytest.mark.parametrize("how", [LATE, {"closeConnection": True}], ids=["late", "lost"])
def test_transact_once(faulty: Faulty, how: dict[str, Any]) -> None:
    """A transaction that may be committed is never done again: its commit is asked for until it is known."""
    with faulty.failing("commitTransaction", 3, **how):
        assert server.transact(faulty.session, faulty.count) == "call 1"

    assert faulty.n == 1


def test_transact_gives_up(faulty: Faulty) -> None:
    """A transaction that keeps failing ends with its failure, in time; another failure ends it at once."""
    retry = Retry(seconds=0.5)
    with faulty.failing("update", 100, errorCode=112, **TRANSIENT):
        assert is_conflict(raised(lambda: server.transact(faulty.session, faulty.count, retry)))
    tries, faulty.calls = faulty.calls, 0
    with faulty.failing("commitTransaction", 100, **LATE):
        assert raised(lambda: server.transact(faulty.session, faulty.count, retry)).has_error_label(UNKNOWN)
    commits, faulty.calls = faulty.calls, 0
    with faulty.failing("update", 100, errorCode=13, errorLabels=[]):
        raised(lambda: server.transact(faulty.session, faulty.count, retry))

    assert tries > 1
    assert (commits, faulty.calls) == (1, 1)


def test_conflict(faulty: Faulty) -> None:
    """Two transactions that change one document: the second one passes once the first is over."""
    with faulty.db.client.start_session() as other:
        other.start_transaction()
        faulty.count(other)
        error = raised(lambda: server.attempt(faulty.session, faulty.count, seconds=5))
        threading.Timer(0.3, other.commit_transaction).start()
        server.transact(faulty.session, faulty.count)

    assert (is_conflict(error), is_passing(error), is_too_much(error)) == (True, True, False)
    assert faulty.n == 2


def test_locked(faulty: Faulty) -> None:
    """A server locked for a backup makes a transaction wait, and passes; it is never too much."""
    admin = faulty.db.client.admin
    admin.command("fsync", lock=True)
    try:
        error = raised(lambda: server.attempt(faulty.session, faulty.count, seconds=5))
        threading.Timer(0.5, lambda: admin.command("fsyncUnlock")).start()
        server.transact(faulty.session, faulty.count)
    finally:
        while admin.command("currentOp").get("fsyncLock"):
            admin.command("fsyncUnlock")

    assert (is_passing(error), is_too_much(error)) == (True, False)
    assert "Is it locked (fsyncLock)" in str(server.explained(error))
    assert faulty.n == 1


def test_outlived(faulty: Faulty) -> None:
    """A transaction that outlives what the server allows is too much, if it was ended amid a command."""
    admin = faulty.db.client.admin
    before = admin.command({"setParameter": 1, "transactionLifetimeLimitSeconds": 1})["was"]
    slow = {"_id": 1, "$where": "sleep(20000) || true"}
    try:
        error = raised(
            lambda: server.attempt(
                faulty.session,
                lambda session: faulty.db.c.update_one(slow, {"$inc": {"n": 1}}, session=session),
                seconds=15,
            )
        )
    finally:
        admin.command({"setParameter": 1, "transactionLifetimeLimitSeconds": before})

    assert (is_too_much(error), is_passing(error)) == (True, False)


def test_too_slow(faulty: Faulty) -> None:
    """What takes longer than an attempt may is ended, on the server, too."""
    slow = {"$where": "sleep(30000) || true"}
    began = time.monotonic()
    error = raised(
        lambda: server.attempt(
            faulty.session, lambda session: faulty.db.c.find_one(slow, session=session), seconds=0.5
        )
    )

    assert is_slow(error)
    assert is_passing(error)
    assert time.monotonic() - began < 0.5 + server.ABORT_SECONDS + 1
    with pymongo.timeout(5):
        while any("sleep" in str(found) for found in running(faulty.db)):
            time.sleep(0.01)


def running(db: Database[Any]) -> list[dict[str, Any]]:
    """What the server does in this database, the question itself left out."""
    found = db.client.admin.command("currentOp", ns=f"{db.name}.c")["inprog"]
    return list(found)


def test_overloaded(faulty: Faulty) -> None:
    """A server that sheds load is known by its label, and passes."""
    labels = {"errorLabels": ["SystemOverloadedError", "RetryableError"]}
    with faulty.failing("update", 100, errorCode=462, **labels):
        error = raised(lambda: server.attempt(faulty.session, faulty.count, seconds=5))

    assert overload_backoff(error) == 0.0
    assert is_passing(error)


class Listener(CommandListener):
    """Keeps the time limits of the commands that are sent, in seconds; 0 stands for none."""

    def __init__(self) -> None:
        self.limits: list[tuple[str, float]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.limits.append((event.command_name, event.command.get("maxTimeMS", 0) / 1_000))

    def succeeded(self, event: Any) -> None:
        pass

    failed = succeeded


def test_limits(mongodb_uri: str, db: Database[Any]) -> None:
    """Whatever is asked has a time limit, on the server, too; what an author asks has none."""
    db.c.insert_many({"_id": n} for n in range(100))
    listener = Listener()
    with (
        MongoClient[Any](mongodb_uri, event_listeners=[listener]) as client,
        client.start_session() as session,
    ):
        mine = client[db.name]
        described, one = scan(mine.c, {"x": None}), {"_id": 1}

        def write(session: ClientSession) -> None:
            mine.c.update_one(one, {"$inc": {"n": 1}}, session=session)

        server.has_transactions(client)
        server.attempt(session, write, seconds=7)
        server.transact(session, write)
        described.count()
        described.average_size()
        assert len(list(described)) == 100
        reader = PageReader(described, key_of(bson.encode({"_id": 99})))
        assert reader.read(None, 1_000, measured=True)
        assert reader.pass_over(None)
        windows = Windows(described, key_of(bson.encode({"_id": 99})), Retry())
        windows._narrow()
        assert windows.page(None, 5)
        sent = listener.limits[:]
        mine.c.create_index("x")

    assert ("createIndexes", 0.0) in listener.limits
    assert {name for name, _ in sent} >= {
        "hello",
        "update",
        "commitTransaction",
        "find",
        "collStats",
        "aggregate",
    }
    assert all(0 < limit <= 20 for _, limit in sent)
    assert all(limit <= READ_SECONDS for name, limit in sent if name == "find")
    assert [limit <= 7 for name, limit in sent if name == "update"] == [True, False]


def test_stalled(faulty_uri: str) -> None:
    """A connection that says nothing more holds an attempt up no longer than it may take, and to abort it."""
    with through_proxy(faulty_uri) as (proxy, faulty):
        with proxy.stalled():
            began = time.monotonic()
            error = raised(lambda: server.attempt(faulty.session, faulty.count, seconds=1))
            took = time.monotonic() - began
        assert server.attempt(faulty.session, faulty.count, seconds=10) == "call 2"

        assert took < 1 + server.ABORT_SECONDS + 1
        assert is_passing(error)
        assert faulty.n == 1


def test_stalled_commit(faulty_uri: str) -> None:
    """A commit that gets no answer is unknown to an attempt; a transaction learns of it, and is done once."""
    with through_proxy(faulty_uri) as (proxy, faulty):
        stalls = ExitStack()

        def stalling(session: ClientSession) -> str:
            said = faulty.count(session)
            if faulty.calls == 1:
                stalls.enter_context(proxy.stalled())
            return said

        error = raised(lambda: server.attempt(faulty.session, stalling, seconds=1))
        stalls.close()
        assert error.has_error_label(UNKNOWN)

        faulty.db.c.replace_one({"_id": 1}, {"n": 0})
        faulty.calls = 0
        threading.Timer(3, stalls.close).start()
        assert server.transact(faulty.session, stalling) == "call 1"
        assert faulty.n == 1


def test_pages_stalled(faulty_uri: str) -> None:
    """A connection that says nothing for a while holds up reading, and does not end it."""
    with through_proxy(faulty_uri) as (proxy, faulty):
        faulty.db.c.insert_many({"_id": n} for n in range(2, 1_001))
        described = scan(faulty.db.c, fields=[])
        upto = described.upper_bound()
        assert upto is not None
        windows, found, after = Windows(described, upto, Retry(), seconds=0.5), 0, None
        for number in range(10):
            with ExitStack() as stalls:
                if number == 3:
                    stalls.enter_context(proxy.stalled())
                    threading.Timer(2, stalls.close).start()
                page = windows.page(after, 100)
            found, after = found + len(page), page.through
        while after != upto:
            page = windows.page(after, 100)
            found, after = found + len(page), page.through

        assert found == 1_000


def test_pages_again(faulty: Faulty) -> None:
    """Reading goes on after passing failures, whatever is asked for; each is told of."""
    faulty.db.c.insert_many({"_id": n} for n in range(2, 101))
    described = scan(faulty.db.c)
    for measured in (False, True):
        upto, said = described.upper_bound(), list[PyMongoError]()
        assert upto is not None
        retry = Retry(noticed=lambda error, _, said=said: said.append(error))
        reader, found, after = PageReader(described, upto, retry), 0, None
        with faulty.failing("find", 2, closeConnection=True):
            while page := reader.read(after, 500, measured=measured):
                found, after = found + len(page), page.through

        assert (found, len(said)) == (100, 2)
    with faulty.failing("find", 3, closeConnection=True):
        assert len(list(described)) == 100
    with faulty.failing("find", 1, errorCode=13):
        assert isinstance(server.explained(raised(lambda: list(described))), AccessDeniedError)


def test_counting_does_not_fail(faulty: Faulty) -> None:
    """A figure that the server does not give now is none, and no failure."""
    described = scan(faulty.db.c, {"n": 0})
    assert described.count() == 1
    with faulty.failing("aggregate", 5, closeConnection=True):
        assert described.count() is None
    with faulty.failing("count", 1, errorCode=13):
        assert scan(faulty.db.c).count() is None
    with faulty.failing("collStats", 1, errorCode=13):
        assert described.average_size() == 0
    assert described.average_size() > 0


class SlowFilter:
    """A collection of which one document in ``every`` matches, and a filter that takes 2 ms for each."""

    def __init__(self, db: Database[Any], count: int, every: int) -> None:
        db.slow.insert_many({"_id": n, "x": n % every} for n in range(count))
        self.scan = scan(db.slow, {"$where": "sleep(2) || this.x == 0"}, fields=[])
        upto = self.scan.upper_bound()
        assert upto is not None
        self.upto = upto

    def read(self, windows: Windows) -> list[int]:
        found: list[int] = []
        after: Key | None = None
        while after != self.upto and (page := windows.page(after, 1_000)):
            found += [document["_id"] for document in page.decoded(self.scan.collection.codec_options)]
            after = page.through
        return found


@pytest.mark.parametrize("every", [100, 10_000])
def test_slow_filter(db: Database[Any], every: int) -> None:
    """A filter that matches next to nothing, and is slow, is read to its end, though no read has the time."""
    slow = SlowFilter(db, 600, every)
    windows = Windows(slow.scan, slow.upto, Retry(seconds=10), seconds=0.3)

    assert slow.read(windows) == list(range(0, 600, every))


def test_slow_filter_stopped(db: Database[Any]) -> None:
    """A stop while nothing matches is noticed at the end of a read, and says how far it was read."""
    slow, first = SlowFilter(db, 2_000, 10_000), key_of(bson.encode({"_id": 0}))
    begun = Begun(slow.scan)
    windows = Windows(cast("Scan", begun), slow.upto, Retry(stopped=lambda: begun.behind(first)), seconds=0.3)
    with pytest.raises(Interrupted) as caught:
        windows.page(first, 1_000)
    through = caught.value.through

    assert through is not None
    assert 0 < int(through.shown()) < 1_999
    assert int(through.shown()) - begun.reached <= FIRST_WIDTH


@dataclass
class Begun:
    """A scan, and from where it was read last."""

    scan: Scan
    reached: int = 0

    def page(self, after: Key | None, upto: Key, limit: int) -> Page:
        self.reached = 0 if after is None else int(after.shown())
        return self.scan.page(after, upto, limit)

    def behind(self, first: Key) -> bool:
        return self.reached > int(first.shown())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scan, name)


def test_read_only_user(tmp_path: Path) -> None:
    """A user that may only read is told so, without a word of what was to be written."""
    with Mongod(tmp_path / "data", "--auth") as mongod:
        with server.connect(f"mongodb://{mongod.address}/") as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with server.connect(f"mongodb://root:root@{mongod.address}/") as client:
            client.shop.c.insert_one({"_id": 1})
            client.shop.command("createUser", "ann", pwd="secret", roles=["read"])
        with server.connect(f"mongodb://ann:secret@{mongod.address}/shop") as client:
            db = server.database(client, "shop")
            error = raised(lambda: db.c.update_one({"_id": 1}, {"$set": {"iban": "DE02"}}))
            assert [document["_id"] for document in scan(db.c)] == [1]
    said = server.explained(error)

    assert not is_passing(error)
    assert isinstance(said, AccessDeniedError)
    assert "refused access: not authorized on shop to execute command update. Check the user" in str(said)
    assert "What is committed is safe" in str(said)
