"""Run a command under a memory limit the kernel enforces, where this machine lets us set one.

``available`` finds the place, ``Limiter.run`` makes a control group there for the length of one command.
Which commands deserve it is for the caller to say; what a process reads of its own group is ``cgroups``'.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from chunkmigrate.cgroups import find_cgroup
from chunkmigrate.errors import ChunkmigrateError
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chunkmigrate.cgroups import Cgroup

REMOVE_SECONDS = 5.0
POLL_SECONDS = 0.02

# The shell joins the group and then becomes the command, so that not a byte of it is charged elsewhere.
# Nothing of the command is ever read as shell: it arrives as arguments, and the group's file as "$0".
_JOIN = ("/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"')
_LIMITS = {1: "memory.limit_in_bytes", 2: "memory.max"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a command ended. ``returncode`` is what a shell shows: 137 for one that SIGKILL ended.

    ``killed_by_kernel`` says whether the kernel killed any process of the group for want of memory.
    ``peak`` is the most bytes the kernel charged at once, page cache included: files the command was first
    to read (Python's ``.pyc``, say) may fill the group up to its limit without pressing, for they are
    dropped when memory is asked for. Where the kernel keeps no such mark (version 2 before Linux 5.19) it
    is the largest resident size of any child this process has waited for, which is never too small.
    """

    returncode: int
    killed_by_kernel: bool
    peak: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Limiter:
    """Runs commands in groups below ``parent``."""

    parent: Cgroup

    def run(
        self,
        command: Sequence[str],
        limit: int,
        *,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Ended:
        """Run a command that may use ``limit`` bytes, swap included, and wait at most ``timeout`` seconds.

        ``env`` replaces the environment. Raises ``subprocess.TimeoutExpired`` when time is up, and
        `ChunkmigrateError` where the kernel takes no such limit. The group, and whatever still runs in it,
        is gone afterwards.
        """
        with _group(self.parent, limit) as group:
            done = subprocess.run(
                [*_JOIN, str(group.folder / "cgroup.procs"), *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=env,
                timeout=timeout,
                check=False,
            )
            return _ended(done, group)


def available(root: Path = Path("/")) -> Limiter | None:
    """Find where groups can be made; None where they cannot. ``root`` holds ``proc`` and ``sys``.

    Below this process's own group, so that the limits above it keep holding; or, as version 2 allows no
    children below a group that has processes, next to it below the highest group to be seen. There memory
    is enabled for children if it was not, and stays enabled.
    """
    own = find_cgroup(root)
    if own is None:
        return None
    candidates = (replace(own, folder=folder) for folder in dict.fromkeys((own.folder, own.mount)))
    return next((Limiter(parent) for parent in candidates if _can_hold_groups(parent)), None)


def _can_hold_groups(parent: Cgroup) -> bool:
    try:
        if parent.version == 2:
            _enable_memory(parent.folder / "cgroup.subtree_control")
        probe = _new_folder(parent)
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def _enable_memory(control: Path) -> None:
    if "memory" not in control.read_text().split():
        control.write_text("+memory")


@contextmanager
def _group(parent: Cgroup, limit: int) -> Iterator[Cgroup]:
    group = replace(parent, folder=_new_folder(parent))
    with _told(f"The kernel takes no memory limit of {format_bytes(limit)} here"):
        group.folder.mkdir()
    try:
        with _told(f"The kernel takes no memory limit of {format_bytes(limit)} here"):
            _set_limit(group, limit)
        yield group
    finally:
        with _told("A control group cannot be removed"):
            _remove(group.folder)


def _set_limit(group: Cgroup, limit: int) -> None:
    """Allow a group ``limit`` bytes, and no swap on top of them."""
    (group.folder / _LIMITS[group.version]).write_text(str(limit))
    # Memory and swap together cannot be less than memory alone, so this comes second. Kernels without swap
    # accounting lack the file; there, a swappiness of 0 keeps the group's pages out of swap.
    no_swap = {"memory.memsw.limit_in_bytes": limit, "memory.swappiness": 0}
    for name, value in (no_swap if group.version == 1 else {"memory.swap.max": 0}).items():
        with suppress(OSError):
            (group.folder / name).write_text(str(value))


def _new_folder(parent: Cgroup) -> Path:
    # Not the process id: two containers may see the same hierarchy, and both be process 1.
    return parent.folder / f"chunkmigrate-{uuid4().hex}"


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ChunkmigrateError(f"{what}: {error}.") from error


def _ended(done: subprocess.CompletedProcess[str], group: Cgroup) -> Ended:
    code = done.returncode
    return Ended(
        returncode=128 - code if code < 0 else code,
        killed_by_kernel=bool(group.oom_kills()),
        peak=group.peak() or resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        stdout=done.stdout,
        stderr=done.stderr,
    )


def _remove(folder: Path) -> None:
    """End what still runs in the group and remove it; the kernel lets go a moment after the last has gone."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while folder.exists():
        try:
            _kill_members(folder)
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def _kill_members(folder: Path) -> None:
    for pid in map(int, (folder / "cgroup.procs").read_text().split()):
        # A process this one cannot see is listed as 0, and to kill 0 is to kill oneself.
        if pid > 0:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
