"""Who a process is, and what can be proved of another one."""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from chunkmigrate.holder import Holder, Liveness, liveness, this_process

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

ME = Holder(token="me", host="h", pid=1, started="500", boot="b", namespaces="pid:[1] time:[2]")
IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "migrate-x7k2p"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def write(root: Path, name: str, text: str) -> None:
    path = root / "proc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stat(pid: int, started: str, state: str = "S", name: str = "python") -> str:
    return f"{pid} ({name}) {state} " + "0 " * 18 + f"{started} 0 0\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of our own: what /proc says on it."""
    write(tmp_path, "self/stat", stat(1, "500"))
    write(tmp_path, "sys/kernel/random/boot_id", "b\n")
    (tmp_path / "proc/self/ns").mkdir()
    (tmp_path / "proc/self/ns/pid").symlink_to("pid:[1]")
    (tmp_path / "proc/self/ns/time").symlink_to("time:[2]")
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, f"host {socket.gethostname()}"),
        ({"HOSTNAME": "laptop"}, f"host {socket.gethostname()}"),
        (IN_CLUSTER, "pod migrate-x7k2p"),
        (IN_CLUSTER | {"CHUNKMIGRATE_POD": "p", "CHUNKMIGRATE_NODE": "n"}, "pod p on n"),
        ({"CHUNKMIGRATE_POD": "p"}, "pod p"),
    ],
)
def test_shown(environment: dict[str, str], shown: str) -> None:
    """A process in a cluster is shown as its pod, one outside by its host; HOSTNAME alone makes no pod."""
    assert this_process(environment).shown() == f"{shown} (pid {os.getpid()})"


@pytest.mark.parametrize(
    ("environment", "group"),
    [
        ({}, ""),
        (IN_CLUSTER, ""),
        ({"CHUNKMIGRATE_GROUP": "g"}, "g"),
        ({"JOB_COMPLETION_INDEX": "7"}, socket.gethostname().removesuffix("-7")),
    ],
)
def test_group(environment: dict[str, str], group: str) -> None:
    """Workers of one command and pods of one Indexed Job share their work; nobody else does."""
    assert this_process(environment).group == group


def test_works_with() -> None:
    """Who belongs to no group works with nobody, himself included."""
    one = replace(ME, group="g")

    assert one.works_with(replace(ME, token="other", group="g"))
    assert not one.works_with(ME)
    assert not one.works_with(None)
    assert not ME.works_with(ME)


def test_each_attempt_is_another_holder() -> None:
    """Two holders are never the same, not even of one process."""
    assert this_process().token != this_process().token


def test_reads_the_machine(root: Path) -> None:
    """Start, boot and namespaces come from /proc, whatever the process is called."""
    write(root, "self/stat", stat(1, "500", name="a (b) c) 7"))
    holder = this_process({"CHUNKMIGRATE_POD_UID": "u"}, root)

    assert (holder.started, holder.boot, holder.namespaces) == ("500", "b", "pid:[1] time:[2]")
    assert holder.pod_uid == "u"


def test_stored_and_read() -> None:
    """A holder is read back as it was stored, by older and newer versions too."""
    assert Holder.of(ME.document()) == ME
    assert Holder.of({"token": "t", "colour": "blue"}) == Holder(token="t")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (stat(7, "900"), Liveness.ALIVE),
        (stat(7, "900", "R"), Liveness.ALIVE),
        (stat(7, "900", "D"), Liveness.ALIVE),
        (stat(7, "900", name="x) Z 1 (y"), Liveness.ALIVE),
        (stat(7, "901"), Liveness.DEAD),
        (stat(7, "900", "Z"), Liveness.DEAD),
        (stat(7, "900", "X"), Liveness.DEAD),
        (stat(7, "900", "T"), Liveness.UNKNOWN),
        (stat(7, "900", "t"), Liveness.UNKNOWN),
        ("", Liveness.UNKNOWN),
    ],
)
def test_by_proc(root: Path, there: str, expected: Liveness) -> None:
    """A process lives while its id and its start are there; ended is dead, stopped may go on some day."""
    write(root, "7/stat", there)

    assert liveness(replace(ME, token="other", pid=7, started="900"), ME, root) is expected


@pytest.mark.parametrize(
    "other",
    [
        {"host": "another"},
        {"boot": "another"},
        {"boot": ""},
        {"namespaces": "pid:[1] time:[3]"},
        {"namespaces": ""},
        {"started": ""},
    ],
)
def test_elsewhere_nothing_is_known(root: Path, other: dict[str, str]) -> None:
    """Of a process on another machine, or in another container, nothing is said, whatever its id is here."""
    assert liveness(replace(ME, pid=2**30), ME, root) is Liveness.DEAD
    assert liveness(replace(ME, pid=2**30, **other), ME, root) is Liveness.UNKNOWN


@pytest.mark.parametrize("lacking", ["boot", "started", "namespaces"])
def test_who_knows_nothing_says_nothing(root: Path, lacking: str) -> None:
    """Where our own machine cannot be read, nothing is said, not even of an equal one."""
    me = replace(ME, **{lacking: ""})

    assert liveness(replace(me, pid=2**30), me, root) is Liveness.UNKNOWN


def test_missing_from_proc(root: Path) -> None:
    """Where /proc hides the processes of others, one that is missing from it may live."""
    hidden = replace(ME, pid=os.getpid())

    assert liveness(hidden, ME, root) is Liveness.UNKNOWN


def test_container_restarted(root: Path) -> None:
    """In a restarted container the process has the same id, and another start: the former one is dead."""
    write(root, "1/stat", stat(1, "500"))

    assert liveness(replace(ME, token="former", started="400"), ME, root) is Liveness.DEAD


@linux
def test_real_process(process: tuple[subprocess.Popen[str], Holder]) -> None:
    """A real process is alive, stopped by SIGSTOP unknown, killed dead: at once, and once it is collected."""
    popen, holder = process
    me = this_process()

    assert liveness(holder, me) is Liveness.ALIVE

    popen.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, popen.pid, os.WSTOPPED | os.WNOWAIT)

    assert liveness(holder, me) is Liveness.UNKNOWN

    popen.kill()
    os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)

    assert liveness(holder, me) is Liveness.DEAD

    popen.wait()

    assert liveness(holder, me) is Liveness.DEAD


def test_without_proc(tmp_path: Path, process: tuple[subprocess.Popen[str], Holder]) -> None:
    """Where there is no /proc the same is said."""
    popen, _ = process
    me = this_process({}, tmp_path)
    other = psutil_holder(me, popen.pid)

    assert liveness(me, me, tmp_path) is Liveness.ALIVE
    assert liveness(other, me, tmp_path) is Liveness.ALIVE
    assert liveness(replace(other, started="1"), me, tmp_path) is Liveness.DEAD

    popen.kill()
    os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)

    assert liveness(other, me, tmp_path) is Liveness.DEAD

    popen.wait()

    assert liveness(other, me, tmp_path) is Liveness.DEAD


def psutil_holder(me: Holder, pid: int) -> Holder:
    return replace(me, token="other", pid=pid, started=str(psutil.Process(pid).create_time()))
