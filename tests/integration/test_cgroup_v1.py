"""A real version 1 control group, with a real process in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MI = 1024 * 1024
MOUNT = Path("/sys/fs/cgroup/memory")
PROJECT = Path(__file__).parents[2]

# The process moves itself before it allocates: memory stays charged to the group it was first touched in.
INSIDE = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
(folder / "cgroup.procs").write_text(str(os.getpid()))
held = b"x" * (40 << 20)
from chunkmigrate.cgroups import find_cgroup
from chunkmigrate.memory import Sensor
cgroup = find_cgroup()
sensor = Sensor()
reading = sensor.read()
print(json.dumps({
    "version": cgroup.version, "folder": str(cgroup.folder), "limit": cgroup.limit(),
    "working_set": cgroup.working_set(), "peak": cgroup.peak(), "oom_kills": cgroup.oom_kills(),
    "source": sensor.budget.source, "rss": reading.rss, "used": reading.used, "budget": reading.budget,
}))
"""

pytestmark = pytest.mark.skipif(
    not (MOUNT / "memory.limit_in_bytes").exists() or not os.access(MOUNT, os.W_OK),
    reason="needs a version 1 memory control group that may be written to",
)


@pytest.fixture
def group() -> Iterator[Path]:
    """Make a control group of 96 MiB, and remove it afterwards."""
    folder = MOUNT / f"chunkmigrate-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (folder / "memory.limit_in_bytes").write_text(str(96 * MI))
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Wait for the kernel, which lets go of a group a moment after its last process has gone."""
    for _ in range(50):
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return


def run_inside(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_seen_from_inside(group: Path) -> None:
    """A process in a limited group finds it, its limit, and a working set that holds what was allocated."""
    seen = run_inside(group)
    assert (seen["version"], seen["folder"], seen["limit"]) == (1, str(group), 96 * MI)
    assert 40 * MI <= seen["working_set"] <= seen["peak"] <= 96 * MI
    assert seen["oom_kills"] == 0
    assert (seen["source"], seen["budget"]) == ("cgroup limit 96 MiB", 96 * MI)
    assert 40 * MI <= seen["rss"] <= seen["used"] < 96 * MI
