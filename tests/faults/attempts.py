"""Attempts: run the real command line, hurt it, and run it again, as a Job's controller does."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults.kinds import NAME
from tests.faults.oracle import difference, insert

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine
    from tests.faults.kinds import Kind

DONE, FAILED, HELD, AGAIN = 0, 1, 5, 75
KILLED = -signal.SIGKILL

# No attempt of a test's takes that long; one that does hangs.
ATTEMPT_SECONDS = 180.0

# To start takes a run 0.4 to 0.8 s, and to work 0.3 to 1 s: most kills come while it works, every fourth
# anywhere.
KILL_WITHIN = 0.5
START_WITHIN = 1.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out[-2_000:]}\n{self.err[-4_000:]}"

    @property
    def clean(self) -> bool:
        """Whether it ended by itself, as promised: done, or with a sentence and no traceback."""
        told = "Error: " in self.err or '"message"' in self.out
        return self.code in (DONE, FAILED, AGAIN) and "Traceback" not in self.err and (not self.code or told)


@contextmanager
def running(
    cli: CommandLine, *arguments: str, verb: str = "run", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A run of the migration, or a rollback, in a process that is gone at the end of the block."""
    process = cli.start(verb, NAME, *arguments, **environment)
    try:
        yield process
    finally:
        process.kill()
        with suppress(ValueError):  # its output was read to the end already
            process.communicate()


def ended(process: subprocess.Popen[str]) -> Attempt:
    """Wait for the end of a process."""
    try:
        out, err = process.communicate(timeout=ATTEMPT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        hung = Attempt(KILLED, *process.communicate())
        message = f"a run still hung after {ATTEMPT_SECONDS:g} s: {hung}"
        raise AssertionError(message) from None
    return Attempt(process.returncode, out, err)


def attempt(cli: CommandLine, *arguments: str, **environment: str) -> Attempt:
    """Run the migration once, undisturbed."""
    with running(cli, *arguments, **environment) as process:
        return ended(process)


def finish(cli: CommandLine, *arguments: str, most: int = 3, **environment: str) -> list[Attempt]:
    """Run until it is done; every attempt before must have ended cleanly, and there may be ``most``."""
    attempts: list[Attempt] = []
    while not attempts or attempts[-1].code != DONE:
        assert len(attempts) < most, f"not done after {most} attempts: {attempts[-1]}"
        attempts.append(attempt(cli, *arguments, **environment))
        assert attempts[-1].clean, str(attempts[-1])
    return attempts


def begun(process: subprocess.Popen[str]) -> bool:
    """Wait until the process says that its run has started; False where it ended without."""
    assert process.stdout is not None
    return any('"started"' in line for line in process.stdout)


def killed(cli: CommandLine, chance: random.Random, *arguments: str, verb: str = "run") -> bool:
    """Start a run and SIGKILL it at a random moment; whether that came before its end."""
    with running(cli, "--writers", str(chance.randint(1, 4)), *arguments, verb=verb) as process:
        moment = chance.uniform(0, KILL_WITHIN)
        if chance.random() < 0.25:
            moment = chance.uniform(0, START_WITHIN)
        else:
            begun(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.kill()
        last = ended(process)
    assert last.code in (DONE, KILLED), str(last)
    return last.code == KILLED


def sweep(
    cli: CommandLine, db: Database[Any], kind: Kind, chance: random.Random, *, kills: int, documents: int
) -> int:
    """Kill runs of one kind of migration that often, and compare whenever the data were done.

    Runs that end before they can be killed begin anew, on other data; return how often the data were done.
    """
    cli.write(kind.source, NAME)
    finished = 0
    while kills:
        db.client.drop_database(db.name)
        data = kind.seed(chance, documents)
        insert(db, data)
        while kills and killed(cli, chance):
            kills -= 1
        finish(cli, most=1)
        told = difference(db, kind.expected(data))
        assert not told, told
        finished += 1
    return finished
