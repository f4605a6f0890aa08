"""The blows: what may be done to a run in the middle of its work."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.faults.attempts import AGAIN, DONE, FAILED, HELD, Attempt, ended, running
from tests.faults.freezing import lease, thaw
from tests.faults.waiting import until
from tests.soak.stage import ALONE, THREE, Stage

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine
    from tests.faults.replicaset import ReplicaSet

HOLD_SECONDS = 60.0
TAKEOVER_SECONDS = 150.0


class MissedError(Exception):
    """The run ended before the blow could reach it."""


@dataclass(slots=True)
class Play:
    """One round while it is played. ``process`` is the run at work, ``struck`` what was done so far."""

    stage: Stage
    place: ReplicaSet
    cli: CommandLine
    db: Database[Any]
    chance: random.Random
    stack: ExitStack
    arguments: tuple[str, ...]
    struck: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] = field(init=False)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a run, which ends with the round at the latest."""
        return self.stack.enter_context(running(self.cli, *self.arguments, *arguments))

    def for_seconds(self, least: float, most: float) -> None:
        """Let a fault last, however soon the run ends."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.chance.uniform(least, most))


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault. ``excuses`` are the exit codes a run may then end with, besides 0.

    ``weight`` says how often it is chosen, ``places`` where it can happen.
    """

    name: str
    strike: Callable[[Play], None]
    excuses: frozenset[int]
    weight: int = 4
    places: tuple[str, ...] = (ALONE, THREE)


def kill(play: Play) -> None:
    play.process.kill()


def stop(play: Play) -> None:
    play.process.terminate()


def freeze(play: Play) -> None:
    play.process.send_signal(signal.SIGSTOP)
    time.sleep(play.chance.uniform(0.5, 3))
    thaw(play.process)


def takeover(play: Play) -> None:
    """Freeze the run past its lease; another takes over, and is the one at work from then on."""
    frozen = play.process
    until(lambda: frozen.poll() is not None or _holds(frozen, play.db), HOLD_SECONDS, "a lease")
    frozen.send_signal(signal.SIGSTOP)
    if not _holds(frozen, play.db):
        thaw(frozen)
        raise MissedError
    play.process = play.begin("--wait", "5m")
    until(
        lambda: play.process.poll() is not None or not _holds(frozen, play.db),
        TAKEOVER_SECONDS,
        "the takeover",
    )
    thaw(frozen)
    woken = ended(frozen)
    assert woken.code == HELD, str(woken)


def _holds(process: subprocess.Popen[str], db: Database[Any]) -> bool:
    record = lease(db)
    return record is not None and not record["released"] and record["holder"]["pid"] == process.pid


def second(play: Play) -> None:
    # Begun at the same moment it could be the one that runs.
    one = play.process
    until(lambda: one.poll() is not None or _holds(one, play.db), HOLD_SECONDS, "a lease")
    other = ended(play.begin())
    late = other.code == DONE and "is applied already" in other.out
    assert late or other.code == HELD or play.process.poll() is not None, f"a second run ran: {other}"


def server(play: Play) -> None:
    play.place.kill_primary()
    play.for_seconds(0, 3)
    play.place.restore()


def primary(play: Play) -> None:
    play.place.kill_primary()
    play.place.primary()
    play.for_seconds(0, 1)
    play.place.restore()


def stepdown(play: Play) -> None:
    play.place.step_down()


def cut(play: Play) -> None:
    play.stage.proxy.cut()


def cut_in_a_message(play: Play) -> None:
    play.stage.proxy.cut_after(play.chance.randrange(1, 200_000))


def refuse(play: Play) -> None:
    with play.stage.proxy.refusing():
        play.for_seconds(0.2, 4)


def stall(play: Play) -> None:
    with play.stage.proxy.stalled():
        play.for_seconds(0.5, 8)


def delay(play: Play) -> None:
    with play.stage.proxy.delayed(play.chance.uniform(0.005, 0.1)):
        play.for_seconds(0.5, 4)


# A run is killed by SIGTERM only before it listens to it.
SIGNALS = -signal.SIGKILL, -signal.SIGTERM
KILLED, STOPPED, LOST = frozenset(SIGNALS[:1]), frozenset((AGAIN, *SIGNALS[1:])), frozenset((FAILED, AGAIN))
NONE: frozenset[int] = frozenset()

BLOWS = (
    Blow("kill", kill, KILLED, 12),
    Blow("stop", stop, STOPPED),
    Blow("freeze", freeze, NONE),
    Blow("takeover", takeover, NONE, 2),
    Blow("second", second, NONE),
    Blow("server", server, LOST, places=(ALONE,)),
    Blow("primary", primary, LOST, places=(THREE,)),
    Blow("stepdown", stepdown, LOST, places=(THREE,)),
    Blow("cut", cut, LOST, places=(ALONE,)),
    Blow("cut in a message", cut_in_a_message, LOST, places=(ALONE,)),
    Blow("refuse", refuse, LOST, places=(ALONE,)),
    Blow("stall", stall, LOST, places=(ALONE,)),
    Blow("delay", delay, LOST, places=(ALONE,)),
)


def judge(last: Attempt, excuses: frozenset[int]) -> None:
    """See that a run ended as it may after what was done to it, and with a sentence."""
    assert last.code in excuses | {DONE}, f"not to be excused: {last}"
    assert last.code in SIGNALS or last.clean, str(last)
