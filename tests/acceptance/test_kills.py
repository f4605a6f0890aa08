from __future__ import annotations

import random
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.attempts import DONE, HELD, ended, running, sweep
from tests.faults.freezing import freeze, lease, thaw
from tests.faults.kinds import KINDS, Kind
from tests.faults.scenes import Scene, scene
from tests.faults.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pymongo import MongoClient
    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

KILLS_EACH = 7
DOCUMENTS = 12_000


# Each document says which process wrote it.
SIGNED = '''"""Add one to every n, slowly, and sign it."""

import os

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    sum(range(6_000))
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}, "$set": {"by": os.getpid()}})
'''

# A server ends a transaction that nobody goes on with after a minute; it may hold up who takes over.
TAKEOVER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Frozen:
    """A run that does not move, and when its lease runs out on the server's clock."""

    there: Scene
    process: subprocess.Popen[str]
    until: datetime


@pytest.fixture(scope="module", autouse=True)
def frozen(
    tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str, client: MongoClient[Any]
) -> Iterator[dict[str, Frozen]]:
    """Two runs frozen before anything else: a lease runs out in half a minute, which nobody need wait for."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(freezing(tmp_path_factory.mktemp("frozen"), mongodb_uri, client, name))
            for name in FROZEN
        }


FROZEN = ("between transactions", "in a transaction")


@contextmanager
def freezing(folder: Path, uri: str, client: MongoClient[Any], where: str) -> Iterator[Frozen]:
    there = scene(folder, uri, client)
    there.prepare(SIGNED)
    with there.midway() as process:
        yield Frozen(there, process, freeze(process, there.db, in_transaction=where == "in a transaction"))
        # If its test was not run it may hold a transaction open, which dropping the data would wait for.
        process.terminate()
        thaw(process)
        process.wait(TAKEOVER_SECONDS)
    client.drop_database(there.db.name)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_killed_at_random_moments(cli: CommandLine, db: Database[Any], kind: Kind) -> None:
    """Killed with SIGKILL at random moments and run again each time, a migration of any kind, with any
    number of writers, skips nothing and does nothing twice.
    """
    sweep(cli, db, kind, random.Random(kind.name), kills=KILLS_EACH, documents=DOCUMENTS)


@pytest.mark.parametrize("name", FROZEN)
def test_frozen(frozen: dict[str, Frozen], name: str) -> None:
    """A run that is frozen past its lease, in a transaction or between two, is taken over; it wakes up,
    exits 5, and wrote nothing after the takeover.
    """
    there, process = frozen[name].there, frozen[name].process

    def signed(by: subprocess.Popen[str]) -> int:
        return there.db.c.count_documents({"by": by.pid})

    with running(there.cli, "--wait", "3m") as successor:
        until(lambda: signed(successor), TAKEOVER_SECONDS, "the takeover")
        before = signed(process)
        thaw(process)
        woken, done = ended(process), ended(successor)

    assert woken.code == HELD, str(woken)
    assert done.code == DONE, str(done)
    assert (lease(there.db) or {})["since"] >= frozen[name].until
    assert signed(process) == before
    there.check()
