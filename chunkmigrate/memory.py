"""The sensor: how much memory this process uses, and how much it may.

It reads and reports. How large a page or a chunk should be at a given reading is decided in ``sizing.py``;
where the kernel keeps its numbers is known to ``cgroups.py``.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chunkmigrate.cgroups import find_cgroup
from chunkmigrate.units import MI, format_bytes, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkmigrate.cgroups import Cgroup

# Pods are resized in place, rarely: a few seconds late is soon enough.
_BUDGET_SECONDS = 5.0
# RSS is one short file; the working set is two, one of them long, and this is asked every 0.5 MB read.
_WORKING_SET_SECONDS = 0.1

_M_MMAP_THRESHOLD = -3  # malloc.h

# Where a process that was started as one of several finds its `Share`.
SHARE = "CHUNKMIGRATE_SHARE"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Memory at one moment, in bytes: of this process (``rss``), of what counts against it, and allowed."""

    rss: int
    used: int
    budget: int

    @property
    def fraction(self) -> float:
        """Used share of the budget; above 1 when it is exceeded."""
        return self.used / self.budget

    @property
    def room(self) -> int:
        """Bytes left in the budget, never below 0."""
        return max(0, self.budget - self.used)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bytes this process may use, where the number comes from, and what its operator should know."""

    size: int
    source: str
    warnings: tuple[str, ...]


def find_budget(
    *, memory: int | None, request: int | None, cgroup: Cgroup | None, host: int, tuned: int | None = None
) -> Budget:
    """Take the smallest of what was asked for, what is guaranteed and what is enforced, all in bytes.

    ``memory`` is the operator's setting, ``request`` the pod's memory request (0, as Kubernetes reports a
    request that was not made, counts as None), ``host`` the machine's memory. ``tuned`` is what was settled
    for the migration, and counts where there is no other.
    """
    limit = cgroup.limit() if cgroup else None
    return _choose(memory=memory, request=request, limit=limit, host=host, tuned=tuned)


def _choose(
    *, memory: int | None, request: int | None, limit: int | None, host: int, tuned: int | None = None
) -> Budget:
    found = [
        (size, source)
        for size, source in (
            (memory, f"--memory {_setting(memory or 0)}"),
            (request, f"memory request {format_bytes(request or 0)}"),
            (limit, f"cgroup limit {format_bytes(limit or 0)}"),
        )
        if size
    ]
    if not found and tuned:
        return Budget(size=tuned, source=f"tuned memory {format_bytes(tuned)}", warnings=())
    if not found:
        return _share_of_host(host)
    size, source = min(found, key=lambda one: one[0])
    warning = _memory_warning(memory, source) if memory and memory > size else None
    # Who chose a budget that fits the request has nothing to be told about the limit.
    borrowed = _request_warning(size, limit) if memory != size and request == size and limit else None
    return Budget(size=size, source=source, warnings=tuple(filter(None, (warning, borrowed))))


def _share_of_host(host: int) -> Budget:
    size, share = host // 4, f"{format_bytes(host // 4)} of {format_bytes(host)}"
    warning = (
        f"no memory limit was found, so a quarter of this host ({share}) is the budget; "
        "set one with --memory, such as --memory 512Mi"
    )
    return Budget(size=size, source="a quarter of this host", warnings=(warning,))


def _memory_warning(memory: int, source: str) -> str:
    return f"--memory {_setting(memory)} is more than the {source}, which is the budget instead"


def _request_warning(request: int, limit: int) -> str | None:
    if request == limit:
        return None
    return (
        f"the memory request ({format_bytes(request)}) is the budget, not the limit ({format_bytes(limit)}): "
        "only the request is guaranteed; memory above it is borrowed from the node, and can be taken back "
        "by killing the pod"
    )


def _setting(size: int) -> str:
    """Spell a size as somebody may have typed it: exact, where ``quantity`` alone would round."""
    return str(size) if size % MI else quantity(size)


@dataclass(frozen=True, slots=True)
class Share:
    """A process's part of a budget that ``workers`` have together; it is the one with that ``number``.

    ``kept`` bytes of it belong to the process that has started them, ``parent`` by its id.
    """

    number: int
    workers: int
    kept: int
    parent: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Share | None:
        """Return the share the environment gives, if any."""
        spelled = environment.get(SHARE)
        return cls(*map(int, spelled.split("/"))) if spelled else None

    def spelled(self) -> str:
        """Return it as an environment has it."""
        return f"{self.number}/{self.workers}/{self.kept}/{self.parent}"

    def of_budget(self, whole: Budget) -> Budget:
        """Return the part of a budget."""
        size = max(0, whole.size - self.kept) // self.workers
        source = f"shared by {self.workers} workers: {whole.source}"
        return Budget(size=size, source=source, warnings=whole.warnings if self.number == 1 else ())


class Sensor:
    """Reads memory as often as it is asked, at a cost that allows asking often.

    ``memory``, ``request`` and ``tuned`` are bytes, as for ``find_budget``; ``root`` holds ``proc`` and
    ``sys``; ``rss`` answers this process's resident bytes. ``rss_start`` is that answer when the sensor was
    made. Without ``grouped`` neither the limit of the group counts, nor what others in it use: who tries a
    budget out has only that one. With a ``share`` the budget is that part, and what others use is theirs.
    """

    def __init__(
        self,
        *,
        memory: int | None = None,
        request: int | None = None,
        tuned: int | None = None,
        grouped: bool = True,
        share: Share | None = None,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        rss: Callable[[], int] | None = None,
    ) -> None:
        self._memory, self._request, self._tuned = memory, request, tuned
        self._root, self._clock, self._rss, self._share = root, clock, rss or process_rss(), share
        self._cgroup, self._host = find_cgroup(root) if grouped else None, _host_memory(root)
        self._limit: int | None = None
        self._budget, self._budget_at = self._find_budget(), clock()
        self._distance, self._distance_at = 0, -math.inf
        self.rss_start = self._rss()

    @property
    def budget(self) -> Budget:
        """The budget as it stands, a few seconds old at most."""
        if (now := self._clock()) - self._budget_at >= _BUDGET_SECONDS:
            self._budget, self._budget_at = self._find_budget(), now
        return self._budget

    @property
    def limit(self) -> int | None:
        """What the kernel enforces, in bytes, as old as the budget; None where there is no limit."""
        return self._limit

    def read(self) -> Reading:
        """Read memory now."""
        budget, rss = self.budget, self._rss()
        return Reading(rss=rss, used=rss + self._beyond(rss), budget=budget.size)

    def peak(self) -> int:
        """Highest number of bytes this process has had resident, from its start to now."""
        return _kilobytes(self._root / "proc/self/status", "VmHWM:") or _largest_rss()

    def _find_budget(self) -> Budget:
        self._limit = self._cgroup.limit(last=self._limit) if self._cgroup else None
        whole = _choose(
            memory=self._memory,
            request=self._request,
            limit=self._limit,
            host=self._host,
            tuned=self._tuned,
        )
        return self._share.of_budget(whole) if self._share else whole

    def _beyond(self, rss: int) -> int:
        """Bytes the kernel counts against the limit beyond this process's own, 0.1 s old at most.

        Without a limit nothing is held against the group, and its other members are no concern of ours.
        """
        if self._cgroup is None or self._limit is None or self._share:
            return 0
        if (now := self._clock()) - self._distance_at >= _WORKING_SET_SECONDS:
            self._distance_at = now
            if (working_set := self._cgroup.working_set()) is not None:
                self._distance = max(0, working_set - rss)
        return self._distance


def process_rss() -> Callable[[], int]:
    """Make the function that reads this process's resident bytes; not to be carried across a fork.

    Where the kernel has a file for it, that is read as it is: 2 µs, where psutil takes 20 to do the same.
    """
    try:
        file, page = os.open("/proc/self/statm", os.O_RDONLY), os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil  # late: elsewhere nobody pays for it

        process = psutil.Process()
        return lambda: int(process.memory_info().rss)
    return lambda: int(os.pread(file, 64, 0).split()[1]) * page


def return_large_buffers() -> None:
    """Have the C library give every buffer of a mebibyte or more back as soon as it is freed, from now on.

    Left alone it learns to keep them, and what a thread keeps no trimming gives back: reading documents
    of 15 MB whole held 77 MiB that way, and 62 so. It is a setting of the whole process.
    """
    import ctypes  # late: only a run needs it; 0.3 MiB

    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MI)


def trim() -> None:
    """Give freed memory back to the kernel, where the C library can; elsewhere only collect garbage."""
    import ctypes  # late: most runs never come under pressure, and it stays resident

    gc.collect()
    # musl and macOS have no malloc_trim; Windows has no library without a name.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _host_memory(root: Path) -> int:
    return _kilobytes(root / "proc/meminfo", "MemTotal:") or os.sysconf("SC_PHYS_PAGES") * os.sysconf(
        "SC_PAGE_SIZE"
    )


def _kilobytes(path: Path, name: str) -> int | None:
    """Bytes on the line of that name, which says kB."""
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None


def _largest_rss() -> int:
    import resource  # late: the second choice: it counts what the parent had before exec

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
