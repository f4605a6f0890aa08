"""The command: ``python -m benchmarks [--rounds N] [--scale F] [--shapes a,b]``.

It ends with 1 where a bar was missed, behind a sentence for each.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks import bars, kernel, stage, tables, telemetry
from benchmarks.foretold import foretold
from benchmarks.rounds import Result, Target, measure, once
from benchmarks.shapes import SHAPES
from benchmarks.way import WAYS
from chunkmigrate import limits, mongod, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.foretold import Foretold
    from benchmarks.kernel import Confined
    from benchmarks.shapes import Shape
    from benchmarks.telemetry import Telemetry
    from chunkmigrate.limits import Limiter

DATABASE = "chunkmigrate_benchmarks"
WIDTH = 180

# A server keeps what documents were for five minutes. A collection that was put back again and again would
# have a history no migrated one has, and updating it took three times as long, whichever way.
WITHOUT_HISTORY = ("--setParameter", "minSnapshotHistoryWindowInSeconds=0")

# A server has its data in memory, as far as it can: half of it is mongod's own default. With the half
# gigabyte that a test server gets, every way waits for the server's cache, and the table shows the cache.
CACHE = (mongod.CACHE, "4")

# All writes of a million documents in one list take over a gigabyte and a minute: once is enough to see it.
ONCE = {"tiny": ("loop",)}
GROWS, GROWS_FROM = "tiny", 50_000

# What is measured. An option for one of them leaves out those that have none.
COMPARED, FORETOLD, TELEMETRY = "compared", "foretold", "telemetry"


@dataclass(kw_only=True, slots=True)
class Bench:
    """What is measured, and what was."""

    target: Target
    rounds: int
    scale: float
    parts: frozenset[str]
    results: list[Result] = field(default_factory=list)
    grown: list[Result] = field(default_factory=list)
    confined: list[Confined] = field(default_factory=list)
    foretold: list[Foretold] = field(default_factory=list)
    telemetry: list[Telemetry] = field(default_factory=list)
    requests: int = 0

    def run(self, shapes: Sequence[Shape]) -> None:
        """Measure the shapes, one after the other, each alone on the server."""
        limiter = limits.available()
        for shape in shapes:
            if shape.name == GROWS and COMPARED in self.parts:
                self._grow(shape)
            with self._filled(shape, shape.count(self.scale)) as result:
                if COMPARED in self.parts:
                    self._compare(result)
                    run = kernel.confined(self.target, result, limiter) if limiter else None
                    self.confined.append(run or kernel.unconfined(self.target, result))
                if limiter and FORETOLD in self.parts:
                    self._foretell(result, limiter)
                if TELEMETRY in self.parts:
                    self.telemetry.append(telemetry.measure(self.target, result, self.rounds))

    def _foretell(self, result: Result, limiter: Limiter) -> None:
        runs = max(self.requests, self.rounds)
        row = foretold(self.target, result, limiter, runs=runs, bisect=bool(self.requests))
        self.foretold.append(row)

    def _compare(self, result: Result) -> None:
        self.results.append(result)
        name = result.shape.name
        rare = ONCE.get(name, ())
        for way in rare:
            result.runs[way] = [once(self.target, result, way)]
        measure(self.target, result, [way for way in WAYS if way not in rare], self.rounds)
        if name == GROWS:
            self.grown.append(result)

    def _grow(self, shape: Shape) -> None:
        with self._filled(shape, max(1, round(GROWS_FROM * self.scale))) as result:
            measure(self.target, result, ["chunkmigrate"], self.rounds)
            self.grown.append(result)

    @contextmanager
    def _filled(self, shape: Shape, count: int) -> Iterator[Result]:
        self.target.say(f"{shape.name}: storing {count:,} documents")
        try:
            yield Result(shape=shape, documents=count, size=stage.fill(self.target.database, shape, count))
        finally:
            self.target.database.drop_collection(shape.name)


def main() -> None:
    """Run what was asked for, print it, and end with 1 where a bar was missed."""
    options = _options()
    began = time.monotonic()
    with ExitStack() as stack:
        uri = os.environ.get("MONGODB_URI") or stack.enter_context(
            mongod.embedded(arguments=[*WITHOUT_HISTORY, *CACHE])
        )
        client = stack.enter_context(server.connect(uri))
        stack.callback(client.drop_database, DATABASE)
        client.drop_database(DATABASE)
        target = Target(uri=uri, database=client[DATABASE], say=_say(began))
        bench = Bench(
            target=target,
            rounds=options.rounds,
            scale=options.scale,
            requests=options.requests,
            parts=frozenset(options.parts or (COMPARED, FORETOLD, TELEMETRY)),
        )
        bench.run(options.shapes)
    _print(bench)
    if missed := [*bars.missed(bench.foretold), *bars.costly(bench.telemetry)]:
        sys.exit("\n".join(missed))


def _print(bench: Bench) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if bench.foretold:
        console.print(tables.foretold(bench.foretold))
    if bench.telemetry:
        console.print(tables.telemetry(bench.telemetry))
    if COMPARED not in bench.parts:
        return
    console.print(tables.compared(bench.results, bench.rounds))
    if bench.grown:
        console.print(tables.growth(bench.grown))
    if any(row.limit for row in bench.confined):
        console.print(tables.limits(bench.confined))
    else:
        console.print("This machine sets no memory limits, so nothing was run inside one.")
    console.print(tables.starts_with(bench.confined))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare ways to make a change."
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each way runs [3]")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many documents [1]")
    for part, text in ((FORETOLD, "profile, tune, and run so"), (TELEMETRY, "time what telemetry costs")):
        parser.add_argument(f"--{part}", dest="parts", action="append_const", const=part, help=f"only {text}")
    parser.add_argument(
        "--requests", type=int, default=0, help="so many runs in the tuned request, and find the smallest [0]"
    )
    names = ",".join(shape.name for shape in SHAPES)
    parser.add_argument("--shapes", type=_shapes, default=SHAPES, help=f"some of {names} [all]")
    return parser.parse_args()


def _shapes(names: str) -> tuple[Shape, ...]:
    known = {shape.name: shape for shape in SHAPES}
    try:
        return tuple(known[name] for name in names.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"there is no shape {error.args[0]}") from error


def _say(began: float) -> Callable[[str], None]:
    return lambda text: print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
