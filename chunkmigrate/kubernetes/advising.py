"""Advising: what to do about an ending, in a sentence or two."""

from __future__ import annotations

from chunkmigrate.kubernetes.ending import Kind

_AGAIN = "What is committed is safe; the next run goes on from there."
_MEMORY = (
    f"{_AGAIN} It starts with smaller chunks, and finds out whether one document is at fault. If it is "
    "killed again, raise the memory's request and limit as `chunkmigrate tune` suggests."
)
_GRACE = (
    f"{_AGAIN} Give it a terminationGracePeriodSeconds longer than a chunk takes, and let SIGTERM reach it: "
    "`chunkmigrate` must be the container's command itself, not a child of a shell."
)
UNSEEN = (
    f"{_AGAIN} The condition DisruptionTarget is not set on such a pod, so no podFailurePolicy ignores "
    "it: it counts against the backoffLimit."
)

ON = {
    Kind.FAILED: f"{_AGAIN} Its log says what failed; correct that, then run again.",
    Kind.UNUSABLE: "Its log says what cannot be used; correct that. Run again as it is, it ends the same.",
    Kind.HELD: "Wait for the other run, or see `chunkmigrate status`; nothing was changed by this one.",
    Kind.STOPPED: f"{_AGAIN} A Job whose podFailurePolicy ignores exit 75 starts it by itself.",
    Kind.TERMINATED: _AGAIN,
    Kind.EXITED: f"{_AGAIN} `chunkmigrate run` has no such exit code: see the log, and what the image runs.",
    Kind.NOT_STARTED: (
        "Correct what the message names, in a new Job: the image's entry point has to be `chunkmigrate`, "
        "made for the node's architecture. This one has changed nothing."
    ),
    Kind.OOM_KILLED: _MEMORY,
    Kind.CHILD_OOM_KILLED: (
        "Not the run was killed but a process it had started: see what that was to do. The memory limit "
        "holds for all of them together."
    ),
    Kind.KILLED: (
        f"{_AGAIN} Look for who kills processes on the node: a lack of memory there, or somebody by hand."
    ),
    Kind.OVERDUE: _GRACE,
    Kind.UNRESPONSIVE: (
        f"{_AGAIN} It gave no sign of life: its log says what it was at, and whether the database answered."
    ),
    Kind.EVICTED: f"{_AGAIN} A Job whose podFailurePolicy ignores DisruptionTarget starts it by itself.",
    Kind.NODE_PRESSURE: (
        f"{_AGAIN} With a memory request equal to the limit its pod is among the last to be evicted."
    ),
    Kind.PREEMPTED: f"{_AGAIN} A priorityClassName of its own keeps it from being preempted.",
    Kind.NODE_LOST: _AGAIN,
    Kind.DISRUPTED: _AGAIN,
    Kind.REFUSED: "The node had less to give than the scheduler thought; the next pod is scheduled anew.",
    Kind.RESTARTING: (
        "Use restartPolicy: Never: each try then has a pod of its own, whose log and end stay."
    ),
}
