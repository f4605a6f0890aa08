"""The profiler: what a migration takes, found out on a sample, without a document changed.

It asks for one part after the other, each in a process of its own, and puts them together: sizes and stages,
the lines of the author's functions, the smallest budget the loop holds, chunks of several sizes. What to make
of a profile is ``tuning``'s business.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import bson
import msgspec
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from chunkmigrate import profiles, sizing
from chunkmigrate.errors import InvalidSettingError, ProfileError, UsageError
from chunkmigrate.profiles import ENCODE_PATH, FORMAT, SCRATCH, Point, Profile
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from chunkmigrate.migration import Migration

# Starts the way a run does, with what a run has imported: its memory before the first document is a run's.
_PART = "import chunkmigrate.cli, chunkmigrate.profile_part as part; part.main()"

# A part ends by itself in seconds; one that does not hangs, in the author's code for one.
PART_SECONDS = 120.0

# So long a profile may take; what is not measured by then is left out, but for the first of each kind.
PROFILE_SECONDS = 30.0

# Budgets are tried from the least a run takes, a tenth more each time: the smallest that holds is then known
# within a tenth.
LADDER = 1.1
MOST_BUDGETS = 24

CHUNKS = (1_000, 500, 250, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be profiled, and how. ``say`` is told what is being done."""

    migration: Migration
    uri: str
    database: str
    writers: int
    sample: int
    sweep: bool
    memray: bool
    say: Callable[[str], None]


