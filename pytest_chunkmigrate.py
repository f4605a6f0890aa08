"""The fixtures for those who test migrations with pytest: ``migrate``, and the database it works on.

pytest imports this module wherever chunkmigrate is installed, whatever is tested there. So it lies beside the
package, whose import brings in the driver (0.1 s), and does nothing before a fixture is asked for. What the
fixtures can do is ``chunkmigrate.testing``'s business.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

    from chunkmigrate.testing import Migrate


@pytest.fixture(scope="session")
def chunkmigrate_server() -> Iterator[str]:
    """The URI of a MongoDB server: the one MONGODB_URI names, or else an embedded one."""
    from chunkmigrate.testing import server_uri

    with _plainly(), server_uri() as uri:
        yield uri


@pytest.fixture
def chunkmigrate_db(chunkmigrate_server: str) -> Iterator[Database[Any]]:
    """A pymongo database of the test's own, empty, and gone afterwards."""
    from chunkmigrate.testing import own_database

    with _plainly(), own_database(chunkmigrate_server) as database:
        yield database


@pytest.fixture
def migrate(chunkmigrate_server: str, chunkmigrate_db: Database[Any], pytestconfig: pytest.Config) -> Migrate:
    """Applies migrations to documents in chunkmigrate_db: see chunkmigrate.testing.Migrate."""
    from chunkmigrate.settings import resolve
    from chunkmigrate.testing import Migrate

    with _plainly():
        folder = resolve({}, os.environ, pytestconfig.rootpath).folder
    return Migrate(chunkmigrate_db, folder, chunkmigrate_server)


@contextmanager
def _plainly() -> Iterator[None]:
    """Show a sentence as it is: where it was raised is of no use to who set up a machine for tests."""
    from chunkmigrate.errors import ChunkmigrateError

    try:
        yield
    except ChunkmigrateError as error:
        pytest.fail(str(error), pytrace=False)
