"""A run in a pod, by its own manifest: a read-only root, no root, and 64 MiB that the kernel enforces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.kubernetes import manifest
from chunkmigrate.kubernetes.pod import GRACE_SECONDS, LIVENESS, LIVENESS_FILE, USER
from tests.acceptance import kubelet
from tests.acceptance.conftest import CommandLine, last_line
from tests.acceptance.test_kernel_limit import MIB, order
from tests.unit.workloads import NAME, workload, written

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

    from tests.acceptance.kubelet import Kubelet

MEMORY = 64 * MIB
ORDERS = 3_000

HEAD = '''"""Count what is in an order, and do in its container what a kubelet does."""

import os
import signal
import subprocess
import time

from chunkmigrate import Backfill, ReplaceOne, scan

ALIVE = os.environ["CHUNKMIGRATE_LIVENESS_FILE"]


def upgrade(db):
    return Backfill(scan(db.c), counted)


def counted(order):
    more = seen(order["_id"])
    return ReplaceOne({"_id": order["_id"]}, order | {"count": len(order["lines"])} | more)
'''

# It takes the sign of life away, goes on until there is one again, and asks the probe what it thinks of that.
PROBED = f"""{HEAD}

def seen(number):
    if number == 0:
        os.remove(ALIVE)
    if not os.path.exists(ALIVE):
        time.sleep(0.02)
        return {{}}
    return {{"uid": os.getuid(), "home": os.environ.get("HOME", ""), "probe": PROBE()}}


def PROBE(told=[]):
    if not told:
        told.append(subprocess.run({LIVENESS["exec"]["command"]!r}).returncode)
    return told[0]
"""

RAISES = f"""{HEAD}

def seen(number):
    raise ValueError(number)
"""

# The kubelet's SIGTERM, while a chunk is built.
TERMINATED = f"""{HEAD}

def seen(number):
    if number == {ORDERS // 2}:
        os.kill(os.getpid(), signal.SIGTERM)
    return {{}}
"""


@pytest.fixture
def pod(cli: CommandLine, db: Database[Any]) -> Kubelet:
    found = kubelet.ready(cli.folder, cli.uri)
    if isinstance(found, str):
        pytest.skip(found)
    db.c.insert_many(order(number, 60) for number in range(ORDERS))
    return found


def rendered(folder: Path, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Job of a migration that is mounted, and its ConfigMap."""
    written(folder, source=source)
    config_map, job = manifest.objects(workload(folder, mount=True, memory="64Mi"))
    return job, config_map


def left(pod: Kubelet) -> dict[str, Any]:
    """The container's last word."""
    read = pod.termination_log.read_bytes()
    assert 0 < len(read) <= 4_096
    message: dict[str, Any] = json.loads(read)
    return message


def test_read_only(pod: Kubelet) -> None:
    """In such a container nothing can be written but what the manifest mounts for it: this test is one."""
    find = "find / -path /proc -prune -o -path /sys -prune -o ! -type l -writable -print"
    ended = pod.run(*rendered(pod.folder, PROBED), "sh", "-c", f"{find} 2> /dev/null; id -u; touch /x")
    *writable, user = ended.stdout.split()

    assert sorted(writable) == [
        *("/dev/null", "/dev/termination-log", "/dev/urandom", "/dev/zero", "/tmp")  # noqa: S108
    ]
    assert user == str(USER)
    assert "Read-only file system" in ended.stderr


def test_applied(pod: Kubelet, db: Database[Any]) -> None:
    """A migration is applied; its last word and its sign of life are where the kubelet looks for them."""
    ended = pod.run(*rendered(pod.folder, PROBED))

    assert (ended.returncode, ended.killed_by_kernel) == (0, False), ended.stderr
    assert last_line(ended.stdout)["budget"] == MEMORY
    assert last_line(ended.stdout)["peak"] <= MEMORY
    assert db.c.count_documents({"count": 60}) == ORDERS
    last = {"_id": ORDERS - 1, "count": 60, "uid": USER, "home": "", "probe": 0}
    assert db.c.find_one({"_id": ORDERS - 1}, {"lines": 0}) == last
    assert [path for path in pod.scratch.iterdir() if path.is_file()] == [pod.scratch / "alive"]
    assert LIVENESS_FILE.endswith("/alive")
    assert (left(pod)["exit_code"], left(pod)["event"]) == (0, "applied")
    assert pod.secret not in pod.termination_log.read_text("utf-8") + ended.stdout + ended.stderr


def test_terminated(pod: Kubelet, db: Database[Any]) -> None:
    """SIGTERM ends it at a checkpoint with exit 75, inside the grace period; the next pod does the rest."""
    job, config_map = rendered(pod.folder, TERMINATED)
    ended = pod.run(job, config_map, timeout=GRACE_SECONDS)

    assert (ended.returncode, ended.killed_by_kernel) == (75, False), ended.stderr
    assert left(pod)["exit_code"] == 75
    assert 0 < db.c.count_documents({"count": 60}) < ORDERS
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == GRACE_SECONDS

    assert pod.run(job, config_map).returncode == 0
    assert left(pod)["exit_code"] == 0
    assert db.c.count_documents({"count": 60}) == ORDERS


def test_failed(pod: Kubelet) -> None:
    """A migration that fails ends with 1, and its last word names the line as it stands in the migration."""
    job, config_map = rendered(pod.folder, RAISES)
    ended = pod.run(job, config_map)

    assert (ended.returncode, left(pod)["exit_code"]) == (1, 1)
    line = 1 + RAISES.splitlines().index("    raise ValueError(number)")
    raised = f"It was raised in migrations/{NAME}.py, line {line}."
    assert raised in ended.stderr
    assert raised in left(pod)["message"]
