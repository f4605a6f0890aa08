"""Opening: from settings to the database a command works on.

Where no server is named a developer's machine gets an embedded one. What the driver's exceptions mean is
``server``'s to say; what they make of the exit code, the command line's.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from chunkmigrate import server
from chunkmigrate.errors import ChunkmigrateError, EmbeddedServerError, InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo.database import Database
    from pymongo.monitoring import CommandListener

    from chunkmigrate.settings import Settings

EMBEDDED_FOLDER = Path(".chunkmigrate/mongod")
EMBEDDED_DATABASE = "development"


@contextmanager
def opened(settings: Settings, listeners: Sequence[CommandListener] = ()) -> Iterator[Database[Any]]:
    """Yield the database the settings name; the driver's exceptions become sentences.

    ``listeners`` are told of each command that is sent.
    """
    with ExitStack() as stack:
        uri, name = stack.enter_context(named(settings))
        client = server.connect(uri, listeners)
        stack.callback(server.close, client)
        try:
            yield server.database(client, name)
        except ChunkmigrateError:
            raise
        except PyMongoError as error:
            raise server.explained(error, uri) from error


def database_of(settings: Settings) -> str | None:
    """Return the name of the database the settings lead to; None where they name none."""
    return settings.database or (None if settings.uri else EMBEDDED_DATABASE)


@contextmanager
def named(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the server the settings name, or an embedded one, and the database."""
    with ExitStack() as stack:
        uri = settings.uri or stack.enter_context(_embedded())
        name = database_of(settings)
        if name is None:
            message = (
                "No database is named: put it into the URI (mongodb://host/DATABASE), or use --database."
            )
            raise InvalidSettingError(message)
        yield uri, name


@contextmanager
def _embedded() -> Iterator[str]:
    """Start the embedded server where it is installed; a pod has none and must be told its server."""
    # For a developer's machine only.
    from chunkmigrate import mongod
    from chunkmigrate.mongod_binary import find_mongod

    try:
        find_mongod()
    except EmbeddedServerError as error:
        message = "No server is named: set MONGODB_URI or use --uri mongodb://host/database."
        raise InvalidSettingError(message) from error
    sys.stderr.write(f"MONGODB_URI is not set: using an embedded MongoDB in {EMBEDDED_FOLDER}.\n")
    with mongod.embedded(EMBEDDED_FOLDER) as uri:
        yield uri
