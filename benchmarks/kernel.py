"""The command itself, inside a memory limit that the kernel enforces.

Where this machine cannot set one, the command runs without, and only its start is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import stage
from benchmarks.rounds import TIMEOUT, environment
from benchmarks.way import BUDGET, MIGRATIONS
from chunkmigrate.units import MI

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.rounds import Result, Target
    from chunkmigrate.limits import Limiter

MAIN = "from chunkmigrate.cli import main; main()"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confined:
    """How a command ended: bytes, its exit code, and its last line. Without a limit, there is no group."""

    shape: str
    limit: int | None
    exit_code: int
    killed: bool
    group_peak: int | None
    told: Mapping[str, Any]

    @property
    def start(self) -> int | None:
        """Return the bytes the run started with, as it says itself."""
        return self.told.get("start")


def confined(target: Target, result: Result, limits: Limiter, limit: int | None = None) -> Confined:
    """Run ``chunkmigrate run`` on a shape, inside a ``limit`` of bytes, or the shape's own."""
    shape = result.shape
    stage.put_back(target.database, shape)
    limit = limit or shape.limit * MI
    ended = limits.run(_command(target, result), limit, env=environment(), timeout=TIMEOUT)
    target.say(f"{shape.name} within {limit // MI} MiB: exit code {ended.returncode}")
    return Confined(
        shape=shape.name,
        limit=limit,
        exit_code=ended.returncode,
        killed=ended.killed_by_kernel,
        group_peak=ended.peak,
        told=_told(ended.stdout),
    )


def unconfined(target: Target, result: Result) -> Confined:
    """Run ``chunkmigrate run`` on a shape, with a budget and no limit."""
    stage.put_back(target.database, result.shape)
    command = [*_command(target, result), "--memory", str(BUDGET)]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=TIMEOUT, check=False
    )
    return Confined(
        shape=result.shape.name,
        limit=None,
        exit_code=ended.returncode,
        killed=False,
        group_peak=None,
        told=_told(ended.stdout),
    )


def _command(target: Target, result: Result) -> list[str]:
    command = [sys.executable, "-c", MAIN, "run", result.shape.name, "--dir", str(MIGRATIONS)]
    return [*command, "--uri", target.uri, "--database", target.database.name]


def _told(output: str) -> Mapping[str, Any]:
    """Return the last JSON line; empty where the command ended before it could write one."""
    with suppress(IndexError, ValueError):
        told: Mapping[str, Any] = json.loads(output.splitlines()[-1])
        return told
    return {}
