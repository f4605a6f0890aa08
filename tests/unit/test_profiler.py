"""The profiler: which parts it asks for, in which order, and how long it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.errors import InvalidSettingError, ProfileError, UnmeasuredError, UsageError
from chunkmigrate.profiler import (
    CHUNKS,
    MOST_BUDGETS,
    PROFILE_SECONDS,
    Asked,
    Profiler,
    check_memray,
    recommended,
)
from chunkmigrate.profiles import ENCODE_PATH, SCRATCH, load
from chunkmigrate.sizing import LEAST_ROOM, MIB
from chunkmigrate.tuning import SPARE, rounded
from tests.unit.measured import migration_in

if TYPE_CHECKING:
    from pathlib import Path

    from chunkmigrate.profiles import Profile

BASELINE = 36 * MIB
SAMPLE = {"long": [], "large": [], "short": []}
MEASURED: dict[str, Any] = {
    "sample": SAMPLE,
    "namespace": "shop.orders",
    "documents": 1_000,
    "size": 30_000,
    "sampled": 500,
    "whole": False,
    "sizes": {"mean": 30, "median": 30, "p95": 30, "max": 30},
    "expansion": 4.0,
    "writes": 250,
    "write_bytes": {"mean": 30, "median": 30, "p95": 30, "max": 30},
    "seconds_per_document": {"read": 0.0, "decode": 0.0, "transform": 0.0, "encode": 0.0},
    "failures": {},
    "functions": [],
}


@dataclass
class Parts:
    """Answers for the processes: budgets of ``holds`` bytes and more hold.

    Each part takes ``seconds``, but for those that ``takes`` names.
    """

    steps: int = 1
    holds: int = 0
    seconds: float = 1.0
    takes: dict[str, float] = field(default_factory=dict)
    needs: int = 0
    sampled: int = 500
    fails: dict[str, BaseException] = field(default_factory=dict)
    by_server: set[int] = field(default_factory=set)
    now: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, part: str, **more: Any) -> dict[str, Any]:
        self.asked.append({"part": part, **more})
        self.now += self.takes.get(part, self.seconds)
        if (failing := "drawn" if "under" in more else part) in self.fails:
            raise self.fails[failing]
        answers: dict[str, Any] = {
            "counted": lambda: {
                "steps": self.steps,
                "reading": sorted({*range(self.steps)} - self.by_server),
                "rss": BASELINE,
            },
            "measured": lambda: {**MEASURED, "sampled": self.sampled},
            "rehearsed": lambda: self._rehearsed(more["budget"]),
            "swept": lambda: {"points": [self._swept(more["budget"], one) for one in more["chunks"]]},
            "cleared": dict,
        }
        answer: dict[str, Any] = answers[part]()
        return answer

    def _rehearsed(self, budget: int) -> dict[str, Any]:
        if budget < self.needs:
            return {"needs": self.needs}
        held = budget >= self.holds
        stopped_by = "" if held else "memory"
        return {
            "needs": 0,
            "stopped_by": stopped_by,
            "peak": budget // 2,
            "documents": 500,
            "pace": 5.0,
        }

    def _swept(self, budget: int, documents: int) -> dict[str, Any]:
        return {**self._rehearsed(budget), "chunk_documents": documents, "pace": 10.0 * documents}

    def all(self, part: str) -> list[dict[str, Any]]:
        return [one for one in self.asked if one["part"] == part]


def asked(folder: Path, *, sweep: bool = False) -> Asked:
    return Asked(
        migration=migration_in(folder),
        uri="",
        database="shop",
        writers=2,
        sample=500,
        sweep=sweep,
        memray=False,
        say=lambda _: None,
    )


def profiled(folder: Path, parts: Parts, *, sweep: bool = False) -> Profile:
    made = Profiler(asked(folder, sweep=sweep), ask=parts, clock=lambda: parts.now)
    return made.profile()


def test_parts(tmp_path: Path) -> None:
    """Each measurement is asked for once, in a process of its own: the sample, a budget, each chunk size."""
    parts = Parts()
    [step] = profiled(tmp_path, parts).steps

    assert [one["part"] for one in parts.asked] == ["counted", "measured", *["rehearsed"] * (1 + len(CHUNKS))]
    assert [point.chunk_documents for point in step.sweep] == [CHUNKS[0], *CHUNKS]
    assert step.writes_per_document == 0.5
    assert {(point.documents_per_second, point.against) for point in step.sweep} == {(5.0, ENCODE_PATH)}
    assert all(one["sample"] == SAMPLE for one in parts.all("rehearsed"))


def test_ladder(tmp_path: Path) -> None:
    """Budgets grow by a tenth from the least a run takes until one holds; chunks are tried a little above."""
    parts = Parts(holds=50 * MIB)
    [step] = profiled(tmp_path, parts).steps
    budgets = [point.budget for point in step.sweep]
    climbed = [point for point in step.sweep if not point.held]

    assert budgets[0] == BASELINE + LEAST_ROOM + MIB
    assert climbed
    assert all(
        after == pytest.approx(1.1 * before, abs=1) for before, after in pairwise(budgets[: len(climbed)])
    )
    smallest = next(point.budget for point in step.sweep if point.held)
    assert 50 * MIB <= smallest < 1.1 * 50 * MIB
    assert {point.budget for point in step.sweep[len(climbed) + 1 :]} == {recommended(smallest)}


def test_needs(tmp_path: Path) -> None:
    """A document that asks for more is believed: the budgets in between are not tried."""
    parts = Parts(needs=300 * MIB)
    [step] = profiled(tmp_path, parts).steps

    assert [point.budget for point in step.sweep][1] == 300 * MIB
    assert (step.sweep[0].held, step.sweep[0].peak) == (False, 300 * MIB)


def test_no_budget(tmp_path: Path) -> None:
    """Where no budget holds the ladder has an end, and no chunk size is tried."""
    parts = Parts(holds=1 << 60, seconds=0.0)
    [step] = profiled(tmp_path, parts).steps

    assert len(step.sweep) == MOST_BUDGETS
    assert not any(point.held for point in step.sweep)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 4.0, 7.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("holds", [0, 50 * MIB, 1 << 60])
def test_time(tmp_path: Path, steps: int, holds: int, seconds: float) -> None:
    """It ends in time, if only what tuning needs does: of each step the sample and one budget."""
    parts = Parts(steps=steps, seconds=seconds, holds=holds)
    profile = profiled(tmp_path, parts)
    needed = (1 + 2 * steps) * seconds

    assert profile.seconds == parts.now <= max(PROFILE_SECONDS, needed)
    assert [step.step for step in profile.steps] == [*range(steps)]
    assert all(step.sweep for step in profile.steps)
    assert needed < PROFILE_SECONDS or parts.now == needed


def test_slow_step(tmp_path: Path) -> None:
    """Where a transform is slow the time is used, and what would end too late is not begun."""
    parts = Parts(takes={"measured": 9.0, "rehearsed": 4.7})
    [step] = profiled(tmp_path, parts).steps

    assert [point.chunk_documents for point in step.sweep] == [CHUNKS[0], *CHUNKS[:2]]
    assert parts.now < PROFILE_SECONDS < 30


def test_quick_step(tmp_path: Path) -> None:
    """What a quick step leaves of its time is for those behind it."""
    parts = Parts(steps=2, seconds=0.5, holds=70 * MIB)
    alone = Parts(steps=2, seconds=2.0, holds=70 * MIB)
    profiled(tmp_path, parts)
    profiled(tmp_path, alone)

    assert len({one["budget"] for one in parts.all("rehearsed") if one["step"] == 1}) > len(
        {one["budget"] for one in alone.all("rehearsed") if one["step"] == 1}
    )


def test_sweep_takes_no_time(tmp_path: Path) -> None:
    """A sweep comes on top: what is measured of the steps behind it is as much as without."""
    with_sweep = Parts(steps=2, holds=50 * MIB, takes={"swept": 40.0})
    without = Parts(steps=2, holds=50 * MIB)
    swept, plain = profiled(tmp_path, with_sweep, sweep=True), profiled(tmp_path, without)

    assert [point.budget for point in swept.steps[1].sweep if not point.held] == [
        point.budget for point in plain.steps[1].sweep if not point.held
    ]
    assert swept.steps[1].sweep[-1].against == SCRATCH


def test_swept(tmp_path: Path) -> None:
    """With a sweep all chunk sizes are committed by one process, in the recommended budget."""
    parts = Parts()
    [step] = profiled(tmp_path, parts, sweep=True).steps
    [swept] = parts.all("swept")

    assert swept["chunks"] == CHUNKS
    assert swept["budget"] == recommended(step.sweep[0].budget)
    assert swept["mean"] == 30.0
    assert {point.against for point in step.sweep[1:]} == {SCRATCH}
    assert [point.documents_per_second for point in step.sweep[1:]] == [
        10.0 * documents for documents in CHUNKS
    ]
    assert parts.all("cleared") == []


@pytest.mark.parametrize("ending", [UnmeasuredError("killed"), UsageError("no"), KeyboardInterrupt()])
def test_cleared(tmp_path: Path, ending: Exception) -> None:
    """However a sweep ends before its time, what it may have left behind is dropped by its name."""
    parts = Parts(fails={"swept": ending})

    with pytest.raises(type(ending)):
        profiled(tmp_path, parts, sweep=True)
    assert [one["scratch"] for one in parts.all("cleared")] == [parts.all("swept")[0]["scratch"]]


def test_not_cleared(tmp_path: Path) -> None:
    """Where it cannot be dropped either, the first failure is the one that is told."""
    parts = Parts(fails={"swept": UsageError("no"), "cleared": UsageError("neither")})

    with pytest.raises(UsageError, match=r"^no$"):
        profiled(tmp_path, parts, sweep=True)


def test_steps(tmp_path: Path) -> None:
    """Each step is measured, and rehearsed by its number."""
    parts = Parts(steps=3, seconds=0.0)
    profile = profiled(tmp_path, parts)

    assert [step.step for step in profile.steps] == [0, 1, 2]
    assert [one["step"] for one in parts.all("measured")] == [0, 1, 2]
    assert {one["step"] for one in parts.all("rehearsed")} == {0, 1, 2}


def drawn(folder: Path, parts: Parts) -> tuple[Profile, list[str]]:
    """A profile with a flamegraph, and what was warned of."""
    warned: list[str] = []
    options = replace(asked(folder), memray=True, warn=warned.append)
    return Profiler(options, ask=parts, clock=lambda: parts.now).profile(), warned


def test_memray(tmp_path: Path) -> None:
    """What is drawn is the first step with a transform: a step of the server's has nothing to show."""
    parts = Parts(steps=3, by_server={0}, seconds=0.5)
    drawn(tmp_path, parts)
    [under] = [one for one in parts.all("measured") if "under" in one]

    assert under["step"] == 1
    assert parts.asked[-1] is under


