"""A small disk that can be filled, and given room again."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE_MIB = 200
BALLAST = "ballast"

# A mongod that fits it: the journal is else preallocated in files of 100 MB.
SMALL_FILES = ("--oplogSize", "32", "--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)")


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system in memory, of 200 MiB."""

    folder: Path

    def fill(self, spare: int) -> None:
        """Leave ``spare`` bytes free, or fewer: who uses the disk takes of them meanwhile."""
        with (self.folder / BALLAST).open("wb") as ballast:
            while (size := self._free() - spare) > 0:
                with suppress(OSError):
                    os.posix_fallocate(ballast.fileno(), 0, size)
                    return
                spare += 1024 * 1024

    def _free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def make_room(self) -> None:
        """Free what ``fill`` took."""
        (self.folder / BALLAST).unlink()


@contextmanager
def disk(folder: Path) -> Iterator[Disk | None]:
    """Mount a disk for the length of the block; None where this machine does not let us."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        # Lazily: a server that is being killed may hold a file a moment longer.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
