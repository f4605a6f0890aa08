"""Read only: a client that sends nothing which could change anything, whoever asks it to.

For what looks at a migration without applying it: its ``upgrade(db)`` is somebody's code, and may act by
itself. What may be sent is listed here; everything else is refused before it leaves the process.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo.monitoring import CommandListener

from chunkmigrate import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

# The server takes some of them in lower case, too.
_READING = frozenset(
    """
    abortTransaction authenticate buildInfo collStats commitTransaction connectionStatus count currentOp
    dataSize dbHash dbStats distinct endSessions explain find getDefaultRWConcern getMore getParameter hello
    hostInfo isMaster killCursors listCollections listCommands listDatabases listIndexes ping refreshSessions
    replSetGetConfig replSetGetStatus rolesInfo saslContinue saslStart serverStatus startSession usersInfo
    """.lower().split()
)
_WRITING_STAGES = ("$out", "$merge")


class Refused(BaseException):
    """A command that may write was about to be sent.

    No `Exception`: the driver logs those of its listeners and goes on, and an author's code may catch them.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        super().__init__(command)


class ReadOnly(CommandListener):
    """Refuses each command that may write. The driver tells a listener before it sends, and not after."""

    def started(self, event: CommandStartedEvent) -> None:
        """Raise `Refused` for what may write."""
        if not is_reading(event.command_name, event.command):
            raise Refused(event.command_name)

    def succeeded(self, _event: CommandSucceededEvent) -> None:
        """Nothing is of interest here."""

    def failed(self, _event: CommandFailedEvent) -> None:
        """Nothing is of interest here."""


@contextmanager
def reading(database: Database[Any]) -> Iterator[Database[Any]]:
    """Yield the same database through a client of its own, with all its settings, that can only read.

    `Refused` is raised by what may write.
    """
    # A client keeps what it was made with, credentials included, to itself; this is how the driver's own
    # encryption makes another one of it.
    client = database.client._duplicate(event_listeners=[ReadOnly()])  # noqa: SLF001
    try:
        yield server.database(client, database.name)
    finally:
        server.close(client)


def is_reading(name: str, command: Any) -> bool:
    """Whether a command leaves everything as it is."""
    if name != "aggregate":
        return name.lower() in _READING
    # The driver shows its listeners what it is about to send as it was given: a stage may be any mapping.
    return not any(stage in _WRITING_STAGES for stages in command.get("pipeline", ()) for stage in stages)
