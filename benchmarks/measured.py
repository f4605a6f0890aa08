"""What a piece of work takes: time, memory and processor, of this process and of the server."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one run took: seconds, of the clock and of both processors; bytes, at its start and its peak."""

    documents: int
    seconds: float
    start_rss: int
    peak_rss: int
    client_cpu: float
    server_cpu: float | None

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    @property
    def above(self) -> int:
        """Bytes at the peak above those at the start."""
        return self.peak_rss - self.start_rss


def measured(work: Callable[[], int], database: Database[Any]) -> Measured:
    """Do the work, which returns how many documents it changed."""
    served = _server_cpu(database)
    _forget_peak()
    start_rss, client, began = _memory("VmRSS:"), _client_cpu(), time.perf_counter()
    documents = work()
    seconds = time.perf_counter() - began
    after = _server_cpu(database)
    return Measured(
        documents=documents,
        seconds=seconds,
        start_rss=start_rss,
        peak_rss=_memory("VmHWM:"),
        client_cpu=_client_cpu() - client,
        server_cpu=None if served is None or after is None else after - served,
    )


def _forget_peak() -> None:
    """Let the kernel count this process's peak from now on."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _client_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _server_cpu(database: Database[Any]) -> float | None:
    """Return the seconds the server's process has used, as it says itself; not every server does."""
    told = database.client.admin.command("serverStatus").get("extra_info", {})
    if "user_time_us" not in told:
        return None
    return float(told["user_time_us"] + told["system_time_us"]) / 1e6
