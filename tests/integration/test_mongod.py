"""The embedded server: it works, it leaves nothing behind, and a crash of its owner does not change that."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from pymongo import MongoClient

from chunkmigrate.errors import EmbeddedServerError
from chunkmigrate.mongod import embedded
from chunkmigrate.mongod_binary import _copied, find_mongod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWNER = """
import sys
from chunkmigrate.mongod import embedded
with embedded() as uri:
    print(uri, flush=True)
    sys.stdin.read()
"""


@contextmanager
def connected(uri: str, seconds: float = 5) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=seconds * 1000) as client:
        yield client


def server_of(uri: str) -> tuple[psutil.Process, Path]:
    """The process that answers at the URI, and its folder."""
    with connected(uri) as client:
        pid = client.admin.command("serverStatus")["pid"]
        options = client.admin.command("getCmdLineOpts")["parsed"]
    return psutil.Process(pid), Path(options["storage"]["dbPath"]).parent


def ended(process: psutil.Process) -> bool:
    # An orphan stays a zombie where nobody collects it, as under many containers' first process.
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def killed_owner() -> Iterator[tuple[psutil.Process, Path]]:
    """The server and the folder of an owner that got SIGKILL."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server, folder = server_of(owner.stdout.readline().strip())
        owner.kill()
    yield server, folder
    if not ended(server):
        server.kill()


def test_transaction() -> None:
    """The server can be written to at once, and a transaction over two collections commits."""
    with embedded() as uri, connected(uri) as client:
        with client.start_session() as session, session.start_transaction():
            client.shop.orders.insert_one({"_id": 1}, session=session)
            client.shop.positions.insert_one({"_id": "orders", "at": 1}, session=session)
        assert client.shop.positions.find_one({"_id": "orders"}) == {"_id": "orders", "at": 1}


def test_standalone(standalone_uri: str) -> None:
    """Without a replica set the server says so, and can be written to all the same."""
    with connected(standalone_uri) as client:
        assert "setName" not in client.admin.command("hello")
        client.shop.orders.insert_one({"_id": 1})
        client.drop_database("shop")


def test_leaves_nothing() -> None:
    """At the end of the block the server has ended cleanly and its temporary folder is gone."""
    with embedded() as uri:
        server, folder = server_of(uri)
        assert folder.exists()
    assert ended(server)
    assert not folder.exists()


def test_clean_stop(tmp_path: Path) -> None:
    """The server closes its files when the block fails, too."""
    with pytest.raises(ZeroDivisionError), embedded(tmp_path):
        raise ZeroDivisionError
    assert (tmp_path / "data" / "mongod.lock").read_text() == ""
    assert '"exitCode":0' in (tmp_path / "mongod.log").read_text()


def test_folder_keeps_data(tmp_path: Path) -> None:
    """A folder of one's own keeps its data from one start to the next, at another port."""
    with embedded(tmp_path) as first, connected(first) as client:
        client.shop.orders.insert_one({"_id": 1, "cents": 250})
    with embedded(tmp_path) as second, connected(second) as client:
        assert first != second
        assert client.shop.orders.find_one() == {"_id": 1, "cents": 250}


def test_killed_owner(killed_owner: tuple[psutil.Process, Path]) -> None:
    """An owner that is killed leaves no server behind, and the next start removes its folder."""
    server, folder = killed_owner
    assert eventually(lambda: ended(server))
    assert folder.exists()
    with embedded():
        assert not folder.exists()


def test_former_server(tmp_path: Path) -> None:
    """A server that outlived a crash is stopped before its folder is used again."""
    data, port = tmp_path / "data", unused_port()
    data.mkdir()
    command = [str(find_mongod()), "--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([*command, "--nounixsocket"], stdout=subprocess.DEVNULL) as former:
        try:
            with connected(f"mongodb://127.0.0.1:{port}", 30) as client:
                client.shop.orders.insert_one({"_id": 1})
            with embedded(tmp_path) as uri, connected(uri) as client:
                assert former.poll() is not None
                assert client.shop.orders.find_one() == {"_id": 1}
        finally:
            former.kill()


def test_interrupted_first_start(tmp_path: Path) -> None:
    """A first start that was interrupted half-way does not spoil the folder for the next."""
    with pytest.raises(EmbeddedServerError), embedded(tmp_path, arguments=["--nonsense"]):
        pass
    (tmp_path / "data" / "WiredTiger").write_text("half of a file")
    with embedded(tmp_path, replica_set=False) as uri, connected(uri) as client:
        client.shop.orders.insert_one({"_id": 1})


def test_stale_lock(tmp_path: Path) -> None:
    """A lock file that names a process which is no MongoDB harms neither that process nor the start."""
    (tmp_path / "data").mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (tmp_path / "data" / "mongod.lock").write_text(f"{bystander.pid}\n")
        with embedded(tmp_path, replica_set=False):
            assert bystander.poll() is None
        bystander.kill()


def test_folder_in_use(tmp_path: Path) -> None:
    """A folder whose owner lives is refused, and its server is left alone."""
    with embedded(tmp_path, replica_set=False) as uri:
        with pytest.raises(EmbeddedServerError, match="is in use"), embedded(tmp_path):
            pass
        assert not ended(server_of(uri)[0])


@pytest.mark.parametrize("replica_set", [True, False])
def test_port_taken(standalone_uri: str, replica_set: bool) -> None:  # noqa: FBT001
    """A port that another server took in the meantime is given up for the next one."""
    taken = int(standalone_uri.partition("127.0.0.1:")[2].partition("/")[0])
    ports = iter([taken, taken, unused_port()])
    with embedded(replica_set=replica_set, free_port=lambda: next(ports)) as uri:
        assert server_of(uri)[0].pid != server_of(standalone_uri)[0].pid
    assert next(ports, None) is None


def test_no_port(standalone_uri: str) -> None:
    """When no port stays free the search ends, with a sentence."""
    taken = int(standalone_uri.partition("127.0.0.1:")[2].partition("/")[0])
    with pytest.raises(EmbeddedServerError, match="No port"), embedded(free_port=lambda: taken):
        pass


def test_dies_at_start() -> None:
    """A server that ends at its start is reported with what it said last."""
    with pytest.raises(EmbeddedServerError, match="unrecognised option"), embedded(arguments=["--nonsense"]):
        pass


def test_carried_mongod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The carried binary is found without importing its package, and made executable."""
    carried = tmp_path / "carrier" / "db" / "bin" / "mongod"
    carried.parent.mkdir(parents=True)
    carried.touch(mode=0o644)
    (tmp_path / "carrier" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_mongod(search_path="", package="carrier") == carried
    assert os.access(carried, os.X_OK)


def test_copied_mongod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A binary whose mode cannot be changed is run from a copy in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mongod").write_text("binary")
    copy = _copied(tmp_path / "mongod")
    assert copy.is_relative_to(tmp_path / "cache")
    assert (copy.read_text(), os.access(copy, os.X_OK)) == ("binary", True)


def test_mongod_on_path(tmp_path: Path) -> None:
    """A mongod on PATH is preferred to the carried one."""
    (tmp_path / "mongod").touch(mode=0o755)
    assert find_mongod(search_path=str(tmp_path)) == tmp_path / "mongod"


def test_no_mongod() -> None:
    """Where there is no mongod, the sentence says what to install and what to set instead."""
    with pytest.raises(EmbeddedServerError, match=r"pip install 'chunkmigrate\[embedded\]'.*MONGODB_URI"):
        find_mongod(search_path="", package="no_such_package")


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
