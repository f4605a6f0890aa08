"""The load of real servers: what they tell, and to whom; and that asking them never holds a run for long."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from chunkmigrate import server
from chunkmigrate.load import ANSWER_SECONDS, Load, Probe
from chunkmigrate.throttle import Throttle
from tests.faults.mongods import Mongod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

PASSWORD = "secret"


class Commands(CommandListener):
    """Which questions about load a server was asked, and its replies."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.replies: dict[str, Any] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("replSetGetStatus", "replSetGetConfig", "serverStatus"):
            self.names.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self.replies[event.command_name] = event.reply

    def failed(self, event: CommandFailedEvent) -> None:
        self.replies[event.command_name] = event.failure["code"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server that asks for a password, with users who may write, and who may also watch."""
    with Mongod(tmp_path_factory.mktemp("guarded") / "data", "--auth") as mongod:
        roles = {"worker": ["readWriteAnyDatabase"], "watcher": ["readWriteAnyDatabase", "clusterMonitor"]}
        with mongod.client() as client:
            # Without any user, a client on the same machine may make the first.
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with MongoClient[Any](mongod.address, username="root", password=PASSWORD) as client:
            for user, granted in roles.items():
                client.admin.command("createUser", user, pwd=PASSWORD, roles=granted)
        yield mongod


def polled(client: MongoClient[Any], times: int = 3) -> list[Load]:
    """What a probe reads of a client's server, poll by poll."""
    clock = Clock()
    probe = Probe(server.database(client, "shop"), clock)
    found = []
    for _ in range(times):
        found.append(probe())
        clock.now += 60
    return found


def test_replica_set(mongodb_uri: str, commands: Commands) -> None:
    """An idle replica set tells that nothing lags, and is asked for what is needed only."""
    with MongoClient[Any](mongodb_uri, event_listeners=[commands]) as client:
        found = polled(client, 1)

    assert found == [Load(0.0, flow_control=False)]
    assert commands.names == ["replSetGetStatus", "replSetGetConfig", "serverStatus"]
    assert "flowControl" in commands.replies["serverStatus"]
    assert commands.replies["serverStatus"].keys().isdisjoint({"metrics", "wiredTiger", "locks", "tcmalloc"})


def test_dates(mongodb_uri: str) -> None:
    """A connection string that makes dates something one cannot subtract does not make lag unreadable."""
    with MongoClient[Any](f"{mongodb_uri}&datetime_conversion=DATETIME_MS") as client:
        assert polled(client, 1) == [Load(0.0, flow_control=False)]


def test_standalone(standalone_uri: str, commands: Commands) -> None:
    """A standalone server has nothing that could lag, and is asked for it once."""
    with MongoClient[Any](standalone_uri, event_listeners=[commands]) as client:
        found = polled(client)

    assert [load.lag_seconds for load in found] == [None, None, None]
    assert commands.names.count("replSetGetStatus") == 1


def test_without_privilege(guarded: Mongod, commands: Commands) -> None:
    """A user who may read and write, and no more, is refused once, learns nothing and is not held up."""
    with MongoClient[Any](
        guarded.address, username="worker", password=PASSWORD, event_listeners=[commands]
    ) as client:
        found = polled(client)

    assert found == [Load(None, None)] * 3
    assert commands.names == ["replSetGetStatus", "serverStatus"]
    assert [commands.replies[name] for name in commands.names] == [13, 13]


def test_with_privilege(guarded: Mongod) -> None:
    """The role clusterMonitor is enough to read what there is."""
    with MongoClient[Any](guarded.address, username="watcher", password=PASSWORD) as client:
        assert polled(client) == [Load(None, flow_control=False)] * 3


def test_frozen_server(tmp_path: Path) -> None:
    """A server that stopped answering holds a run for two seconds, and is unknown until it answers."""
    with Mongod(tmp_path / "data") as mongod, mongod.client() as client:
        process = client.admin.command("serverStatus")["pid"]
        clock = Clock()
        probe = Probe(server.database(client, "shop"), clock)
        throttle = Throttle(probe, clock=clock)
        assert throttle.reason() is None
        clock.now += 60
        os.kill(process, signal.SIGSTOP)
        try:
            began = time.monotonic()
            reason = throttle.reason()
            took = time.monotonic() - began
        finally:
            os.kill(process, signal.SIGCONT)

        assert reason is None
        assert ANSWER_SECONDS * 0.9 < took < ANSWER_SECONDS + 1
        assert probe() == Load(None, None)
        clock.now += 60
        assert probe() == Load(None, flow_control=False)
