"""Memory limits, as far as they are files: what is made where, and what is written into it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from chunkmigrate import limits
from chunkmigrate.cgroups import Cgroup
from chunkmigrate.errors import ChunkmigrateError

if TYPE_CHECKING:
    from pathlib import Path

MI = 1024 * 1024
TOP = "sys/fs/cgroup"
SLICE = f"{TOP}/user.slice"

# What a version 2 machine shows of the group its processes are in, and of the groups above.
MACHINE_V2 = {
    "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
    f"{TOP}/cgroup.controllers": "cpuset cpu io memory pids\n",
    f"{TOP}/cgroup.subtree_control": "cpu memory pids\n",
    f"{SLICE}/cgroup.subtree_control": "memory pids\n",
    f"{SLICE}/session-1.scope/memory.max": "max\n",
}
MACHINE_V1 = {
    "proc/self/cgroup": "4:memory:/session\n0::/\n",
    f"{TOP}/memory/memory.limit_in_bytes": "9223372036854771712\n",
    f"{TOP}/memory/session/memory.limit_in_bytes": "9223372036854771712\n",
}


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def refuse(control: Path) -> None:
    """Make the file one that cannot be written, even by root."""
    control.unlink(missing_ok=True)
    control.mkdir()


def written(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def place(root: Path) -> Path | None:
    """The folder below which groups would be made."""
    found = limits.available(root)
    return found.parent.folder if found else None


def test_v2_next_to_a_group_that_has_processes(tmp_path: Path) -> None:
    """Version 2 refuses children to a group with processes, so they are made below the highest group."""
    root = machine(tmp_path, MACHINE_V2)
    refuse(root / SLICE / "session-1.scope/cgroup.subtree_control")
    assert place(root) == root / TOP
    assert (root / TOP / "cgroup.subtree_control").read_text() == MACHINE_V2[f"{TOP}/cgroup.subtree_control"]


def test_v2_enables_memory(tmp_path: Path) -> None:
    """Where memory is not counted for children yet, it is enabled; what else is enabled stays so."""
    root = machine(tmp_path, MACHINE_V2 | {f"{TOP}/cgroup.subtree_control": "cpu pids\n"})
    assert place(root) == root / TOP
    assert (root / TOP / "cgroup.subtree_control").read_text() == "+memory"


def test_v2_not_allowed(tmp_path: Path) -> None:
    """Without a group that may have limited children, nothing can be limited."""
    root = machine(tmp_path, MACHINE_V2)
    refuse(root / TOP / "cgroup.subtree_control")
    assert place(root) is None


def test_v2_without_memory(tmp_path: Path) -> None:
    """A hierarchy that does not count memory cannot limit it."""
    root = machine(tmp_path, MACHINE_V2 | {f"{TOP}/cgroup.controllers": "cpu pids\n"})
    assert place(root) is None


def test_v1_below_its_own_group(tmp_path: Path) -> None:
    """On version 1 groups are made below this process's own, so that the limits above it keep holding."""
    root = machine(tmp_path, MACHINE_V1)
    assert place(root) == root / TOP / "memory/session"


@pytest.mark.parametrize("files", [MACHINE_V1, MACHINE_V2])
def test_the_probe_leaves_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    """Asking whether groups can be made leaves none behind."""
    root = machine(tmp_path, files)
    limits.available(root)
    assert not list(root.rglob("chunkmigrate-*"))


def test_no_groups_at_all(tmp_path: Path) -> None:
    """A machine without control groups is not an error."""
    assert limits.available(tmp_path) is None


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (2, {"memory.max": str(64 * MI), "memory.swap.max": "0"}),
        (
            1,
            {
                "memory.limit_in_bytes": str(64 * MI),
                "memory.memsw.limit_in_bytes": str(64 * MI),
                "memory.swappiness": "0",
            },
        ),
    ],
)
def test_limit(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    """A limit is on memory, and swap does not add to it."""
    limits._set_limit(Cgroup(version=version, folder=tmp_path, mount=tmp_path), 64 * MI)
    assert written(tmp_path) == files


@pytest.mark.parametrize(("version", "name"), [(1, "memory.memsw.limit_in_bytes"), (2, "memory.swap.max")])
def test_kernel_without_swap(tmp_path: Path, version: int, name: str) -> None:
    """A kernel that does not account for swap limits memory all the same."""
    refuse(tmp_path / name)
    limits._set_limit(Cgroup(version=version, folder=tmp_path, mount=tmp_path), 64 * MI)
    assert (tmp_path / limits._LIMITS[version]).read_text() == str(64 * MI)


def test_refused(tmp_path: Path) -> None:
    """A kernel that takes no limit is told of in a sentence, and no command runs."""
    parent = Cgroup(version=2, folder=tmp_path / "gone", mount=tmp_path)
    with pytest.raises(ChunkmigrateError, match=r"takes no memory limit of 64 MiB here: .*gone"):
        limits.Limiter(parent).run(["touch", str(tmp_path / "ran")], 64 * MI)
    assert not (tmp_path / "ran").exists()


def test_joins_before_it_begins(tmp_path: Path) -> None:
    """The command itself is the process that joined, and its arguments arrive as they were given."""
    given = ["$(touch oops)", "; touch oops", "two words", '"']
    print_them = [sys.executable, "-c", "import os, sys; print([os.getpid(), *sys.argv[1:]])"]
    joined = tmp_path / "cgroup.procs"
    done = subprocess.run(
        [*limits._JOIN, str(joined), *print_them, *given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{[int(joined.read_text()), *given]}\n"
    assert written(tmp_path) == {"cgroup.procs": joined.read_text()}


def test_never_kills_itself(tmp_path: Path) -> None:
    """A member this process cannot see is listed as 0, which no signal is sent to."""
    (tmp_path / "cgroup.procs").write_text("0\n")
    limits._kill_members(tmp_path)
