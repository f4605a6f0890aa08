"""Holder: who holds a lease, and whether that process still lives where we can know it.

Only what can be proved is said: of a process on another machine, in another container, or stopped, nothing is
known. What follows from it for a lease is ``lease``'s business.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path("/")

# What /proc/<pid>/stat says of a process that has ended and of one that is held, by a signal or a debugger.
_ENDED, _HALTED = "ZXx", "Tt"


class Liveness(Enum):
    """What is known of a process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """One process that holds a lease, or held it. What is not known of it is empty.

    ``token`` is random and made for one attempt: names, addresses and process ids are all used again.
    ``started`` is when the process started, as the system counts it; ``boot`` the machine's boot; and
    ``namespaces`` those in which ``pid`` and ``started`` mean something. Processes of one ``group`` share the
    work of a migration.
    """

    token: str
    pod: str = ""
    pod_uid: str = ""
    node: str = ""
    host: str = ""
    pid: int = 0
    started: str = ""
    boot: str = ""
    namespaces: str = ""
    group: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Holder:
        """Return a stored holder; what another version stored besides, or otherwise, is left out."""
        kinds = {field.name: int if field.name == "pid" else str for field in fields(cls)}
        return cls(
            **{name: document[name] for name, kind in kinds.items() if type(document.get(name)) is kind}
        )

    def document(self) -> dict[str, Any]:
        """Return what is stored."""
        return asdict(self)

    def works_with(self, other: Holder | None) -> bool:
        """Whether the two belong to one group."""
        return other is not None and bool(self.group) and self.group == other.group

    def shown(self) -> str:
        """Return the name people know it by: ``pod migrate-x7k2p on node-3 (pid 1)``."""
        return f"{place(pod=self.pod, host=self.host, node=self.node)} (pid {self.pid})"


def this_process(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> Holder:
    """Return this process as a holder, under a new token.

    The pod is ``CHUNKMIGRATE_POD``, or inside Kubernetes the name of the host, which is the pod's there;
    ``CHUNKMIGRATE_POD_UID`` and ``CHUNKMIGRATE_NODE`` complete it. Its group is ``CHUNKMIGRATE_GROUP``, or
    the Indexed Job the pod is one of.
    """
    host = socket.gethostname()
    in_pod = "KUBERNETES_SERVICE_HOST" in environment
    started, boot = _started(root)
    return Holder(
        token=secrets.token_hex(8),
        pod=environment.get("CHUNKMIGRATE_POD") or (in_pod and environment.get("HOSTNAME", host)) or "",
        pod_uid=environment.get("CHUNKMIGRATE_POD_UID", ""),
        node=environment.get("CHUNKMIGRATE_NODE", ""),
        host=host,
        pid=os.getpid(),
        started=started,
        boot=boot,
        namespaces=_namespaces(root),
        group=environment.get("CHUNKMIGRATE_GROUP") or _indexed_job(environment, host),
    )


def _indexed_job(environment: Mapping[str, str], host: str) -> str:
    """Return the name of the Job: its pods' hosts are called by it and by the index, ``orders-0``."""
    index = environment.get("JOB_COMPLETION_INDEX")
    return host.removesuffix(f"-{index}") if index else ""


def place(*, pod: str, host: str, user: str = "", node: str = "") -> str:
    """Return where something runs, as people know it: the pod and its node, or else user and host."""
    if pod:
        return f"pod {pod} on {node}" if node else f"pod {pod}"
    return f"{user} on {host}" if user else f"host {host}"


def runner(run: Mapping[str, Any]) -> str:
    """Return who runs something, or did, by the record of the run."""
    pod, host, user = (run.get(name) or "" for name in ("pod", "host", "user"))
    return f"{place(pod=pod, host=host or 'unknown', user=user)} (pid {run.get('pid', 'unknown')})"


def user() -> str:
    """Return the user this process runs as; nothing where it has no name, as in most containers."""
    import getpass  # late: only whoever records or asks something needs it

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def who() -> dict[str, str]:
    """Return what others are told of this process: its ``version`` of chunkmigrate, ``pod`` and ``host``."""
    from importlib.metadata import version  # late: a run that tells nobody needs none of it

    me = this_process()
    return {"version": version("chunkmigrate"), "pod": me.pod, "host": me.host}


def liveness(other: Holder, me: Holder, root: Path = ROOT) -> Liveness:
    """Say whether ``other`` still runs, as far as ``me`` can prove it.

    A host's name is used again by a container that is restarted, cloned machines share the boot's identity,
    and the first process namespace has the same number on every machine. Only where all of them are equal
    does a process id mean the same process. A namespace's number is given away again only when the last
    process in it has ended, so a number that is used again proves nothing wrong.
    """
    if not me.boot or not me.started or not other.started:
        return Liveness.UNKNOWN
    if (other.boot, other.host, other.namespaces) != (me.boot, me.host, me.namespaces):
        return Liveness.UNKNOWN
    if not (root / "proc/self/stat").exists():
        return _elsewhere(other)
    return _in_proc(other, root) if me.namespaces else Liveness.UNKNOWN


def _in_proc(other: Holder, root: Path) -> Liveness:
    try:
        state, started = _stat(root / f"proc/{other.pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        # Where /proc is mounted with hidepid, other users' processes are missing from it.
        return Liveness.DEAD if _gone(other.pid) else Liveness.UNKNOWN
    except (OSError, ValueError, IndexError):
        return Liveness.UNKNOWN
    if started != other.started or state in _ENDED:
        return Liveness.DEAD
    return Liveness.UNKNOWN if state in _HALTED else Liveness.ALIVE


def _elsewhere(other: Holder) -> Liveness:
    """Ask psutil, where there is no /proc."""
    import psutil

    try:
        process = psutil.Process(other.pid)
        started, status = str(process.create_time()), process.status()
    except psutil.NoSuchProcess:
        return Liveness.DEAD
    except (psutil.Error, OSError):
        return Liveness.UNKNOWN
    if started != other.started or status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return Liveness.DEAD
    halted = status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    return Liveness.UNKNOWN if halted else Liveness.ALIVE


def _started(root: Path) -> tuple[str, str]:
    """Return when this process started, and which boot of which machine that is counted from."""
    if (root / "proc/self/stat").exists():
        try:
            return _stat(root / "proc/self/stat")[1], _text(root / "proc/sys/kernel/random/boot_id")
        except (OSError, ValueError, IndexError):
            return "", ""
    import psutil

    return str(psutil.Process().create_time()), str(psutil.boot_time())


def _stat(path: Path) -> tuple[str, str]:
    """Return a process's state and its start in clock ticks. Its name may hold spaces and brackets."""
    values = path.read_text("ascii", "replace").rpartition(")")[2].split()
    return values[0], values[19]


def _namespaces(root: Path) -> str:
    # A start is counted from the boot as the time namespace sees it. Kernels before 5.6 have none.
    return " ".join(filter(None, (_link(root / f"proc/self/ns/{kind}") for kind in ("pid", "time"))))


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _text(path: Path) -> str:
    return path.read_text("ascii").strip()


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
