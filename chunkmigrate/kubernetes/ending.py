"""Endings, as values: how a pod or a Job ended, or why it has not yet.

How one is told from what a cluster says is the business of ``pods`` and ``jobs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class Kind(StrEnum):
    """The word for an ending, for programs. `UNKNOWN` is one: nothing is guessed."""

    # A pod that has ended. The first six go by what `chunkmigrate run` means by its exit code.
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNUSABLE = "unusable"
    HELD = "lease_held"
    STOPPED = "stopped"
    TERMINATED = "terminated"
    EXITED = "exited"
    NOT_STARTED = "not_started"
    OOM_KILLED = "oom_killed"
    CHILD_OOM_KILLED = "child_oom_killed"
    KILLED = "killed"
    OVERDUE = "killed_when_overdue"
    UNRESPONSIVE = "liveness_probe"
    EVICTED = "evicted"
    NODE_PRESSURE = "node_pressure"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    DISRUPTED = "disrupted"
    REFUSED = "refused_by_node"

    # A pod that has not.
    UNSCHEDULABLE = "unschedulable"
    IMAGE = "image"
    CONFIG = "configuration"
    WAITING = "waiting"
    RESTARTING = "restarting"
    RUNNING = "running"

    # A Job; where it hangs on a pod that waits, it has that pod's.
    COMPLETE = "complete"
    BACKOFF = "backoff_limit"
    POLICY = "pod_failure_policy"
    DEADLINE = "deadline"
    INDEXES = "failed_indexes"
    FAILING = "failing"
    FINISHING = "finishing"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"
    QUOTA = "quota"
    FORBIDDEN = "forbidden"
    NOT_CREATED = "pod_not_created"
    ACTIVE = "active"

    UNKNOWN = "unknown"


# What does not pass by itself: somebody has to change something.
STUCK = frozenset({Kind.UNSCHEDULABLE, Kind.IMAGE, Kind.CONFIG, Kind.QUOTA, Kind.FORBIDDEN, Kind.NOT_CREATED})

# What a pod may be that has not ended.
GOING = frozenset({Kind.WAITING, Kind.RESTARTING, Kind.RUNNING, *STUCK})

# That a Job is over: nothing more will happen to it.
OVER = frozenset(
    {Kind.COMPLETE, Kind.FAILED, Kind.BACKOFF, Kind.POLICY, Kind.DEADLINE, Kind.INDEXES, Kind.DELETED}
)


class Verdict(NamedTuple):
    """What is said of a pod or a Job: the word, a phrase to follow its name, and what to do."""

    kind: Kind
    phrase: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a pod or a Job ended: a sentence, what it rests on, and what to do.

    ``exit_code`` is the container's, ``at`` when it ended, where they are known.
    """

    kind: Kind
    sentence: str
    evidence: tuple[str, ...] = ()
    advice: str = ""
    exit_code: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the ledger knows of one run: the pod it ran in, how it ended, and what it was about to do.

    The documents behind ``after``, up to ``through``; ``used`` and ``budget`` in bytes, 0 where unknown.
    """

    pod: str
    status: str = ""
    after: str | None = None
    through: str | None = None
    used: int = 0
    budget: int = 0
