"""The embedded MongoDB: a real server for the demo, for development and for the tests.

``find_mongod`` says which binary to use, ``embedded`` runs it for the length of a ``with`` block: on
loopback, at a free port, as a replica set of one. What a crashed owner left behind is cleared away at the
next start. It serves one process on one machine: users, TLS, upgrades and real clusters are left to others.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import EmbeddedServerError
from chunkmigrate.mongod_binary import find_mongod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psutil
    from pymongo import MongoClient

HOST = "127.0.0.1"
REPLICA_SET = "chunkmigrate"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
PORT_TRIES = 5
EXIT_PORT_TAKEN = 48
CACHE = "--wiredTigerCacheSizeGB"
DATA = "data"
LOG = "mongod.log"
FIRST_START = "first-start"
LOG_LINES = 10
TEMPORARY = "chunkmigrate-mongod-"

# Turns into mongod after telling the kernel (PR_SET_PDEATHSIG is 1) to end it when its parent dies, however
# that happens. An interpreter in between costs 20 ms; a preexec_fn would run Python between fork and exec,
# which can deadlock once the caller has threads, and a MongoClient has.
TIED_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the owner died while the server was starting")
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def embedded(
    folder: Path | None = None,
    *,
    replica_set: bool = True,
    arguments: Sequence[str] = (),
    free_port: Callable[[], int] | None = None,
) -> Iterator[str]:
    """Run a server for the length of the block, and yield the URI it answers at.

    Data lives in ``folder`` and stays there; without one, in a temporary folder that is removed at the end.
    ``arguments`` are added to mongod's command line. On Linux the server dies with the *thread* that entered
    the block, so that thread must outlive it.
    """
    options = ["--replSet", REPLICA_SET] if replica_set else []
    named = f"&replicaSet={REPLICA_SET}" if replica_set else ""
    with _home(folder) as home, ExitStack() as stack:
        port = _start(stack, home, [*options, *arguments], free_port or _free_port)
        yield f"mongodb://{HOST}:{port}/?directConnection=true{named}"


@contextmanager
def _home(folder: Path | None) -> Iterator[Path]:
    _remove_abandoned()
    with ExitStack() as stack:
        if folder is None:
            prefix = f"{TEMPORARY}{os.getpid()}-"
            temporary = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
        home = folder.resolve()
        home.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_owned(home))
        _stop_former(home)
        _make_data(home)
        yield home


@contextmanager
def _owned(home: Path) -> Iterator[None]:
    """Hold the folder. The kernel lets go of a flock when its process dies, so no stale owner can remain."""
    with (home / "owner.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EmbeddedServerError(
                f"{home} is in use by another embedded server; wait for it to end, or use another folder."
            ) from error
        yield


def _remove_abandoned() -> None:
    for home in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*-*"):
        with suppress(EmbeddedServerError, OSError):
            if _is_abandoned(home):
                with _owned(home):
                    _stop_former(home.resolve())
                    shutil.rmtree(home, ignore_errors=True)


def _is_abandoned(home: Path) -> bool:
    # The owner's lock alone would do, but for the moment in which a new folder exists and is not locked yet.
    # A temporary folder is shared by all users: what belongs to others, or is a link, is left alone.
    import psutil

    if home.is_symlink() or home.stat().st_uid != os.getuid():
        return False
    owner = home.name.removeprefix(TEMPORARY).partition("-")[0]
    return owner.isdecimal() and not psutil.pid_exists(int(owner))


def _make_data(home: Path) -> None:
    # A mongod that is stopped in its very first second leaves files it refuses to start with again. Nobody
    # can have written to them, and the mark is set only here, so nothing is lost by beginning anew.
    mark = home / FIRST_START
    if mark.exists():
        shutil.rmtree(home / DATA, ignore_errors=True)
    if not (home / DATA).exists():
        mark.touch()
        (home / DATA).mkdir()


def _stop_former(home: Path) -> None:
    """Stop the server that a crashed owner left running on this folder."""
    import psutil

    with suppress(OSError, ValueError, psutil.Error):
        former = psutil.Process(int((home / DATA / "mongod.lock").read_text()))
        for end in (former.terminate, former.kill):
            if _serves(former, home):
                end()
                _until(lambda: not _serves(former, home), STOP_SECONDS)


def _serves(process: psutil.Process, home: Path) -> bool:
    # The pid in a lock file may long be another program's, so the command line decides. That of a zombie is
    # empty, which is right: its files are closed.
    import psutil

    with suppress(psutil.Error):
        words = process.cmdline()
        return bool(words) and Path(words[0]).name == "mongod" and str(home / DATA) in words
    return False


class _PortTakenError(Exception):
    """Somebody else listens at the port that was free a moment ago."""


def _start(stack: ExitStack, home: Path, options: Sequence[str], free_port: Callable[[], int]) -> int:
    binary = find_mongod()
    for _ in range(PORT_TRIES):
        port = free_port()
        process = stack.enter_context(_running(_command(binary, home, port, options), home / LOG))
        with suppress(_PortTakenError):
            _wait_until_writable(process, home, port)
            (home / FIRST_START).unlink(missing_ok=True)
            return port
    raise EmbeddedServerError(
        f"No port on {HOST} stayed free for the embedded server, in {PORT_TRIES} tries."
    )


def _command(binary: Path, home: Path, port: int, options: Sequence[str]) -> list[str]:
    mongod = [str(binary), "--dbpath", str(home / DATA), "--bind_ip", HOST, "--port", str(port)]
    mongod += ["--nounixsocket"]
    if CACHE not in options:
        mongod += [CACHE, "0.5"]
    mongod += ["--setParameter", "diagnosticDataCollectionEnabled=false", *options]
    if sys.platform != "linux":
        return mongod
    return [sys.executable, "-I", "-S", "-c", TIED_TO_PARENT, str(os.getpid()), *mongod]


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    # Standard output rather than --logpath, so that a library the binary misses is in the log as well. In a
    # session of its own, so that Ctrl-C reaches the owner first, which may still have to write.
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_writable(process: subprocess.Popen[bytes], home: Path, port: int) -> None:
    from pymongo import MongoClient

    deadline = time.monotonic() + START_SECONDS
    # The bare connection comes first because a MongoClient that was refused waits half a second.
    _wait(process, home, lambda: _listens(port), deadline)
    with MongoClient[dict[str, Any]](HOST, port, directConnection=True, timeoutMS=5000) as client:
        _wait(process, home, lambda: _is_writable(client, home, port), deadline)


def _wait(
    process: subprocess.Popen[bytes], home: Path, condition: Callable[[], bool], deadline: float
) -> None:
    done = _until(lambda: process.poll() is not None or condition(), deadline - time.monotonic())
    code = process.poll()
    if code == EXIT_PORT_TAKEN:
        raise _PortTakenError
    if code is not None or not done:
        what = f"was not writable within {START_SECONDS:.0f} s" if code is None else f"ended with code {code}"
        log = (home / LOG).read_text(errors="replace").splitlines()
        raise EmbeddedServerError(
            f"The embedded server {what}; its log ends:\n" + "\n".join(log[-LOG_LINES:])
        )


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _is_writable(client: MongoClient[dict[str, Any]], home: Path, port: int) -> bool:
    from pymongo.errors import PyMongoError

    # Errors belong to a start (the set's configuration is loaded after the port opens): the deadline decides.
    with suppress(PyMongoError):
        # Another server may have taken the port, and answers for as long as ours needs to give up.
        options = client.admin.command("getCmdLineOpts")["parsed"]
        if options.get("storage", {}).get("dbPath") != str(home / DATA):
            return False
        if client.admin.command("hello")["isWritablePrimary"]:
            return True
        _form_set(client, f"{HOST}:{port}")
    return False


def _form_set(client: MongoClient[dict[str, Any]], host: str) -> None:
    """Make the server the one member of its set: the first time, and again after its port has changed."""
    from pymongo.errors import OperationFailure

    members = [{"_id": 0, "host": host}]
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != host:
        moved = {**config, "members": members, "version": config["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)
