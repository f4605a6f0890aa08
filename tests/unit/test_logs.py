from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.kubernetes import logs
from chunkmigrate.kubernetes.cluster import Collection
from tests.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.kubernetes.client import Api

LOG = Collection("/log", "the log of pod p", {"container": "c"})
NOT_YET = ClusterRefusedError("waiting to start.", 400, "BadRequest")


class Streams:
    """An API whose streams are given; what is raised in one breaks it off."""

    def __init__(self, *streams: Any) -> None:
        self.streams, self.since = deque(streams), list[str]()

    def stream(self, *_: Any, **query: Any) -> Iterator[bytes]:
        self.since.append(query["sinceTime"])
        for chunk in self.streams.popleft():
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def read(*streams: Any) -> tuple[list[str], Streams]:
    api = Streams(*streams)
    return [*logs.log(cast("Api", api), LOG, sleep=lambda _: None)], api


def test_recorded_log() -> None:
    """A log comes line by line, without its times, with a last line that has no end."""
    stamped, plain = recorded("logs")["log-timestamps.txt"], recorded("logs")["log.txt"]

    assert read([stamped.encode()])[0] == plain.splitlines()


def test_each_line_once() -> None:
    """After a drop the lines that were read come again, and are told once."""
    first = [
        b"2026-11-22T02:27:01.1Z a\n2026-11-22T02:27:01.2Z b\n2026-11-22T02:27:01.3",
        ClusterError("lost."),
    ]
    again = [b"2026-11-22T02:27:01.1Z a\n2026-11-22T02:27:01.2Z b\n2026-11-22T02:27:01.3Z c\n"]
    found, api = read(first, again)

    assert found == ["a", "b", "c"]
    assert api.since == ["", "2026-11-22T02:27:01.2Z"]


def test_not_yet_started() -> None:
    """A container that waits to be started is asked again; one that is gone is not."""
    assert read([NOT_YET], [b"2026-11-22T02:27:01.1Z a\n"])[0] == ["a"]
    assert read([ClusterRefusedError("not found.", 404)])[0] == []


def test_gives_up() -> None:
    """A container that never starts is given up."""
    found, api = read(*[[NOT_YET]] * 100)

    assert found == []
    assert len(api.since) == logs.TRIES


@pytest.mark.parametrize("said", ["\x1b[2J\x1b]0;title\x07", "a\u202eb", "x" * 100_000])
def test_hostile_lines(said: str) -> None:
    """What a log does to a terminal is taken out of it."""
    [line] = read([f"2026-11-22T02:27:01.1Z {said}\n".encode()])[0]

    assert line.isprintable()
    assert len(line) <= logs.MAX_LINE