@pytest.mark.parametrize("failure", [UnmeasuredError("It hangs."), UsageError("It acts by itself.")])
def test_memray_fails(tmp_path: Path, failure: Exception) -> None:
    """Where a flamegraph cannot be made that is said, and the profile is there all the same."""
    made, warned = drawn(tmp_path, Parts(fails={"drawn": failure}))

    assert warned == [f"There is no flamegraph. {failure} The profile is complete."]
    assert load(migration_in(tmp_path)) == made


def test_memray_draws_nothing(tmp_path: Path) -> None:
    """Where memray has seen nothing to draw that is said, too: here no process has run under it."""
    _, warned = drawn(tmp_path, Parts())

    assert len(warned) == 1
    assert "memray could not draw" in warned[0]


def test_memray_is_killed(tmp_path: Path) -> None:
    """Whoever ends it in the middle of a flamegraph keeps the profile."""
    with pytest.raises(KeyboardInterrupt):
        drawn(tmp_path, Parts(fails={"drawn": KeyboardInterrupt()}))

    assert load(migration_in(tmp_path)).steps


def test_no_memray() -> None:
    """Without memray it is said what is missing and how to have it, before anything is measured."""
    with pytest.raises(
        InvalidSettingError, match="--memray needs memray, which is not installed: pip install"
    ):
        check_memray(lambda _: None)
    check_memray(lambda _: "found")


