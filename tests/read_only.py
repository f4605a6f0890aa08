"""Proof that nothing is written: by what a client sends, and by what a replica set has on record.

A client's commands are told apart by a list of those that only read, so one that nobody thought of counts as
a write. The oplog knows the writes of other processes, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.monitoring import CommandListener

if TYPE_CHECKING:
    from bson import Timestamp
    from pymongo import MongoClient
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

READING = {
    *("find", "getMore", "killCursors", "count", "distinct", "explain", "aggregate"),
    *("listCollections", "listIndexes", "listDatabases", "collStats", "dbStats", "dataSize"),
    *("hello", "ismaster", "isMaster", "ping", "buildInfo", "connectionStatus", "endSessions"),
    *("getParameter", "serverStatus", "replSetGetStatus", "replSetGetConfig"),
    # What it would commit or undo is a command of its own, and counted.
    *("commitTransaction", "abortTransaction"),
}
WRITING_STAGES = {"$out", "$merge"}


class Writes(CommandListener):
    """What a client sent that may write, even if the server refused it.

    One of the ``event_listeners`` of a client. It only keeps what it hears: the driver swallows whatever a
    listener raises.
    """

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.reads = 0

    def started(self, event: CommandStartedEvent) -> None:
        name = event.command_name
        if may_write(name, event.command):
            self.sent.append(f"{name} of {event.database_name}.{event.command.get(name)}")
        else:
            self.reads += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Whether it succeeded does not matter."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Whether it failed does not either."""

    def assert_none(self) -> None:
        """Fail where something was sent that may write, and where nothing was sent at all."""
        assert self.reads, "the client has sent nothing: is this its listener?"
        assert not self.sent


def may_write(name: str, command: Any) -> bool:
    """Whether a command is none of those that only read."""
    stages = command.get("pipeline", ()) if name == "aggregate" else ()
    return name not in READING or any(WRITING_STAGES & stage.keys() for stage in stages)


def latest(client: MongoClient[Any]) -> Timestamp:
    """The time of the last write of a replica set."""
    at: Timestamp = client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
    return at


def written_since(client: MongoClient[Any], moment: Timestamp, database: str) -> list[str]:
    """What anybody has written to a database since, as the oplog has it: the operation and where."""
    found = client.local["oplog.rs"].find({"ts": {"$gt": moment}, "op": {"$ne": "n"}}).sort("$natural", 1)
    return [f"{one['op']} {name}" for one in found for name in names(one) if name.startswith(f"{database}.")]


def names(entry: dict[str, Any]) -> list[str]:
    """The namespaces of an entry; a transaction has many."""
    return [entry["ns"], *(inner["ns"] for inner in entry["o"].get("applyOps", ()))]
