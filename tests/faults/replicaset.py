"""A replica set on loopback whose members may be killed, stepped down and started again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from tests.faults.mongods import Mongod
from tests.faults.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SET = "faults"
PRIMARY_SECONDS = 60.0

# MongoDB waits 10 s before it elects another primary; a test need not.
SETTINGS = {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500}


class ReplicaSet:
    """The members of one set, and what may happen to them."""

    def __init__(self, members: list[Mongod]) -> None:
        self.members = members

    @property
    def uri(self) -> str:
        """Names every member; a set of one is connected to directly, so that a proxy may stand before it."""
        hosts = ",".join(member.address for member in self.members)
        direct = "directConnection=true&" if len(self.members) == 1 else ""
        return f"mongodb://{hosts}/?{direct}replicaSet={SET}"

    def client(self) -> MongoClient[Any]:
        """A client of the set, which finds its primary."""
        return MongoClient(self.uri, timeoutMS=20_000)

    def primary(self) -> Mongod:
        """The member that takes writes now, once there is one."""
        found: list[Mongod] = []

        def elected() -> bool:
            found[:] = filter(_takes_writes, self.members)
            return bool(found)

        until(elected, PRIMARY_SECONDS, "a primary")
        return found[0]

    def step_down(self) -> Mongod:
        """Let the primary step down; return it."""
        former = self.primary()
        with suppress(AutoReconnect), former.client() as client:
            client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2, force=True)
        return former

    def kill_primary(self) -> Mongod:
        """SIGKILL the primary; return it."""
        former = self.primary()
        former.kill()
        return former

    def restore(self) -> None:
        """Start every member that does not run, and wait for a primary."""
        for member in self.members:
            if not member.alive:
                member.start()
        self.primary()


@contextmanager
def replica_set(folder: Path, members: int = 3, *arguments: str) -> Iterator[ReplicaSet]:
    """Run a set for the length of the block. Leaving it kills every member."""
    with ExitStack() as stack:
        servers = [Mongod(folder / f"member{n}", "--replSet", SET, *arguments) for n in range(members)]
        for server in servers:
            stack.enter_context(server)
        hosts = [{"_id": n, "host": server.address} for n, server in enumerate(servers)]
        with servers[0].client() as client:
            client.admin.command("replSetInitiate", {"_id": SET, "members": hosts, "settings": SETTINGS})
        run = ReplicaSet(servers)
        run.primary()
        yield run


def _takes_writes(member: Mongod) -> bool:
    if not member.alive:
        return False
    with suppress(PyMongoError), member.client() as client:
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    return False
