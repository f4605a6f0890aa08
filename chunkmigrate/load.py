"""Load: what the server says of its replica set, read every few seconds at most.

The sensor of the throttle. It decides nothing, waits for nothing but the server's answer, and a signal that
cannot be read is no failure: it is unknown. How long commits take is measured where chunks are committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pymongo
from bson.codec_options import CodecOptions
from pymongo.errors import OperationFailure, PyMongoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymongo.database import Database

T = TypeVar("T")

# Lag is counted in tens of seconds, and members tell each other where they are every two. One poll takes
# the server some 2 ms.
POLL_SECONDS = 5.0

# A value this old says nothing of the present: it becomes unknown, and a run goes on (fails open). It may,
# because the latency of its majority commits is a measurement of lag that needs no privilege and still holds,
# and because a server that does not answer does not commit either. Three polls in a row have then failed.
STALE_SECONDS = 15.0

# A run waits while it polls, so a server that has stopped answering must not hold it for long.
ANSWER_SECONDS = 2.0

# The server's refusals that asking again does not change: Unauthorized, CommandNotFound, NoReplicationEnabled
# (a standalone), CommandNotSupported, NotAReplicaSet, APIStrictError, AtlasError (a shared tier). mongos
# refuses replSetGetStatus without a number.
REFUSALS = frozenset({13, 59, 76, 115, 123, 323, 8000, None})

_PRIMARY, _SECONDARY = 1, 2

# Only flowControl is of use. Without the other sections serverStatus took 0.7 ms instead of 3.6 ms; a
# section that a server's version does not have is no error.
_SECTIONS = (
    "activeIndexBuilds asserts batchedDeletes catalogStats changeStreamPreImages connections "
    "defaultRWConcern electionMetrics extra_info freeMonitoring globalLock indexBuilds indexBulkBuilder "
    "indexStats locks logicalSessionRecordCache mem metrics mirroredReads network opLatencies opcounters "
    "opcountersRepl oplogTruncation queryAnalyzers queues readConcernCounters readPreferenceCounters repl "
    "scramCache security sharding shardingStatistics storageEngine tcmalloc tenantMigrations "
    "trafficRecording transactions transportSecurity twoPhaseCommitCoordinator watchdog wiredTiger"
)


@dataclass(frozen=True, slots=True)
class Load:
    """One reading; None is unknown.

    ``lag_seconds``: how far the slowest secondary is behind the primary. ``flow_control``: whether the
    server itself says that its majority lags.
    """

    lag_seconds: float | None = None
    flow_control: bool | None = None


class Probe:
    """Reads the load of the server ``database`` is on; between two polls it answers what it last read.

    For one thread. Calling it raises nothing of the driver's, and takes at most ``ANSWER_SECONDS``.
    """

    def __init__(self, database: Database[Any], clock: Callable[[], float]) -> None:
        # With options of its own: a connection string may make dates something one cannot subtract.
        self._admin = database.client.get_database("admin", codec_options=CodecOptions())
        self._clock = clock
        self._lag, self._flow_control = _Signal(self._read_lag), _Signal(self._read_flow_control)
        self._next_poll = clock()

    def __call__(self) -> Load:
        """Return the load, at most ``STALE_SECONDS`` old."""
        if self._clock() >= self._next_poll:
            # One deadline for both: a server that does not answer is waited for once.
            with pymongo.timeout(ANSWER_SECONDS):
                self._lag.poll(self._clock)
                self._flow_control.poll(self._clock)
            self._next_poll = self._clock() + POLL_SECONDS
        now = self._clock()
        return Load(self._lag.known(now), self._flow_control.known(now))

    def _read_lag(self) -> float | None:
        status = self._admin.command("replSetGetStatus")
        return lag_of(status, self._admin.command("replSetGetConfig")["config"])

    def _read_flow_control(self) -> bool | None:
        status = self._admin.command({"serverStatus": 1, **dict.fromkeys(_SECTIONS.split(), 0)})
        lagged: bool | None = status.get("flowControl", {}).get("isLagged")
        return lagged


def lag_of(status: Mapping[str, Any], config: Mapping[str, Any]) -> float | None:
    """Return how far the slowest secondary is behind the primary, seconds; None while there is no primary.

    ``status`` and ``config`` are replSetGetStatus's and replSetGetConfig's. The configuration is needed: a
    delayed member is behind on purpose, looks like any other in the status, and waiting for it never ends.
    A member that is down, or still copying, does not come closer by waiting either.
    """
    delayed = {
        member["_id"]
        for member in config["members"]
        # The name changed with 5.0.
        if member.get("secondaryDelaySecs") or member.get("slaveDelay")
    }
    members = [member for member in status["members"] if member["_id"] not in delayed]
    primaries = [member["optimeDate"] for member in members if member["state"] == _PRIMARY]
    if not primaries:
        return None
    secondaries = [member["optimeDate"] for member in members if member["state"] == _SECONDARY]
    slowest = min(secondaries, default=max(primaries))
    return max(0.0, float((max(primaries) - slowest).total_seconds()))


class _Signal(Generic[T]):
    """One thing the server says: asked until it refuses, and known until it is stale."""

    def __init__(self, read: Callable[[], T | None]) -> None:
        self._read, self._readable = read, True
        self._value: T | None = None
        self._read_at = 0.0

    def poll(self, clock: Callable[[], float]) -> None:
        if not self._readable:
            return
        try:
            self._value = self._read()
            self._read_at = clock()
        except OperationFailure as error:
            self._readable = error.code not in REFUSALS
        except PyMongoError:
            pass  # whether the server is there at all is for those to say who read and write

    def known(self, now: float) -> T | None:
        return self._value if now - self._read_at <= STALE_SECONDS else None
