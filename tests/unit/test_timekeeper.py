"""The timekeeper: when samples are taken, and how seldom they are put on record."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from chunkmigrate.holder import user
from chunkmigrate.memory import Budget, Reading
from chunkmigrate.outcome import OPERATOR, Progress
from chunkmigrate.pipeline import ChunkResult
from chunkmigrate.records import Counts
from chunkmigrate.sizing import MIB, Sizes, zone_of
from chunkmigrate.timekeeper import (
    KEEP_SECONDS,
    WAITING_KEEP_SECONDS,
    Timekeeper,
    circumstances,
)
from tests.unit.telling import BUDGET

if TYPE_CHECKING:
    from chunkmigrate.memory import Sensor


class Memory:
    """A sensor that is set by hand."""

    rss_start, limit, used = 40 * MIB, 700 * MIB, 100 * MIB
    budget = Budget(size=BUDGET, source="--memory 512Mi", warnings=("little",))

    def read(self) -> Reading:
        return Reading(rss=self.used, used=self.used, budget=BUDGET)


class Time:
    """A timekeeper, a clock that is set by hand, and when things were put on record."""

    def __init__(self, keeping: float = 0.0) -> None:
        self.now, self._keeping = 1_000.0, keeping
        self.kept: list[float] = []
        self.said: list[tuple[str, str]] = []
        self.memory = Memory()
        self.keeper = Timekeeper(
            cast("Sensor", self.memory),
            tell=lambda word, sentence, **_: self.said.append((word, sentence)),
            keep=self._keep,
            clock=lambda: self.now,
        )

    def _keep(self) -> None:
        self.kept.append(self.now)
        self.now += self._keeping

    def chunks(self, *used: int, step: int = 1, every: float = 1.0) -> None:
        """Acknowledge a chunk for each reading of memory, one after the other."""
        for size in used:
            self.now += every
            assert len([*self.keeper.sampled([self._progress(size, step)])]) == 1

    def _progress(self, used: int, step: int) -> Progress:
        reading = Reading(rss=used, used=used, budget=BUDGET)
        result = ChunkResult(
            number=0,
            counts=Counts(read=100),
            size=7,
            seconds=0.25,
            reading=reading,
            zone=zone_of(reading),
            sizes=Sizes(chunk_bytes=used, page_bytes=MIB),
        )
        return Progress(step=step, steps=2, counts=Counts(read=300), step_read=300, total=900, result=result)

    def facts(self) -> dict[str, Any]:
        return self.keeper.facts()

    def marks(self) -> list[tuple[str, str]]:
        return [(word, sentence) for _, word, sentence in self.facts()["timeline"]["marks"]]


def test_sampled() -> None:
    """A sample has what a chunk tells, the limit, and the seconds since the run began."""
    time = Time()
    time.now += 77  # spent waiting for the lease
    time.keeper.begin()
    time.chunks(120 * MIB, every=2.5)
    samples = time.facts()["timeline"]["samples"]

    assert samples["second"] == [0.0, 2.5]
    assert samples["used"] == [100 * MIB, 120 * MIB]
    assert samples["limit"] == [700 * MIB] * 2
    assert samples["read"] == [0, 300]
    assert samples["documents"] == [0, 100]
    assert samples["size"] == [0, 7]


def test_zone_changes() -> None:
    """When memory enters another zone, that is marked once, with how much was in use."""
    time = Time()
    time.keeper.begin()
    time.chunks(100 * MIB, 100 * MIB, 400 * MIB, 400 * MIB, 500 * MIB)

    assert time.marks() == [
        ("zone", "grow to hold at 78%: 400 MiB of 512 MiB"),
        ("zone", "hold to stop at 98%: 500 MiB of 512 MiB"),
    ]
    assert time.said == []


def test_steps() -> None:
    """Where another step begins, that is marked."""
    time = Time()
    time.chunks(100 * MIB)
    time.chunks(100 * MIB, step=2)

    assert time.marks() == [("step", "Step 2 of 2 begins.")]


def test_notes() -> None:
    """What an operator is told is marked, and told."""
    time = Time()
    time.keeper.begin()
    time.now += 3
    time.keeper.note("throttled", "replication lag 14 s > 10 s")

    assert time.said == time.marks() == [("throttled", "replication lag 14 s > 10 s")]
    assert time.facts()["timeline"]["marks"][0][0] == 3.0


def test_notes_of_threads() -> None:
    """Writers may note what they like while samples are taken and kept."""
    time = Time()
    time.keeper.begin()
    threads = [
        threading.Thread(target=lambda: [time.keeper.note("retrying", "gone") for _ in range(300)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.chunks(100 * MIB)
        time.facts()
    kept = time.facts()["timeline"]

    assert len(time.said) == 1_200 == len(kept["marks"]) + kept["omitted"]


def test_kept_seldom() -> None:
    """It is put on record at the first chunk, and then every five seconds."""
    time = Time()
    time.chunks(*[MIB] * 200, every=0.1)

    assert len(time.kept) == 4
    assert time.kept[0] == pytest.approx(1_000.1)
    assert min(b - a for a, b in zip(time.kept, time.kept[1:], strict=False)) >= KEEP_SECONDS


@pytest.mark.parametrize("keeping", [0.05, 0.3, 2.0])
def test_a_slow_server_is_asked_seldom(keeping: float) -> None:
    """However slow the server is to take it, that costs a run a hundredth of its time at most."""
    time = Time(keeping)
    time.chunks(*[MIB] * 10_000, every=0.1)
    lasted = time.now - 1_000

    assert time.kept
    assert (len(time.kept) - 1) * keeping <= lasted / 100


def test_waiting() -> None:
    """Waits are added up by signal; a run that waits shows it, and puts it on record once a minute."""
    time = Time()
    time.keeper.begin()
    time.chunks(100 * MIB)
    for _ in range(400):
        time.now += 0.25
        time.keeper.note("throttled", "", signal="replication lag", seconds=0.25)
    time.keeper.note("paused", "", signal=OPERATOR, seconds=0.5)
    facts = time.facts()

    assert facts["pauses"] == {"replication lag": 100.0, OPERATOR: 0.5}
    assert facts["timeline"]["samples"]["second"][-1] == 101.0
    assert facts["timeline"]["samples"]["paused"][-1] == 100.5
    assert len(facts["timeline"]["samples"]["second"]) <= 4
    assert len(time.kept) == 1 + int(100 / WAITING_KEEP_SECONDS)


def test_facts() -> None:
    """What goes on record has the sizes at first and last, the seconds of commits, and where it stands."""
    time = Time()
    time.chunks(1 * MIB, 2 * MIB, 3 * MIB)
    facts = time.facts()

    assert [facts["sizes"][name]["chunk_bytes"] for name in ("first", "last")] == [1 * MIB, 3 * MIB]
    assert facts["committing"] == 0.75
    assert facts["progress"] == {"step": 1, "steps": 2, "step_read": 300, "total": 900}


def test_nothing_done() -> None:
    """A run without a chunk has facts, too."""
    facts = Time().facts()

    assert (facts["sizes"], facts["progress"], facts["committing"]) == (None, None, 0.0)


def test_circumstances() -> None:
    """What is known before anything is done: version, user, writers, rate, memory, and what was warned of."""
    known = circumstances(cast("Sensor", Memory()), writers=3, max_rate=None, follows="1_m")

    assert known.pop("version")[0].isdigit()
    assert known.pop("user") == user()
    assert known.pop("follows") == "1_m"
    assert known == {
        "writers": 3,
        "max_rate": None,
        "start": 40 * MIB,
        "budget_source": "--memory 512Mi",
        "limit": 700 * MIB,
        "warnings": ["little"],
    }
