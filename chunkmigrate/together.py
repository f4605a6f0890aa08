"""Together: a run by several processes of this machine, from the budget they share to how they ended.

What each does is a run like any other; starting and replacing them is ``workers``' business.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import InvalidSettingError, StoppedError
from chunkmigrate.memory import Sensor
from chunkmigrate.opening import named
from chunkmigrate.preflight import check_shares
from chunkmigrate.telemetry import line
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkmigrate.notify import Notifier
    from chunkmigrate.settings import Settings
    from chunkmigrate.stop import Stop
    from chunkmigrate.workers import Workers

_PR_SET_PDEATHSIG = 1  # sys/prctl.h

_EVENTS = {0: "applied", 5: "lease_held", 75: "stopped"}
_STANDS = {
    "applied": "it is complete.",
    "stopped": "run again to continue.",
    "lease_held": "another run holds its lease.",
    "failed": "what is committed is safe.",
}

# Of the lines that have no sentence of their own.
_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "started": lambda told: (
        f"{told['migration']} in {format_bytes(told['budget'])} ({told['budget_source']})"
    ),
    "progress": lambda told: f"{told['read']:,} documents read, with {format_bytes(told['used'])} in use",
}


def end_with_parent(parent: int) -> None:
    """Have this process asked to stop when the one that has started it dies, where the kernel can.

    Raises `StoppedError` where it has died already.
    """
    import ctypes  # late: only a worker needs it

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise StoppedError("Stopped before it began: the process that has started it is gone.")


def run(
    settings: Settings,
    arguments: Sequence[str],
    stop: Stop,
    notifier: Notifier,
    *,
    say: Callable[[str], Any],
    warn: Callable[[str], Any],
) -> int:
    """Run the command line ``arguments`` in as many processes as were asked for; return the exit code.

    Raises `BudgetTooSmallError` where the budget is too small for so many, and `InvalidSettingError` where
    metrics were asked for: those are of one process.
    """
    from chunkmigrate.workers import Workers  # late: most runs have none

    if settings.metrics_port is not None or settings.metrics_push or settings.metrics_file:
        message = "Metrics are those of one process: leave out --workers, or run several pods (--pods)."
        raise InvalidSettingError(message)
    if sys.stdout and sys.stdout.isatty():  # None where it was closed
        say = _aloud(say)
    sensor = Sensor(memory=settings.memory, request=settings.request)
    if settings.memory or settings.request or sensor.limit:
        check_shares(sensor.budget, sensor.rss_start, settings.workers)
    began = time.monotonic()
    with stop.on_signals(), named(settings) as (uri, database):
        # An embedded server is started once, here, for all of them.
        found = {} if settings.uri else {"MONGODB_URI": uri, "CHUNKMIGRATE_DATABASE": database}
        workers = Workers(settings.workers, arguments, sensor.rss_start, stop, say, warn, environment=found)
        code = workers.run()
    event = _EVENTS.get(code, "failed")
    message = _sentence(workers, event, time.monotonic() - began)
    say(line(event, message=message, workers=workers.count, **workers.counts))
    notifier.tell(event, message, code)
    return code


def _aloud(say: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda said: say(in_words(said))


def in_words(said: str) -> str:
    """Return a line of JSON as people at a terminal read it; any other as it is."""
    try:
        told = json.loads(said)
        who = f"worker {told['worker']}: " if "worker" in told else ""
        return who + (told.get("message") or _WORDS[told["event"]](told))
    except (AttributeError, KeyError, TypeError, ValueError):
        return said


def _sentence(workers: Workers, event: str, seconds: float) -> str:
    counts, why = workers.counts, f" {workers.sentence}" if workers.sentence else ""
    aside = f", {counts['quarantined']:,} in quarantine" if counts["quarantined"] else ""
    beside = f" (not counting what {workers.killed} did that were killed)" if workers.killed else ""
    return (
        f"{workers.count} workers: {counts['read']:,} documents read, {counts['written']:,} written, "
        f"{counts['skipped']:,} skipped{aside}{beside}; {format_duration(seconds)}; "
        f"{event}: {_STANDS[event]}{why}"
    )
