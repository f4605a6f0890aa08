"""Groups: several workers on one migration, of which some are killed, or all of them at once."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

from tests.faults.attempts import DONE, KILLED, attempt, ended, running
from tests.faults.kinds import NAME
from tests.faults.oracle import difference, insert
from tests.faults.waiting import until

if TYPE_CHECKING:
    import random

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine
    from tests.faults.kinds import Kind

WORKERS = ("--workers", "4", "--memory", "512Mi")
# Long enough for four processes to start and for some to be at work; some kills come before that.
KILL_WITHIN = 1.5
GONE_SECONDS = 60.0


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the workers that a process has started and that are there."""
    with suppress(psutil.Error):
        return psutil.Process(process.pid).children()
    return []


def sweep(
    cli: CommandLine, db: Database[Any], kind: Kind, chance: random.Random, *, kills: int, documents: int
) -> int:
    """Kill workers of one kind of migration that often, and compare whenever the data were done.

    Every fifth time it is the process that has started them. Return how often the data were done.
    """
    cli.write(kind.source, NAME)
    finished = 0
    while kills > 0:
        db.client.drop_database(db.name)
        data = kind.seed(chance, documents)
        insert(db, data)
        while kills > 0 and (killed := _killed(cli, chance, kills)):
            kills -= killed
        last = attempt(cli, *WORKERS)
        assert last.code == DONE, str(last)
        told = difference(db, kind.expected(data))
        assert not told, told
        finished += 1
    return finished


def _killed(cli: CommandLine, chance: random.Random, most: int) -> int:
    """Start workers and kill some of them; return how many, and 0 where they had done all before."""
    killed = 0
    with running(cli, *WORKERS) as process:
        while killed < most and not _over(process, chance.uniform(0, KILL_WITHIN)):
            living = workers(process)
            if chance.random() < 0.2:
                process.kill()
                killed += 1
                break
            if living:
                chance.choice(living).kill()
                killed += 1
        last = ended(process)
    # Those that were orphaned end by themselves, and what they have left is what the next ones go on with.
    until(lambda: not _orphans(cli), GONE_SECONDS, "the end of the orphans")
    assert last.code in (DONE, KILLED), str(last)
    return killed


def _over(process: subprocess.Popen[str], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _orphans(cli: CommandLine) -> list[int]:
    """Return the processes of the command line's folder that nobody has started who is still there."""
    found = []
    for one in psutil.process_iter(["ppid", "cmdline", "cwd"]):
        ours = one.info["cwd"] == str(cli.folder) and NAME in (one.info["cmdline"] or [])
        if ours and one.status() != psutil.STATUS_ZOMBIE:
            found.append(one.pid)
    return found
