"""The profiler: what a migration takes, found out on a sample, without a document changed.

It asks for one part after the other, each in a process of its own, and puts them together: sizes and stages,
the lines of the author's functions, the smallest budget the loop holds, chunks of several sizes. What to make
of a profile is ``tuning``'s business.
"""

from __future__ import annotations

import math
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from chunkmigrate import printing, profiles, scratch, sizing
from chunkmigrate.errors import (
    ChunkmigrateError,
    InvalidSettingError,
    ProfileError,
    UnmeasuredError,
)
from chunkmigrate.parts import MEMRAY, Processes, last_class
from chunkmigrate.profiles import ENCODE_PATH, FORMAT, SCRATCH, Point, Profile
from chunkmigrate.saying import said
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from chunkmigrate.migration import Migration
    from chunkmigrate.profiles import Against

# A profile takes less than half a minute, of which its command needs a second to begin. What `tune` can do
# without is begun only where it will be over by then.
PROFILE_SECONDS = 29.0

# A rehearsal takes four seconds at most, which the steps share, and a process's start. Where one was long
# enough to tell, the next one takes as long, give or take a fifth: its process shares the machine.
REHEARSAL_SECONDS, START_SECONDS = 4.0, 1.0
ABOUT = 1.2

# Budgets are tried from the least a run takes, a tenth more each time: the smallest that holds is then known
# within a tenth.
LADDER = 1.1
MOST_BUDGETS = 24

