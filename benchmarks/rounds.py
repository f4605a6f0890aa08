"""Rounds: each way alternately, in a process of its own, on a collection put back before.

Machines drift in speed, so ways are compared within a round only, and every other round goes backwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks import stage
from benchmarks.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.database import Database

    from benchmarks.shapes import Shape

TIMEOUT = 900


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the documents are. ``say`` tells whoever waits what is being done."""

    uri: str
    database: Database[Any]
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One shape, measured: a list a way, with one entry a round."""

    shape: Shape
    documents: int
    size: int
    runs: dict[str, list[Measured]] = field(default_factory=dict)


def measure(target: Target, result: Result, ways: Sequence[str], rounds: int) -> None:
    """Run the ways for some rounds: A B, B A, A B."""
    for way in in_turn(ways, rounds):
        result.runs.setdefault(way, []).append(once(target, result, way))


def in_turn(ways: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield each way once a round, every other round backwards."""
    for number in range(rounds):
        yield from ways[:: -1 if number % 2 else 1]


def once(target: Target, result: Result, way: str) -> Measured:
    """Run one way."""
    measured = Measured(**ran(target, result, way, "benchmarks.way"))
    target.say(f"{result.shape.name} {way}: {measured.rate:,.0f} documents/s")
    return measured


def ran(target: Target, result: Result, way: str, module: str) -> dict[str, Any]:
    """Put the collection back, have ``module`` run one way, and check that it did what it should."""
    shape = result.shape
    stage.put_back(target.database, shape)
    command = [sys.executable, "-m", module, way, shape.name, target.uri, target.database.name]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == 0, f"{way} on {shape.name} failed:\n{ended.stderr}"
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert told["documents"] == result.documents, f"{way} on {shape.name}: {told['documents']} written"
    assert stage.changed(target.database, shape) == result.documents, (
        f"{way} on {shape.name}: some are missing"
    )
    return told


def environment() -> dict[str, str]:
    """Return this process's environment, without settings of chunkmigrate's."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHUNKMIGRATE_", "MONGODB_"))
    }
