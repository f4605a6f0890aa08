"""A mongod that may be killed and started again on the same folder and port.

`chunkmigrate.mongod` runs one for the length of a block and takes good care of it; here care is not wanted.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from chunkmigrate.mongod import HOST, TIED_TO_PARENT
from chunkmigrate.mongod_binary import find_mongod
from tests.faults.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 60.0
PORT_TRIES = 5
EXIT_PORT_TAKEN = 48
SMALL = ("--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false")


class Mongod:
    """One server. Leaving the block kills it; the thread that starts it must outlive it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.port, self._arguments = folder, 0, arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(PORT_TRIES):
            self.port = _free_port()
            with suppress(ConnectionRefusedError):
                self.start()
                return self
        message = f"no port stayed free in {PORT_TRIES} tries"
        raise AssertionError(message)

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, and wait until it answers. `ConnectionRefusedError` if its port is taken."""
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: not self.alive or _answers(self.address), START_SECONDS, f"mongod at {self.address}")
        if self._process.poll() == EXIT_PORT_TAKEN:
            raise ConnectionRefusedError(self.address)
        assert self.alive, f"mongod ended with {self._process.poll()}; see {self.folder}.log"

    def kill(self) -> None:
        """SIGKILL, as a kernel without memory or a lost machine does it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self) -> MongoClient[Any]:
        """A client of this server alone, whatever set it belongs to."""
        return MongoClient(HOST, self.port, directConnection=True, timeoutMS=20_000)

    def _command(self) -> list[str]:
        mongod = [str(find_mongod()), "--dbpath", str(self.folder), "--bind_ip", HOST]
        mongod += ["--port", str(self.port), "--nounixsocket", *SMALL, *self._arguments]
        if sys.platform != "linux":
            return mongod
        return [sys.executable, "-I", "-S", "-c", TIED_TO_PARENT, str(os.getpid()), *mongod]


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        pass
    with (
        suppress(PyMongoError),
        MongoClient[Any](host, int(port), directConnection=True, timeoutMS=2_000) as client,
    ):
        return bool(client.admin.command("ping")["ok"])
    return False
