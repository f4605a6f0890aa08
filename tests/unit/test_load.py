"""Load: what the server's answers mean, how often it is asked, and what becomes of a refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from chunkmigrate.load import ANSWER_SECONDS, Load, Probe, lag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PRIMARY, SECONDARY, RECOVERING, STARTUP, ARBITER, DOWN = 1, 2, 3, 5, 7, 8


def member(number: int, state: int, behind: float = 0.0) -> dict[str, Any]:
    found = {"_id": number, "state": state, "optimeDate": NOW - timedelta(seconds=behind)}
    if state == ARBITER:
        del found["optimeDate"]
    return found


def status_of(*members: Mapping[str, Any]) -> dict[str, Any]:
    return {"members": list(members), "ok": 1}


def config_of(delays: Iterable[Mapping[str, Any]] = ({}, {}, {}, {})) -> dict[str, Any]:
    return {"members": [{"_id": number, "votes": 1, **delay} for number, delay in enumerate(delays)]}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([member(0, PRIMARY)], 0.0),
        ([member(0, PRIMARY), member(1, SECONDARY, 3)], 3.0),
        ([member(0, SECONDARY, 3), member(1, SECONDARY, 90), member(2, PRIMARY)], 90.0),
        ([member(0, PRIMARY, 4), member(1, SECONDARY, 1)], 0.0),
        ([member(0, PRIMARY), member(1, SECONDARY), member(2, DOWN, 900)], 0.0),
        ([member(0, PRIMARY), member(1, SECONDARY, 2), member(2, RECOVERING, 900)], 2.0),
        ([member(0, PRIMARY), member(1, STARTUP, 10**9), member(2, ARBITER)], 0.0),
        ([member(0, SECONDARY), member(1, SECONDARY, 3)], None),
        ([member(0, PRIMARY, 700), member(1, PRIMARY), member(2, SECONDARY, 5)], 5.0),
        ([], None),
    ],
)
def test_lag(members: list[dict[str, Any]], expected: float | None) -> None:
    """The lag is that of the slowest member that is a secondary behind the primary; unknown without one."""
    assert lag_of(status_of(*members), config_of()) == expected


@pytest.mark.parametrize("name", ["secondaryDelaySecs", "slaveDelay"])
def test_delayed_members(name: str) -> None:
    """A member that is behind on purpose does not count, whatever the server's version calls it."""
    status = status_of(member(0, PRIMARY), member(1, SECONDARY, 3_600), member(2, SECONDARY, 4))
    config = config_of([{name: 0}, {name: 3_600, "hidden": True}, {name: 0}])

    assert lag_of(status, config) == 4.0


class Server:
    """Answers commands with what it is told to, and counts them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers: dict[str, Any] = {
            "replSetGetStatus": status_of(member(0, PRIMARY), member(1, SECONDARY, 14)),
            "replSetGetConfig": {"config": config_of(), "ok": 1},
            "serverStatus": {"flowControl": {"isLagged": True}, "ok": 1},
        }
        self.asked: list[str] = []
        self.probe = Probe(self, lambda: self.now)  # type: ignore[arg-type]

    @property
    def client(self) -> Server:
        return self

    def get_database(self, name: str, **_options: Any) -> Server:
        assert name == "admin"
        return self

    def command(self, command: Any) -> Any:
        name = command if isinstance(command, str) else next(iter(command))
        self.asked.append(name)
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def failing(self, error: Exception, *names: str) -> None:
        self.answers.update(dict.fromkeys(names or self.answers, error))

    def loads(self, seconds: float) -> list[Load]:
        """What is read, four times a second."""
        found = []
        until = self.now + seconds
        while self.now < until:
            found.append(self.probe())
            self.now += 0.25
        return found


@pytest.fixture
def server() -> Server:
    return Server()


def test_probe(server: Server) -> None:
    """A probe reads lag and flow control."""
    assert server.probe() == Load(14.0, flow_control=True)


def test_polls(server: Server) -> None:
    """The server is asked every five seconds, however often the probe is; between, the last answer holds."""
    loads = server.loads(20)

    assert loads == [Load(14.0, flow_control=True)] * 80
    assert server.asked.count("serverStatus") == server.asked.count("replSetGetStatus") == 4


def test_polls_are_bounded(server: Server) -> None:
    """All that is asked in one poll has two seconds together."""
    left = []

    def command(_command: Any) -> Any:
        left.append(pymongo._csot.remaining())
        raise NetworkTimeout

    server.command = command  # type: ignore[method-assign]
    server.probe()

    assert len(left) == 2
    assert all(0 < seconds <= ANSWER_SECONDS for seconds in left)
    assert left == sorted(left, reverse=True)
    assert pymongo._csot.remaining() is None


@pytest.mark.parametrize("code", [13, 59, 76, 115, 123, 323, 8000, None])
def test_refusals(server: Server, code: int | None) -> None:
    """A signal that the server refuses to tell is unknown, and is not asked for again."""
    server.failing(OperationFailure("no", code))

    assert server.loads(60) == [Load(None, None)] * 240
    assert server.asked == ["replSetGetStatus", "serverStatus"]


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ("replSetGetStatus", Load(None, flow_control=True)),
        ("replSetGetConfig", Load(None, flow_control=True)),
        ("serverStatus", Load(14.0, flow_control=None)),
    ],
)
def test_one_refusal(server: Server, refused: str, expected: Load) -> None:
    """What one signal needs and the server refuses does not cost the other one."""
    server.failing(OperationFailure("not authorized", 13), refused)

    assert server.loads(20) == [expected] * 80
    assert server.asked.count(refused) == 1


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("closed"),
        NetworkTimeout("timed out"),
        ServerSelectionTimeoutError("nobody"),
        ExecutionTimeout("exceeded time limit", 50),
        OperationFailure("overloaded", 462),
        PyMongoError("any other"),
    ],
)
def test_failures(server: Server, error: PyMongoError) -> None:
    """While the server fails, what was read holds for 15 seconds, and is then unknown until read again."""
    server.probe()
    answers = dict(server.answers)
    server.failing(error)
    failing = server.loads(20)
    server.answers.update(answers)
    server.loads(5)

    assert [load == Load(14.0, flow_control=True) for load in failing] == [True] * 61 + [False] * 19
    assert failing[-1] == Load(None, None)
    assert server.probe() == Load(14.0, flow_control=True)


def test_no_primary(server: Server) -> None:
    """A lag that was seen before the primary was lost is no statement about the next one."""
    server.probe()
    server.answers["replSetGetStatus"] = status_of(member(0, SECONDARY), member(1, SECONDARY, 14))
    server.now = 5.0

    assert server.probe() == Load(None, flow_control=True)


def test_router(server: Server) -> None:
    """A router has no flow control to tell of, and its members' lag is not to be read there."""
    server.answers["serverStatus"] = {"ok": 1}
    server.failing(OperationFailure("replSetGetStatus is not supported through mongos"), "replSetGetStatus")

    assert server.probe() == Load(None, None)
