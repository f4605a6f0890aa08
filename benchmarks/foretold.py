"""Foretold: what a profile and its tuning say of a run, next to runs with what they ask for.

The profile is made of 2,000 documents, with chunks committed to a scratch collection. Then the command itself
runs inside the memory that was recommended, as the kernel enforces it, several times; and the smallest memory
that works is found by bisection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import kernel, stage
from benchmarks.way import MIGRATIONS, WRITERS
from chunkmigrate.migration import discover, find
from chunkmigrate.profiler import Asked, profiler_of
from chunkmigrate.tuning import tune
from chunkmigrate.units import MI

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.kernel import Confined
    from benchmarks.rounds import Result, Target
    from chunkmigrate.limits import Limiter

SAMPLE = 2_000

# Less than a process that has done nothing yet, in MiB.
TOO_LITTLE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Foretold:
    """What was foretold of a shape, and what came: bytes and seconds.

    ``smallest`` is the least memory in which it works; None where that was not looked for.
    """

    shape: str
    documents: int
    profile_seconds: float
    request: int
    peak: int
    seconds: float
    runs: Sequence[Confined]
    smallest: int | None

    @property
    def enough(self) -> int:
        """In how many runs the request was enough."""
        return sum(run.exit_code == 0 for run in self.runs)

    @property
    def measured_peak(self) -> float:
        """The peak of a run, at the median."""
        return median(float(run.told.get("peak", 0)) for run in self.runs)

    @property
    def measured_seconds(self) -> float:
        """The duration of a run, at the median."""
        return median(float(run.told.get("seconds", 0)) for run in self.runs)


def foretold(target: Target, result: Result, limits: Limiter, *, runs: int, bisect: bool) -> Foretold:
    """Profile a shape, tune it, and see what comes of that."""
    stage.put_back(target.database, result.shape)
    asked = Asked(
        migration=find(discover(MIGRATIONS), result.shape.name),
        uri=target.uri,
        database=target.database.name,
        writers=WRITERS,
        sample=SAMPLE,
        sweep=True,
        memray=False,
        say=lambda _: None,
    )
    profile = profiler_of(asked).profile()
    tuning = tune(profile, [])
    request = tuning.tuned.memory
    confined = [kernel.confined(target, result, limits, request) for _ in range(runs)]
    low, high = tuning.seconds or (0.0, 0.0)
    return Foretold(
        shape=result.shape.name,
        documents=result.documents,
        profile_seconds=profile.seconds,
        request=request,
        peak=tuning.peak or 0,
        seconds=math.sqrt(low * high),
        runs=confined,
        smallest=_smallest(target, result, limits, request) if bisect else None,
    )


def _smallest(target: Target, result: Result, limits: Limiter, enough: int) -> int:
    """Return the least memory in which a run ends well, in whole mebibytes."""
    low, high = TOO_LITTLE, enough // MI
    while high - low > 1:
        middle = (low + high) // 2
        if kernel.confined(target, result, limits, middle * MI).exit_code:
            low = middle
        else:
            high = middle
    return high * MI
