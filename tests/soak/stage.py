"""The stage: the servers a soak plays on, started once, and set right again after every round."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.acceptance.conftest import CommandLine
from tests.faults.proxy import Proxy
from tests.faults.replicaset import ReplicaSet, replica_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALONE, THREE = "alone", "three"

# A member that is away for seconds must find where it was in the others' oplog.
OPLOG = ("--oplogSize", "512")


@dataclass(frozen=True, slots=True)
class Stage:
    """A set of one behind a proxy, and a set of three."""

    folder: Path
    alone: ReplicaSet
    three: ReplicaSet
    proxy: Proxy

    def place(self, name: str) -> ReplicaSet:
        """The set of that name."""
        return self.alone if name == ALONE else self.three

    def cli(self, name: str, database: str) -> CommandLine:
        """The command line in a project of its own, on a database of that set; through the proxy if alone."""
        folder = self.folder / database
        folder.mkdir()
        uri = self.proxy.uri(self.alone.uri) if name == ALONE else self.three.uri
        base, _, options = uri.partition("/?")
        return CommandLine(folder, f"{base}/{database}?{options}")


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Run the servers for the length of the block."""
    with (
        replica_set(folder / ALONE, 1, *OPLOG) as alone,
        replica_set(folder / THREE, 3, *OPLOG) as three,
        Proxy(alone.members[0].port) as proxy,
    ):
        yield Stage(folder, alone, three, proxy)