@dataclass(slots=True)
class Profiler:
    """Makes one profile."""

    asked: Asked
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def profile(self) -> Profile:
        """Measure everything. Raises `ProfileError` and `UsageError` for what cannot be measured."""
        counted = self._part("counted")
        if not counted["steps"]:
            name = self.asked.migration.name
            raise ProfileError(f"upgrade(db) of {name} returns no Backfill: there is nothing to profile.")
        steps = [self._step(number, counted["rss"]) for number in range(counted["steps"])]
        if self.asked.memray:
            self._flamegraph()
        return Profile(
            format=FORMAT,
            migration=self.asked.migration.name,
            checksum=self.asked.migration.checksum,
            version=version("chunkmigrate"),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            writers=self.asked.writers,
            baseline=counted["rss"],
            seconds=round(self.clock() - self._began, 1),
            steps=tuple(steps),
        )

    def _step(self, number: int, baseline: int) -> profiles.Step:
        self.asked.say(f"step {number + 1}: sizes, stages and lines of {self.asked.sample:,} documents")
        measured = self._part("measured", step=number, size=self.asked.sample)
        writes, sampled = measured.pop("writes"), measured["sampled"]
        sample = {name: measured.pop(name) for name in ("stretches", "spread")}
        size, documents = measured["size"], measured["documents"]
        sample["mean"] = size / documents if size and documents else 0.0
        sweep = [*self._sweep(number, baseline, sample)] if sampled else []
        facts = measured | {"step": number, "writes_per_document": writes / sampled if sampled else 0.0}
        return msgspec.convert(facts | {"sweep": sweep}, profiles.Step)

    def _sweep(self, step: int, baseline: int, sample: Mapping[str, Any]) -> Iterator[Point]:
        held = None
        for point in self._budgets(step, baseline, sample):
            yield point
            held = point if point.held else None
        if held is None:
            return
        for documents in CHUNKS:
            if documents == CHUNKS[0] or self._has_time():
                self.asked.say(f"step {step + 1}: chunks of {documents:,} documents")
                yield self._rehearsed(
                    step,
                    sample,
                    budget=recommended(held.budget),
                    documents=documents,
                    writes=self.asked.sweep,
                )

    def _budgets(self, step: int, baseline: int, sample: Mapping[str, Any]) -> Iterator[Point]:
        """Yield a rehearsal in each budget, until one holds."""
        budget = float(baseline + sizing.LEAST_ROOM + sizing.MIB)
        for _ in range(MOST_BUDGETS):
            self.asked.say(f"step {step + 1}: a budget of {format_bytes(int(budget))}")
            point = self._rehearsed(step, sample, budget=int(budget), documents=CHUNKS[0])
            yield point
            if point.held or not self._has_time():
                return
            budget = max(budget * LADDER, point.peak)

    def _rehearsed(
        self, step: int, sample: Mapping[str, Any], *, budget: int, documents: int, writes: bool = False
    ) -> Point:
        told = self._part(
            "rehearsed",
            step=step,
            **sample,
            budget=budget,
            chunk_documents=documents,
            writes=writes,
            writers=self.asked.writers,
        )
        needs = told.get("needs", 0)
        peak = max(told.get("peak", 0), needs)
        return Point(
            budget=budget,
            chunk_documents=documents,
            chunk_bytes=told.get("chunk_bytes", 0),
            page_bytes=told.get("page_bytes", 0),
            start=told.get("start", 0),
            peak=peak,
            documents=told.get("documents", 0),
            documents_per_second=steady(told, self.asked.writers) if told.get("seconds") else 0.0,
            against=SCRATCH if writes else ENCODE_PATH,
            held=not needs and not told.get("stopped_by") and peak < sizing.STOP * budget,
        )

    def _flamegraph(self) -> None:
        """Measure the first step once more, under memray, and draw what it saw beside the profile."""
        self.asked.say("memray: the first step once more")
        path = profiles.path_of(self.asked.migration).with_suffix(".memray.html")
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="chunkmigrate-memray-") as folder:
            seen = str(Path(folder) / "seen.bin")
            self._part("measured", step=0, size=self.asked.sample, under=("run", "--quiet", "--output", seen))
            command = [*_MEMRAY, "flamegraph", "--force", "--output", str(path), seen]
            drawn = subprocess.run(command, capture_output=True, check=False)
        if drawn.returncode:
            message = f"memray could not draw: {_last(drawn.stderr)}."
            raise ProfileError(message)

    def _has_time(self) -> bool:
        return self.clock() - self._began < PROFILE_SECONDS

    def _part(self, part: str, *, under: Sequence[str] = (), **more: Any) -> dict[str, Any]:
        """Ask a process for one part, ``under`` memray if at all. An error there is an error here."""
        asked = {
            "part": part,
            "uri": self.asked.uri,
            "database": self.asked.database,
            "folder": str(self.asked.migration.path.parent),
            "migration": self.asked.migration.name,
        }
        command = [*_MEMRAY, *under, "-c", _PART] if under else [sys.executable, "-c", _PART]
        try:
            ended = subprocess.run(
                command,
                input=bson.encode(asked | more),
                capture_output=True,
                timeout=PART_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"One part of the profile took over {PART_SECONDS:.0f} s. Nothing was changed."
            raise ProfileError(message) from error
        return _told(ended)


def steady(told: Mapping[str, Any], writers: int) -> float:
    """Return the documents a second that a long run would reach, from passes over a few chunks.

    A pass begins with a chunk that is built while nothing is written, and ends with one that is written while
    nothing is built. In a long run the two go on beside each other, and the slower one sets the pace.
    """
    documents, seconds = told["documents"], told["seconds"]
    if not documents or not told["chunks"]:
        return 0.0
    building = (seconds - told["committing"] / told["chunks"] * told["passes"]) / documents
    committing = told["committing"] / writers / documents
    return float(1 / max(building, committing, seconds / documents / 4))


def recommended(budget: int) -> int:
    """Return the memory to ask for where ``budget`` was the smallest that held, in whole mebibytes."""
    return math.ceil(budget * 1.15 / sizing.MIB) * sizing.MIB


def check_memray() -> None:
    """Raise `InvalidSettingError` where memray is not installed."""
    if find_spec("memray") is None:
        message = "--memray needs memray, which is not installed: pip install memray."
        raise InvalidSettingError(message)


def _last(said: bytes) -> str:
    return said.decode(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


_MEMRAY = (sys.executable, "-m", "memray")
_RAW = CodecOptions(document_class=RawBSONDocument)


def _told(ended: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    if ended.returncode:
        how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit {ended.returncode}"
        message = f"One part of the profile ended with {how}: {_last(ended.stderr)}. Nothing was changed."
        raise ProfileError(message)
    told: dict[str, Any] = bson.decode(ended.stdout)
    if "error" in told:
        raise (UsageError if told["usage"] else ProfileError)(told["error"])
    if "stretches" in told:  # their ends are positions: decoding would lose some types
        told["stretches"] = bson.decode(ended.stdout, _RAW)["stretches"]
    return told
