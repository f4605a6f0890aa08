"""Relief: pressure that stays is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from chunkmigrate.memory import Reading
from chunkmigrate.relief import CRAWL_SECONDS, Relief

MIB = 1024 * 1024


@dataclass
class Held:
    """A sensor of a process that started with 40 MiB and holds so much now, of 64 MiB."""

    used: int
    rss_start: int = 40 * MIB

    def read(self) -> Reading:
        return Reading(rss=self.used, used=self.used, budget=64 * MIB)


def relief_of(held: int, times: list[float]) -> Relief:
    sensor: Any = Held(held)
    return Relief(sensor, lambda: times[0])


@pytest.mark.parametrize(
    ("held", "headroom", "seconds", "crawls"),
    [
        (54 * MIB, 14 * MIB, CRAWL_SECONDS, True),
        (54 * MIB, 14 * MIB, CRAWL_SECONDS - 0.1, False),
        (45 * MIB, 14 * MIB, CRAWL_SECONDS, False),  # what fills memory goes away again
        (46 * MIB, 3 * MIB, CRAWL_SECONDS, False),  # a fresh process would have no more
    ],
)
def test_crawl(*, held: int, headroom: int, seconds: float, crawls: bool) -> None:
    """Chunks cut by memory for seconds, by what a fresh process would not hold, are a crawl."""
    times = [100.0]
    relief = relief_of(held, times)
    relief.cut(by_memory=True)
    times[0] += seconds
    relief.cut(by_memory=True)

    assert relief.crawls(headroom) is crawls


def test_one_full_chunk() -> None:
    """A chunk that ended for another reason begins the count anew."""
    times = [100.0]
    relief = relief_of(54 * MIB, times)
    relief.cut(by_memory=True)
    times[0] += CRAWL_SECONDS
    relief.cut(by_memory=False)
    relief.cut(by_memory=True)

    assert not relief.crawls(14 * MIB)
