"""What the kernel allows and counts for this process's control group, version 1 or 2.

Reads files and reports bytes; a file that is missing or makes no sense is None, never 0. What to do with the
numbers, and how often to ask, belongs to ``memory.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Version 1 spells "no limit" as the largest page-aligned number, which depends on the page size.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, kw_only=True)
class Cgroup:
    """One memory control group: ``folder`` holds its files, ``mount`` is the highest folder to be seen."""

    version: int
    folder: Path
    mount: Path

    def limit(self, last: int | None = None) -> int | None:
        """Bytes at which the kernel kills or throttles this group; None when nothing bounds it.

        ``last`` is the answer when the files cannot be read: a reading that failed lifts no limit.
        """
        try:
            found = min(self._limits_v1() if self.version == 1 else self._limits_v2(), default=None)
        except (OSError, ValueError):
            return last
        if found is None:
            return last
        return None if math.isinf(found) else int(found)

    def _limits_v2(self) -> Iterator[float]:
        self.folder.stat()  # a group that is gone says nothing, though its parents still answer
        for folder in self._lineage():
            for name in ("memory.max", "memory.high"):
                # The root group has neither file, nor has a group for which memory is not counted.
                if (path := folder / name).exists():
                    yield _limit(path.read_text())

    def _limits_v1(self) -> Iterator[float]:
        yield _limit((self.folder / "memory.limit_in_bytes").read_text())
        yield _limit(str(_field(self.folder / "memory.stat", "hierarchical_memory_limit")))

    def _lineage(self) -> list[Path]:
        """List this folder and those above it, up to the mount."""
        return [path for path in (self.folder, *self.folder.parents) if path.is_relative_to(self.mount)]

    def working_set(self) -> int | None:
        """Bytes in use that cannot be dropped at once: what the kubelet looks at when it evicts."""
        current, reclaimable = (
            ("memory.usage_in_bytes", "total_inactive_file")
            if self.version == 1
            else ("memory.current", "inactive_file")
        )
        used, cache = self._number(current), self._counted("memory.stat", reclaimable)
        return None if used is None or cache is None else max(0, used - cache)

    def oom_kills(self) -> int | None:
        """How many processes of this group the kernel has killed for memory since it was made."""
        return self._counted("memory.oom_control" if self.version == 1 else "memory.events", "oom_kill")

    def peak(self) -> int | None:
        """Highest number of bytes this group has held, page cache included; None before Linux 5.19 on v2."""
        return self._number("memory.max_usage_in_bytes" if self.version == 1 else "memory.peak")

    def _number(self, name: str) -> int | None:
        try:
            return int((self.folder / name).read_text())
        except (OSError, ValueError):
            return None

    def _counted(self, name: str, field: str) -> int | None:
        try:
            return _field(self.folder / name, field)
        except (OSError, ValueError):
            return None


def find_cgroup(root: Path = Path("/")) -> Cgroup | None:
    """Find the control group that counts this process's memory; None where there is none (not Linux).

    ``root`` is the folder that holds ``proc`` and ``sys``.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return None
    # Each line is "hierarchy:controllers:path". Memory is counted by one version only, and where both are
    # mounted the version 1 line names it, so that line is asked first.
    paths = dict(line.split(":", 2)[1:] for line in lines if line.count(":") > 1)
    return _find_v1(root / "sys/fs/cgroup", paths) or _find_v2(root / "sys/fs/cgroup", paths)


def _find_v1(mounts: Path, paths: dict[str, str]) -> Cgroup | None:
    for controllers, path in paths.items():
        if "memory" in controllers.split(","):
            for mount in (mounts / "memory", mounts / controllers):
                if mount.is_dir():
                    return Cgroup(version=1, folder=_below(mount, path), mount=mount)
    return None


def _find_v2(mount: Path, paths: dict[str, str]) -> Cgroup | None:
    try:
        counts_memory = "memory" in (mount / "cgroup.controllers").read_text().split()
    except (OSError, ValueError):
        return None
    if not counts_memory or "" not in paths:
        return None
    return Cgroup(version=2, folder=_below(mount, paths[""]), mount=mount)


def _below(mount: Path, path: str) -> Path:
    """Find the group's folder: in a container that is the mount, and the path is one only the host has."""
    folder = mount / path.lstrip("/")
    # A path that climbs belongs to a process outside its own namespace: what is there is not this group.
    return folder if ".." not in path.split("/") and folder.is_dir() else mount


def _limit(text: str) -> float:
    """Read a limit; infinity stands for none, so that the smallest of several can be taken."""
    if text.strip() == "max":
        return math.inf
    return value if (value := int(text)) < _NO_LIMIT else math.inf


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{path} has no line for {name}")
