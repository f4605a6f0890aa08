"""A server that sheds load, or is slow to commit, slows a run down, and that is told."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate import server
from chunkmigrate.ledger import APPLIED
from chunkmigrate.mongod import embedded
from tests.integration.test_timekeeping import run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DOCUMENTS = 30_000
OVERLOADED = {
    "failCommands": ["update"],
    "errorCode": 462,
    "errorLabels": ["SystemOverloadedError", "RetryableError"],
}
SLOW = {"failCommands": ["commitTransaction"], "blockConnection": True, "blockTimeMS": 2_500}


@pytest.fixture(scope="module")
def faulty_uri() -> Iterator[str]:
    """A server that fails when it is told to."""
    with embedded(arguments=["--setParameter", "enableTestCommands=1"]) as uri:
        yield uri


@contextmanager
def failing(uri: str, failure: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
    """The server fails so until what is yielded is called."""
    with MongoClient[Any](uri) as client:

        def end() -> None:
            client.admin.command("configureFailPoint", "failCommand", mode="off")

        data = {**failure, "appName": "chunkmigrate"}
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
        try:
            yield end
        finally:
            end()


@pytest.mark.parametrize(
    ("failure", "told", "said"),
    [
        (OVERLOADED, "retrying", r"overload errors \d > 0"),
        (SLOW, "throttled", r"commit latency 2\.\d s > 2 s"),
    ],
)
def test_slows_a_run_down(faulty_uri: str, failure: Mapping[str, Any], told: str, said: str) -> None:
    """Each signal pauses a run that is on its way, is said once, and loses nothing."""
    notes: list[tuple[str, str]] = []
    end: list[Callable[[], None]] = []

    def note(word: str, sentence: str, **_: Any) -> None:
        notes.append((word, sentence))
        if word == told:
            end[0]()

    with server.connect(faulty_uri) as client:
        client.drop_database("shop")
        database = server.database(client, "shop")
        database.c.insert_many({"_id": number} for number in range(DOCUMENTS))
        run = run_of(database, note=note)
        chunks = iter(run)
        next(chunks)
        with failing(faulty_uri, failure) as ending:
            end.append(ending)
            list(chunks)

        assert run.outcome.status == APPLIED
        assert database.c.count_documents({"n": 1}) == DOCUMENTS
    throttled = [sentence for word, sentence in notes if word == "throttled" and sentence]
    assert len(throttled) == 1
    assert re.fullmatch(said, throttled[0])
