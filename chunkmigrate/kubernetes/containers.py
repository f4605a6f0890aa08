"""Containers: which container of a pod tells how it ended, and what its exit means.

Reason and exit code are read separately: 137 is SIGKILL, whoever sent it, and OOMKilled may come with any
code, for it is said as well where only a child process was killed. What else befell the pod, ``pods`` knows.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes import message
from chunkmigrate.kubernetes.ending import Kind
from chunkmigrate.kubernetes.fields import at, because, items, moment, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from chunkmigrate.kubernetes.message import Message

SIGKILLED = 137
OOM_KILLED, ERROR = "OOMKilled", "Error"

# A runtime's word for a program that is not in the image, or may not be run; the code beside it is its own.
_UNSTARTED = ("StartError", "ContainerCannotRun")
# Whoever says so has not seen the end. The kubelet writes 137 beside it, containerd 255: neither is an exit.
_UNSEEN = ("ContainerStatusUnknown", "Unknown")

# What is said all the same of an end that nobody knows.
_BUT = {OOM_KILLED: ", but something in it was killed for lack of memory"} | dict.fromkeys(
    _UNSEEN, ", for its node had lost sight of it"
)

# What `chunkmigrate run` means by its exit codes: `cli` decides them.
_MEANINGS = {
    0: (Kind.SUCCEEDED, "succeeded (exit 0)"),
    1: (Kind.FAILED, "failed (exit 1)"),
    2: (Kind.UNUSABLE, "cannot be run as asked (exit 2)"),
    5: (Kind.HELD, "found the lease held by another run (exit 5)"),
    75: (Kind.STOPPED, "stopped at a checkpoint (exit 75)"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How one container ended, as the kubelet reports it: what is missing is None or empty."""

    code: int | None
    reason: str
    at: datetime | None
    message: Message
    limit: str = ""

    @property
    def known(self) -> bool:
        """Whether it is said how it ended."""
        return self.code is not None

    @property
    def kind(self) -> Kind:
        """The word for it, as far as the container alone tells."""
        if self.code is None:
            return Kind.UNKNOWN
        if self.reason in _UNSTARTED:
            return Kind.NOT_STARTED
        if self.reason == OOM_KILLED:
            return Kind.OOM_KILLED if self.code == SIGKILLED else Kind.CHILD_OOM_KILLED
        if self.code == SIGKILLED:
            return Kind.KILLED
        return _MEANINGS[self.code][0] if self.code in _MEANINGS else Kind.EXITED

    def phrase(self) -> str:
        """Return what happened, to follow the name of a pod."""
        limit = f"; its limit is {self.limit}" if self.limit else ""
        if self.code is None:
            return f"ended in a way that is not known{_BUT.get(self.reason, '')}"
        if self.kind is Kind.NOT_STARTED:
            return f"could not be started{because(self.message.plain)}"
        if self.kind is Kind.OOM_KILLED:
            return f"was killed by the kernel for lack of memory{limit}"
        if self.kind is Kind.CHILD_OOM_KILLED:
            return f"{self._exited()}, and a child process of it was killed for lack of memory{limit}"
        if self.kind is Kind.KILLED:
            unsaid = "report that memory ran out" if self.reason == ERROR else "say why"
            return f"was killed with SIGKILL (exit 137); the kubelet does not {unsaid}"
        return self._exited()

    def _exited(self) -> str:
        code = self.code or 0
        own = self.message.of_exit(code)
        if code in _MEANINGS:
            return f"{_MEANINGS[code][1]}{because(own)}"
        return f"ended with exit {code}{_by_signal(code)}"


def _by_signal(code: int) -> str:
    try:
        return f", by {signal.Signals(code - 128).name}" if code > 128 else ""
    except ValueError:
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """One container of a pod, as its status has it. ``alone``: the pod has no other."""

    name: str
    status: Mapping[str, Any]
    limit: str
    alone: bool
    init: bool = False

    @property
    def ended(self) -> Exit | None:
        """How it ended; None while it has not."""
        return self._exit("state")

    @property
    def before(self) -> Exit | None:
        """How it ended the last time, where it was started again."""
        return self._exit("lastState")

    @property
    def runs(self) -> bool:
        """Whether it runs, as far as is said."""
        return at(self.status, "state", "running") is not None

    def waits(self) -> tuple[str, str] | None:
        """Return why it waits to be started, and the details; None where it does not."""
        waiting = at(self.status, "state", "waiting")
        return None if waiting is None else (text(waiting, "reason"), text(waiting, "message"))

    def _exit(self, which: str) -> Exit | None:
        terminated = at(self.status, which, "terminated")
        if terminated is None:
            return None
        reason = text(terminated, "reason")
        return Exit(
            code=None if reason in _UNSEEN else whole(terminated, "exitCode"),
            reason=reason,
            at=moment(terminated, "finishedAt"),
            message=message.read(terminated),
            limit=self.limit,
        )


def telling(pod: Mapping[str, Any]) -> Container | None:
    """Return the container that tells how a pod stands; None where nothing is said of any.

    An init container that did not succeed, else one that failed, else the first of the pod's own order.
    """
    inits = _containers(pod, "initContainers", "initContainerStatuses", init=True)
    own = _containers(pod, "containers", "containerStatuses")
    troubled = [one for one in inits if (one.ended and one.ended.code != 0) or _hangs(one)]
    failed = [one for one in own if one.ended and one.ended.code != 0]
    return next(iter([*troubled, *failed, *own]), None)


def _hangs(init: Container) -> bool:
    waits = init.waits()
    return waits is not None and waits[0] not in ("", "PodInitializing")


def _containers(pod: Mapping[str, Any], specs: str, statuses: str, *, init: bool = False) -> list[Container]:
    """Return containers in the order of the pod's spec: the kubelet sorts them by name."""
    declared = {text(spec, "name"): spec for spec in items(pod, "spec", specs)}
    found = [
        Container(
            name=name,
            status=status,
            # What is in force may differ from the spec: a pod can be resized while it runs.
            limit=text(status, "resources", "limits", "memory")
            or text(declared.get(name), "resources", "limits", "memory"),
            alone=len(items(pod, "status", statuses)) == 1 and not init,
            init=init,
        )
        for status in items(pod, "status", statuses)
        for name in [text(status, "name")]
    ]
    places = [*declared]
    return sorted(found, key=lambda one: places.index(one.name) if one.name in places else len(places))
