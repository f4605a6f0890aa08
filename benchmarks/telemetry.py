"""Telemetry: runs that are told of beside runs that are not, alternately, each in a process of its own.

What it costs is less than two runs differ by chance, so that it is timed inside, too; how is ``telling``'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.rounds import in_turn, ran
from benchmarks.telling import WAYS, Told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Result, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """One shape: its runs that were told of and those that were not, one of each a round."""

    shape: str
    documents: int
    told: Sequence[Told]
    untold: Sequence[Told]

    @property
    def ratios(self) -> list[float]:
        """How many times as long a run took that was told of, by round."""
        return [one.seconds / other.seconds for one, other in zip(self.told, self.untold, strict=True)]

    @property
    def seconds(self) -> float:
        """How long a run takes that is told of, at the median."""
        return median(run.seconds for run in self.told)

    @property
    def cpu_share(self) -> float:
        """The share of a run's time that telemetry's own work takes, at the median."""
        return median(run.cpu / run.seconds for run in self.told)

    @property
    def own_share(self) -> float:
        """The same with what it waits for: the server that keeps the record, its turn among the threads."""
        return median(run.own / run.seconds for run in self.told)


def measure(target: Target, result: Result, rounds: int) -> Telemetry:
    """Run with and without for some rounds, every other one backwards."""
    runs: dict[str, list[Told]] = {way: [] for way in WAYS}
    for way in in_turn([*WAYS], rounds):
        runs[way].append(_once(target, result, way))
    return Telemetry(shape=result.shape.name, documents=result.documents, **runs)


def _once(target: Target, result: Result, way: str) -> Told:
    told = Told(**ran(target, result, way, "benchmarks.telling"))
    spent = f"{told.seconds:.2f} s, of which telemetry {1_000 * told.cpu:.1f} ms"
    target.say(f"{result.shape.name} {way}: {spent}")
    return told
