"""Readmission on a real server: what an operator asks of it, and what it says at its end."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import Backfill, UpdateOne, control, quarantine, scan, server
from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, MIGRATIONS, STOPPED
from chunkmigrate.memory import Sensor
from chunkmigrate.runner import Run
from chunkmigrate.telemetry import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

MIB = 1024 * 1024

# A wish is noticed a second later at most: by then not all of them are tried.
BAD, SLOWLY_SECONDS = 40, 0.1


class Broken:
    """A migration with the documents ``bad``, which tells ``seen`` of each that it is given."""

    name, checksum, description, path = "m", "x", "", Path("nowhere.py")

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.seen: Callable[[int], None] = lambda _: None

    def steps(self, database: Any) -> list[Backfill]:
        return [Backfill(scan(database.c), self.one, on_error="quarantine")]

    def one(self, document: dict[str, Any]) -> UpdateOne:
        self.seen(document["_id"])
        if document["_id"] in self.bad:
            raise ValueError(document)
        return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})


@pytest.fixture
def opened(db: Database[Any]) -> Database[Any]:
    """The test's database, as a run opens it."""
    return server.database(db.client, db.name)


@pytest.fixture
def broken(opened: Database[Any]) -> Broken:
    """A migration that is applied but for 40 documents of a hundred."""
    opened.c.insert_many({"_id": n} for n in range(100))
    found = Broken(set(range(BAD)))
    run = run_of(found, opened)
    assert not any(progress.steps > 1 for progress in run)
    assert quarantine.count(opened, "m") == BAD
    found.bad = set()
    return found


def run_of(migration: Any, database: Database[Any], **how: Any) -> Run:
    return Run(migration, database, Sensor(memory=512 * MIB), writers=2, **how)


def retried(migration: Any, database: Database[Any], **how: Any) -> Run:
    """A retry of what is in quarantine, to its end."""
    run = run_of(migration, database, only_quarantined=True, **how)
    assert not list(run)
    return run


def test_sentence(broken: Broken, opened: Database[Any]) -> None:
    """What is said is about the documents in quarantine, and nothing of the migration itself."""
    opened[MIGRATIONS].update_one({"_id": "m"}, {"$set": {"status": STOPPED}})
    broken.bad = {3}
    first = retried(broken, opened).outcome
    broken.bad = set()
    second = retried(broken, opened).outcome

    assert (first.status, first.stay) == (FAILED, 1)
    assert sentence(first).startswith(
        "m quarantine retry failed: 39 of 40 documents left quarantine, 1 stay; peak"
    )
    assert (second.status, second.stay) == (APPLIED, 0)
    assert "complete" not in sentence(second)
    found = opened[MIGRATIONS].find_one()
    assert found
    assert found["status"] == STOPPED


@contextmanager
def retrying(broken: Broken, opened: Database[Any], said: list[str]) -> Iterator[tuple[Run, list[int]]]:
    """A retry that takes its time, in a thread of its own, from its first document on to its end."""
    tried: list[int] = []

    def seen(number: int) -> None:
        tried.append(number)
        time.sleep(SLOWLY_SECONDS)

    broken.seen = seen
    run = run_of(broken, opened, only_quarantined=True, note=lambda event, _, **_facts: said.append(event))
    thread = threading.Thread(target=lambda: list(run), daemon=True)
    thread.start()
    eventually(lambda: tried)
    yield run, tried
    thread.join(60)
    assert not thread.is_alive()


def eventually(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


def test_does_not_fit(opened: Database[Any]) -> None:
    """A document that does not fit into memory is not read by a retry either; with enough it is migrated."""
    opened.c.insert_many([{"_id": 1, "a": "x" * 15 * MIB}, {"_id": 2}])
    migration = Broken(set())
    seen: list[int] = []
    migration.seen = seen.append

    def run(budget: int, **how: Any) -> str:
        sensor = Sensor(memory=budget * MIB, rss=lambda: 40 * MIB)
        run = Run(migration, opened, sensor, writers=1, **how)  # type: ignore[arg-type]
        list(run)
        return run.outcome.status

    assert (run(64), seen) == (APPLIED, [2])
    assert (run(64, only_quarantined=True), seen) == (FAILED, [2])
    assert [row["reason"] for row in quarantine.listing(opened, "m")] == ["memory"]
    assert (run(128, only_quarantined=True), seen) == (APPLIED, [2, 1])
    assert opened.c.count_documents({"n": 1}) == 2


def test_cancel(broken: Broken, opened: Database[Any]) -> None:
    """It ends between two documents when it is cancelled; those not tried stay."""
    with retrying(broken, opened, []) as (run, tried):
        control.ask(opened, "m", control.CANCEL, "op")

    assert run.outcome.status == CANCELLED
    assert 0 < len(tried) < BAD
    assert run.outcome.stay == quarantine.count(opened, "m") == BAD - len(tried)


def test_pause(broken: Broken, opened: Database[Any]) -> None:
    """It pauses between two documents, and goes on behind them: each is tried once.

    What another run has migrated in the meantime is left alone.
    """
    said: list[str] = []
    broken.bad = {0}
    with retrying(broken, opened, said) as (run, tried):
        control.ask(opened, "m", control.PAUSE, "op")
        eventually(lambda: "paused" in said)
        another = len(tried) + 1
        opened[quarantine.COLLECTION].delete_one({"document": another})
        control.clear(opened, "m")

    assert tried == [number for number in range(BAD) if number != another]
    assert (run.outcome.status, run.outcome.stay) == (FAILED, 1)
    assert quarantine.count(opened, "m") == 1
