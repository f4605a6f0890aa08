"""What tests share: one MongoDB server of each kind, started when first asked for, and a database per test.

Nothing here starts a server by being imported, so the unit tests run without one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from chunkmigrate.holder import Holder
from chunkmigrate.mongod import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Listen to SIGINT, as a terminal's processes do: a shell has those in its background ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def given_uri() -> str | None:
    """The server the developer named, read before the environment is cleared for the tests."""
    return os.environ.get("MONGODB_URI")


@pytest.fixture(autouse=True)
def clean_environment(given_uri: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the settings of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith("CHUNKMIGRATE_") or name == "MONGODB_URI":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def mongodb_uri(given_uri: str | None) -> Iterator[str]:
    """A replica set."""
    if given_uri:
        yield given_uri
        return
    with embedded() as uri:
        yield uri


@pytest.fixture(scope="session")
def standalone_uri() -> Iterator[str]:
    """A server without a replica set, which has no transactions."""
    with embedded(replica_set=False) as uri:
        yield uri


@pytest.fixture(scope="session")
def client(mongodb_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        yield client


@pytest.fixture
def db(client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A database of the test's own, gone afterwards."""
    name = f"chunkmigrate_test_{uuid4().hex}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], Holder]]:
    """A real process on this machine, as the holder of a lease."""
    code = (
        "import json; from chunkmigrate.holder import this_process\n"
        "print(json.dumps(this_process().document()), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process, Holder.of(json.loads(process.stdout.readline()))
        process.kill()