def test_no_document(tmp_path: Path) -> None:
    """A step without documents is not rehearsed, and is in the profile as that."""
    [step] = profiled(tmp_path, Parts(sampled=0)).steps

    assert (step.sampled, step.sweep) == (0, ())


def test_by_server(tmp_path: Path) -> None:
    """A step that the server does alone is left out of a profile; the others keep their numbers."""
    steps = profiled(tmp_path, Parts(steps=3, by_server={1})).steps

    assert [step.step for step in steps] == [0, 2]


def test_only_by_server(tmp_path: Path) -> None:
    """A migration that leaves all to the server is told which memory it needs, whatever its documents."""
    with pytest.raises(ProfileError, match=r"nothing to profile\. .* run it with --memory \d+"):
        profiled(tmp_path, Parts(steps=1, by_server={0}))


def test_no_step(tmp_path: Path) -> None:
    """A migration that returns nothing to do has nothing to profile."""
    with pytest.raises(ProfileError, match="returns no Backfill: there is nothing to profile"):
        profiled(tmp_path, Parts(steps=0))


@pytest.mark.parametrize("budget", [1, 44 * MIB, 45 * MIB + 7, 1 << 40])
def test_recommended(budget: int) -> None:
    """Chunk sizes are tried in the memory that tuning will recommend."""
    assert recommended(budget) == rounded((1 + SPARE) * budget)
    assert recommended(budget) % MIB == 0
