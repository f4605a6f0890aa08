"""The soak: seeded random faults for a given time, and what was survived.

``python -m tests.soak --minutes 20 --seed 1`` kills 200 runs and 100 workers, takes 12 migrations there and
back, starts 100 pairs together, and then plays random rounds until the time is over. The first thing that is
not as promised ends it with exit code 1, and with the command that repeats it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.faults.kinds import KINDS
from tests.faults.undoing import UNDONE
from tests.soak.rounds import group_kills, kills, races, random_round, undos
from tests.soak.stage import Stage, stage
from tests.soak.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLS = 200
RACES = 100
UNDOS = 12


def main() -> int:
    """Soak as the command line says."""
    options, console, tally = _options(), Console(highlight=False, soft_wrap=True), Tally()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(1)
    )  # so that the servers and the folder are cleared away
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="chunkmigrate-soak-", ignore_cleanup_errors=True) as folder,
        stage(Path(folder)) as servers,
    ):
        for repeat, part in _parts(options, servers, tally):
            try:
                console.print(part(), markup=False)
            except Exception as error:
                if not isinstance(error, AssertionError):
                    console.print_exception()
                console.print(error, markup=False)
                console.print(f"Failed. To repeat it: python -m tests.soak {repeat}", markup=False)
                return 1
    minutes = (time.monotonic() - began) / 60
    console.print(tally.table(f"Survived in {minutes:.0f} minutes, seed {options.seed}"))
    return 0


def _parts(
    options: argparse.Namespace, servers: Stage, tally: Tally
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield what is to be done, each with the arguments that repeat it."""
    if options.round is not None:
        yield f"--round {options.round}", partial(random_round, options.round, servers, tally)
        return
    seed = options.seed
    for number, kind in enumerate(KINDS):
        share = options.kills // len(KINDS) + (number < options.kills % len(KINDS))
        repeat = f"--seed {seed} --kills {options.kills} --undos 0 --races 0 --minutes 0"
        if share:
            yield repeat, partial(kills, seed, kind, share, servers, tally)
            yield repeat, partial(group_kills, seed, kind, max(1, share // 2), servers, tally)
    repeat = f"--seed {seed} --kills 0 --undos {options.undos} --races 0 --minutes 0"
    for kind in UNDONE if options.undos else ():
        yield repeat, partial(undos, seed, kind, -(-options.undos // len(UNDONE)), servers, tally)
    repeat = f"--seed {seed} --kills 0 --undos 0 --races {options.races} --minutes 0"
    if options.races:
        yield repeat, partial(races, seed, options.races, servers, tally)
    rounds, deadline = seed * 1_000_000, time.monotonic() + 60 * options.minutes
    while time.monotonic() < deadline:
        rounds += 1
        yield f"--round {rounds}", partial(random_round, rounds, servers, tally)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=20, help="how long to play random rounds, after all that [20]"
    )
    parser.add_argument("--seed", type=int, default=1, help="what to begin with [1]")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"runs to kill first [{KILLS}]")
    parser.add_argument("--undos", type=int, default=UNDOS, help=f"rollbacks through undo then [{UNDOS}]")
    parser.add_argument("--races", type=int, default=RACES, help=f"pairs to start together then [{RACES}]")
    parser.add_argument("--round", type=int, help="play only this round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
