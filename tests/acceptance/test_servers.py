"""What happens to the server, and to the way to it, while a run is at work.

A fault that passes within seconds is not to be noticed in the exit code. One that does not pass ends the run
after a minute of trying: those runs are started together, before anything else, and looked at in the end.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from tests.acceptance.conftest import last_line
from tests.faults.attempts import AGAIN, DONE, FAILED, ended
from tests.faults.disk import SMALL_FILES, disk
from tests.faults.proxy import Proxy
from tests.faults.replicaset import ReplicaSet, replica_set
from tests.faults.scenes import SLOW, Scene, scene

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.faults.mongods import Mongod

ROOT = {"username": "root", "password": "secret"}


@dataclass(frozen=True, slots=True)
class Doomed:
    """A run on a server that went away for good, and what it takes to bring it back."""

    scene: Scene
    process: subprocess.Popen[str]
    repair: Callable[[], object]


@contextmanager
def majority_lost(folder: Path) -> Iterator[Doomed]:
    with (
        replica_set(folder, 3, *SMALL_FILES) as set_,
        set_.client() as client,
        doomed(folder, set_.uri, client) as (there, process),
    ):
        primary = set_.primary()
        for member in set_.members:
            if member is not primary:
                member.kill()
        yield Doomed(there, process, set_.restore)


@contextmanager
def server_gone(folder: Path) -> Iterator[Doomed]:
    with (
        replica_set(folder, 1, *SMALL_FILES) as set_,
        set_.client() as client,
        doomed(folder, set_.uri, client) as (there, process),
    ):
        set_.kill_primary()
        yield Doomed(there, process, set_.restore)


@contextmanager
def locked(folder: Path) -> Iterator[Doomed]:
    with (
        replica_set(folder, 1, *SMALL_FILES) as set_,
        set_.client() as client,
        doomed(folder, set_.uri, client) as (there, process),
    ):
        client.admin.command("fsync", lock=True)
        yield Doomed(there, process, lambda: client.admin.command("fsyncUnlock"))


# Each document grows by a kilobyte that cannot be compressed: a full disk is noticed at once.
SWELLING = """
import os

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), swell)


def swell(document):
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}, "$set": {"swollen": os.urandom(1_024)}})
"""


@contextmanager
def disk_full(folder: Path) -> Iterator[Doomed | None]:
    with disk(folder / "disk") as small:
        if small is None:
            yield None
            return
        with (
            replica_set(small.folder, 1, *SMALL_FILES) as set_,
            set_.client() as client,
            doomed(folder, set_.uri, client, SWELLING) as (there, process),
        ):
            small.fill(spare=65_536)

            def repair() -> None:
                small.make_room()
                set_.members[0].kill()
                set_.restore()

            yield Doomed(there, process, repair)


@contextmanager
def stalled(folder: Path) -> Iterator[Doomed]:
    with ExitStack() as stack:
        set_ = stack.enter_context(replica_set(folder, 1, *SMALL_FILES))
        client = stack.enter_context(set_.client())
        proxy = stack.enter_context(Proxy(set_.members[0].port))
        there, process = stack.enter_context(doomed(folder, proxy.uri(set_.uri), client))
        stall = stack.enter_context(ExitStack())
        stall.enter_context(proxy.stalled())
        yield Doomed(there, process, stall.close)


@contextmanager
def doomed(
    folder: Path, uri: str, client: MongoClient[Any], source: str = SLOW
) -> Iterator[tuple[Scene, subprocess.Popen[str]]]:
    there = scene(folder / "project", uri, client)
    there.prepare(source)
    with there.midway() as process:
        yield there, process


DOOMS: dict[str, Callable[[Path], AbstractContextManager[Doomed | None]]] = {
    "a majority lost": majority_lost,
    "server gone": server_gone,
    "locked": locked,
    "disk full": disk_full,
    "stalled": stalled,
}


@pytest.fixture(scope="module", autouse=True)
def dooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Doomed | None]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(doom(tmp_path_factory.mktemp("doomed"))) for name, doom in DOOMS.items()
        }


@pytest.fixture
def here(tmp_path: Path, mongodb_uri: str, client: MongoClient[Any]) -> Iterator[Scene]:
    """A scene on the tests' own server, which nothing happens to."""
    made = scene(tmp_path, mongodb_uri, client)
    made.prepare()
    yield made
    client.drop_database(made.db.name)


@pytest.fixture
def proxy(here: Scene) -> Iterator[Proxy]:
    address = here.db.client.address
    assert address is not None
    with Proxy(address[1]) as proxy:
        yield proxy


def cut(proxy: Proxy) -> None:
    for _ in range(4):
        proxy.cut()
        time.sleep(0.15)