CHUNKS = (1_000, 500, 250, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be profiled, and how. ``say`` is told what is being done, ``warn`` what could not be."""

    migration: Migration
    uri: str
    database: str
    writers: int
    sample: int
    sweep: bool
    memray: bool
    say: Callable[[str], None]
    warn: Callable[[str], None] = printing.warn


@dataclass(slots=True)
class Profiler:
    """Makes one profile. ``ask`` answers what is asked of one part, given its name and more."""

    asked: Asked
    ask: Callable[..., dict[str, Any]]
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _end: float = field(init=False)
    _until: float = field(init=False)
    _rehearsal: float = field(init=False)
    _longest: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._end = self._until = self._began + PROFILE_SECONDS

    def profile(self) -> Profile:
        """Measure everything. Raises `ChunkmigrateError` for what cannot be measured."""
        counted = self.ask("counted")
        if not counted["steps"]:
            name = self.asked.migration.name
            raise ProfileError(f"upgrade(db) of {name} returns no Backfill: there is nothing to profile.")
        if not counted["reading"]:
            raise ProfileError(self._only_server(counted["rss"]))
        steps = [*self._steps(counted["reading"], counted["rss"])]
        made = self._made(counted["rss"], steps)
        if self.asked.memray:
            # Kept first: what follows runs the author's code once more, and may never come to an end.
            profiles.save(made, profiles.path_of(self.asked.migration))
            self._drawn(counted["reading"][0])
        return made

    def _made(self, baseline: int, steps: Sequence[profiles.Step]) -> Profile:
        return Profile(
            format=FORMAT,
            migration=self.asked.migration.name,
            checksum=self.asked.migration.checksum,
            version=version("chunkmigrate"),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            writers=self.asked.writers,
            baseline=baseline,
            seconds=round(self.clock() - self._began, 1),
            steps=tuple(steps),
        )

    def _only_server(self, baseline: int) -> str:
        return (
            f"{self.asked.migration.name} leaves its documents to the server (server=): none reaches this "
            "process, so there is nothing to profile. Whatever the documents are, run it with "
            f"--memory {quantity(baseline + sizing.LEAST_ROOM)}."
        )

    def _steps(self, reading: Sequence[int], baseline: int) -> Iterator[profiles.Step]:
        """Yield each step; it has its part of the time that those in front of it have left."""
        self._rehearsal = REHEARSAL_SECONDS / len(reading) + START_SECONDS
        for place, number in enumerate(reading):
            now = self.clock()
            self._until, self._longest = now + (self._end - now) / (len(reading) - place), 0.0
            yield self._step(number, baseline)

    def _step(self, number: int, baseline: int) -> profiles.Step:
        self.asked.say(f"step {number + 1}: sizes, stages and lines of {self.asked.sample:,} documents")
        measured = self.ask("measured", step=number, size=self.asked.sample)
        writes, sampled = measured.pop("writes"), measured["sampled"]
        each = {"step": number, "sample": measured.pop("sample")}
        sweep = [*self._sweep(each, baseline, _mean(measured))] if sampled else []
        facts = measured | {"step": number, "writes_per_document": writes / max(1, sampled)}
        return msgspec.convert(facts | {"sweep": sweep}, profiles.Step)

    def _sweep(self, each: Mapping[str, Any], baseline: int, mean: float) -> Iterator[Point]:
        """Yield the budgets that were tried, and then chunks of several sizes in the one to recommend."""
        held = None
        for point in self._budgets(each, baseline):
            yield point
            held = point if point.held else None
        if held is None:
            return
        budget = recommended(held.budget)
        yield from self._committed(each, budget, mean) if self.asked.sweep else self._encoded(each, budget)

    def _budgets(self, each: Mapping[str, Any], baseline: int) -> Iterator[Point]:
        """Yield a rehearsal in each budget, until one holds."""
        budget = float(baseline + sizing.LEAST_ROOM + sizing.MIB)
        for _ in range(MOST_BUDGETS):
            self._say(each, f"a budget of {format_bytes(int(budget))}")
            point = self._rehearsed(each, int(budget), CHUNKS[0])
            yield point
            # One that found too little may be over at once, and says nothing of how long the next one takes.
            if point.held or not self._fits(max(self._rehearsal, self._longest)):
                return
            budget = max(budget * LADDER, point.peak)

    def _encoded(self, each: Mapping[str, Any], budget: int) -> Iterator[Point]:
        for documents in CHUNKS:
            if self._fits(ABOUT * self._longest):
                self._say(each, f"chunks of {documents:,} documents")
                yield self._rehearsed(each, budget, documents)

    def _rehearsed(self, each: Mapping[str, Any], budget: int, documents: int) -> Point:
        began = self.clock()
        taken = self.ask("rehearsed", **each, budget=budget, chunk_documents=documents)
        self._longest = max(self._longest, self.clock() - began)
        return _point(taken, budget, documents)

    def _committed(self, each: Mapping[str, Any], budget: int, mean: float) -> Iterator[Point]:
        self._say(each, "chunks of several sizes, committed to a scratch collection")
        name, began = scratch.new_name(), self.clock()
        asked: dict[str, Any] = {"budget": budget, "chunks": CHUNKS, "mean": mean, "scratch": name}
        try:
            swept = self.ask("swept", **each, **asked)
        except BaseException:
            # Whatever has ended it may have kept it from clearing up.
            with suppress(ChunkmigrateError):
                self.ask("cleared", scratch=name)
            raise
        # Whoever asks for a sweep waits for it: the steps behind it have as long as without.
        self._end += self.clock() - began
        for point in swept["points"]:
            yield _point(point, budget, point["chunk_documents"], SCRATCH)

    def _drawn(self, number: int) -> None:
        """Draw a flamegraph of a step. Where that fails the profile is as good without, and that is said."""
        try:
            self._flamegraph(number)
        except ChunkmigrateError as error:
            self.asked.warn(f"There is no flamegraph. {said(error)} The profile is complete.")

    def _flamegraph(self, number: int) -> None:
        """Measure a step once more, under memray, and draw what it saw beside the profile."""
        self.asked.say(f"memray: step {number + 1} once more")
        path = profiles.path_of(self.asked.migration).with_suffix(".memray.html")
        with TemporaryDirectory(prefix="chunkmigrate-memray-") as folder:
            seen = str(Path(folder) / "seen.bin")
            under = ("run", "--quiet", "--output", seen)
            self.ask("measured", step=number, size=self.asked.sample, under=under)
            command = [*MEMRAY, "flamegraph", "--force", "--output", str(path), seen]
            drawn = subprocess.run(command, capture_output=True, check=False)
        if drawn.returncode:
            raise UnmeasuredError(
                f"memray could not draw{last_class(drawn.stderr)}. No document was changed."
            )

    def _say(self, each: Mapping[str, Any], what: str) -> None:
        self.asked.say(f"step {each['step'] + 1}: {what}")

    def _fits(self, seconds: float) -> bool:
        return self.clock() + seconds < self._until


def profiler_of(asked: Asked) -> Profiler:
    """Return the profiler whose parts are processes."""
    processes = Processes(
        migration=asked.migration, uri=asked.uri, database=asked.database, writers=asked.writers
    )
    return Profiler(asked, processes)


def recommended(budget: int) -> int:
    """Return the memory to ask for where ``budget`` was the smallest that held, in whole mebibytes."""
    return math.ceil(budget * 1.15 / sizing.MIB) * sizing.MIB


def check_memray(find: Callable[[str], object] = find_spec) -> None:
    """Raise `InvalidSettingError` where memray is not installed; ``find`` tells of a module."""
    if find("memray") is None:
        message = "--memray needs memray, which is not installed: pip install memray."
        raise InvalidSettingError(message)


def _point(taken: Mapping[str, Any], budget: int, documents: int, against: Against = ENCODE_PATH) -> Point:
    needs = taken["needs"]
    peak = max(taken.get("peak", 0), needs)
    return Point(
        budget=budget,
        chunk_documents=documents,
        chunk_bytes=taken.get("chunk_bytes", 0),
        page_bytes=taken.get("page_bytes", 0),
        start=taken.get("start", 0),
        peak=peak,
        documents=taken.get("documents", 0),
        documents_per_second=taken.get("pace"),
        against=against,
        # A rehearsal may also end because its time is over: what it saw held.
        held=not needs and taken["stopped_by"] != "memory" and peak < sizing.STOP * budget,
    )


def _mean(measured: Mapping[str, Any]) -> float:
    """Return the mean bytes that are read of a document of all that match; 0 where that is not known."""
    size, documents = measured["size"], measured["documents"]
    return size / documents if size and documents else 0.0
