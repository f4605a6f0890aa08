"""Confined: the command line on one migration, in a process of its own and inside so much memory.

A test's process holds far more than a pod's does, so memory is only tested in another one: the command a pod
runs, with the same budget. Where this machine lets us make a control group, the kernel enforces it; and
everywhere the most that was ever resident is compared with it afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from chunkmigrate.errors import ChunkmigrateError
from chunkmigrate.ledger import RUNNING, RUNS, STOPPED, Ledger
from chunkmigrate.limits import Ended
from chunkmigrate.records import Counts
from chunkmigrate.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from chunkmigrate.limits import Limiter
    from chunkmigrate.migration import Migration

_Ended: TypeAlias = Ended | subprocess.CompletedProcess[str]

_ADVICE = "Name the fields it needs in scan(..., fields=[...]), and keep nothing of a document for later."


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What a run said at its end: bytes resident when it ``start``ed and at the ``peak``."""

    counts: Counts
    start: int
    peak: int


def run(migration: Migration, database: Database[Any], uri: str, memory: str, limiter: Limiter | None) -> Ran:
    """Apply ``migration`` inside ``memory``, spelled as Kubernetes does: ``64Mi``.

    ``uri`` is the server of ``database``; ``limiter`` has the kernel enforce the limit, None where it cannot.
    Raises `AssertionError` where more is needed, `ChunkmigrateError` with the run's own sentence where it
    failed.
    """
    __tracebackhide__ = True
    command = _command(migration, database.name, memory)
    limit, environment = parse_bytes(memory), _environment(uri)
    try:
        ended = limiter.run(command, limit, env=environment) if limiter else _unlimited(command, environment)
    finally:
        _disarm(database)
    told = _told(ended.stdout)
    _judge(f"{migration.name} needs more than {memory}", ended, told, limit)
    counts = Counts(**{name: told[name] for name in asdict(Counts())})
    return Ran(counts=counts, start=told["start"], peak=told["peak"])


def _judge(needs_more: str, ended: _Ended, told: Mapping[str, Any], limit: int) -> None:
    __tracebackhide__ = True
    if isinstance(ended, Ended) and ended.killed_by_kernel:
        when = f"as it ran. {_ADVICE}" if told else "as it started: the command alone takes some 40 MiB."
        raise AssertionError(f"{needs_more}: the kernel killed it {when}")
    if told.get("event") == STOPPED:
        raise AssertionError(f"{needs_more}. {told['message']} {_ADVICE}")
    if ended.returncode:
        raise ChunkmigrateError(_sentence(ended))
    if told["peak"] > limit:
        peak, over, start = map(format_bytes, (told["peak"], told["peak"] - limit, told["start"]))
        raise AssertionError(
            f"{needs_more}: it had {peak} in use at its peak, {over} too much; its process began with "
            f"{start}. {_ADVICE}"
        )


def _command(migration: Migration, database: str, memory: str) -> list[str]:
    # The values are those of a test.
    said = ("--memory", memory, "--show-values")
    command = [sys.executable, "-P", "-m", "chunkmigrate", "run", migration.name, *said]
    return [*command, "--database", database, "--dir", str(migration.path.resolve().parent)]


def _environment(uri: str) -> dict[str, str]:
    # The URI goes the way that does not show it to everybody who lists processes. The settings of the machine
    # the tests run on are not the migration's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHUNKMIGRATE_")}
    return kept | {"MONGODB_URI": uri}


def _unlimited(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )


def _disarm(database: Database[Any]) -> None:
    """End what a run that was killed has left open: the database could not be dropped for a minute."""
    for dead in database[RUNS].find({"status": RUNNING}):
        Ledger(database).disarm(dead["token"])


def _told(output: str) -> Mapping[str, Any]:
    """Return the run's last line; nothing where it ended before it could write one."""
    with suppress(IndexError, ValueError):
        told: Mapping[str, Any] = json.loads(output.splitlines()[-1])
        return told
    return {}


def _sentence(ended: _Ended) -> str:
    lines = ended.stderr.strip().splitlines()
    unsaid = f"The run ended with code {ended.returncode} and said nothing."
    return lines[-1].removeprefix("Error: ") if lines else unsaid