def cut_in_a_message(proxy: Proxy) -> None:
    chance = random.Random(4)
    for _ in range(4):
        proxy.cut_after(chance.randrange(1, 100_000))
        time.sleep(0.15)


def refuse(proxy: Proxy) -> None:
    with proxy.refusing():
        time.sleep(2)


def stall(proxy: Proxy) -> None:
    with proxy.stalled():
        time.sleep(3)


def delay(proxy: Proxy) -> None:
    with proxy.delayed(0.05):
        time.sleep(2)


@pytest.mark.parametrize("fault", [cut, cut_in_a_message, refuse, stall, delay])
def test_bad_network(here: Scene, proxy: Proxy, fault: Callable[[Proxy], None]) -> None:
    """Connections that are cut, refused, stalled or delayed for seconds are survived, and nothing is lost
    or done twice.
    """
    last = here.through(proxy.uri).hurt(lambda: fault(proxy))

    assert last.code == DONE, str(last)
    assert proxy.forwarded
    here.check()


@pytest.fixture(scope="module")
def set_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with replica_set(tmp_path_factory.mktemp("one"), 1, *SMALL_FILES) as set_:
        yield set_


@pytest.fixture(scope="module")
def set_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with replica_set(tmp_path_factory.mktemp("three"), 3, *SMALL_FILES) as set_:
        yield set_


def test_server_killed(set_of_one: ReplicaSet, tmp_path: Path) -> None:
    """A server that is killed and comes back at once is survived."""
    with set_of_one.client() as client:
        there = scene(tmp_path, set_of_one.uri, client)
        there.prepare()

        def fault() -> None:
            set_of_one.kill_primary()
            set_of_one.restore()

        last = there.hurt(fault)

        assert last.code == DONE, str(last)
        there.check()


@pytest.mark.parametrize("fault", [ReplicaSet.step_down, ReplicaSet.kill_primary])
def test_primary_lost(
    set_of_three: ReplicaSet, tmp_path: Path, fault: Callable[[ReplicaSet], Mongod]
) -> None:
    """A primary that steps down or is killed is survived: the run goes on with the next one."""
    with set_of_three.client() as client:
        there = scene(tmp_path, set_of_three.uri, client)
        there.prepare()
        last = there.hurt(lambda: fault(set_of_three))

        assert last.code == DONE, str(last)
        there.check()
        set_of_three.restore()


def test_locked_for_a_while(set_of_one: ReplicaSet, tmp_path: Path) -> None:
    """Writes that wait for seconds, because somebody takes a snapshot of the disk, are survived."""
    with set_of_one.client() as client:
        there = scene(tmp_path, set_of_one.uri, client)
        there.prepare()

        def fault() -> None:
            client.admin.command("fsync", lock=True)
            time.sleep(3)
            client.admin.command("fsyncUnlock")

        last = there.hurt(fault)

        assert last.code == DONE, str(last)
        there.check()


def test_user_may_only_read(tmp_path: Path) -> None:
    """A user who loses the right to write midway stops the run with a sentence; given back, it goes on."""
    key = tmp_path / "key"
    key.write_text("secret" * 4)
    key.chmod(0o400)
    with replica_set(tmp_path / "set", 1, *SMALL_FILES, "--auth", "--keyFile", str(key)) as set_:
        with set_.client() as first:
            first.admin.command("createUser", "root", pwd="secret", roles=["root"])
        with MongoClient[Any](set_.uri, **ROOT) as client:
            there = scene(tmp_path, set_.uri, client)
            there.prepare()
            there.db.command("createUser", "app", pwd="secret", roles=["readWrite"])
            as_app = there.through(lambda uri: uri.replace("mongodb://", "mongodb://app:secret@"))
            last = as_app.hurt(lambda: there.db.command("updateUser", "app", roles=["read"]))
            there.db.command("updateUser", "app", roles=["readWrite"])

            assert last.code in (FAILED, 2), str(last)
            assert "MongoDB refused access" in last.err
            assert "Traceback" not in last.err
            as_app.finish()


@pytest.mark.parametrize("name", DOOMS)
def test_gone_for_good(dooms: dict[str, Doomed | None], name: str) -> None:
    """Where a server is gone, full, locked or silent for good, the run ends with a sentence; brought back,
    the next one finishes, and nothing was lost or done twice.
    """
    doom = dooms[name]
    if doom is None:
        pytest.skip("no file system can be mounted here" if os.geteuid() else "mounting is not permitted")
    last = ended(doom.process)
    doom.repair()

    assert last.code in (FAILED, AGAIN), str(last)
    assert last.clean, str(last)
    assert "Error: " in last.err
    assert last_line(last.out)["event"] in ("failed", "stopped")
    doom.scene.finish()
