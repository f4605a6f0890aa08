"""Relief: giving freed memory back to the system, not too often, and noticing where that does not help.

When memory is short is ``sizing``'s business, and how it is given back ``memory``'s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chunkmigrate import sizing
from chunkmigrate.memory import trim
from chunkmigrate.sizing import Zone

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.memory import Sensor
    from chunkmigrate.sizing import Sizes

# Trimming 40 MB takes 6 ms; twenty times its own duration must pass between two trims, so that it never
# takes more than a twentieth of a run.
TRIM_SPACING = 20


# A slow leak keeps memory at the guard, where each chunk is cut after a document: seconds of that are a crawl
# (1 KiB a document: 5,000 documents took a minute), and a fresh process is quicker.
CRAWL_SECONDS = 3.0
CRAWL_DOCUMENTS = 8


class Relief:
    """What is done about pressure, in one run. ``clock`` is in seconds."""

    def __init__(self, sensor: Sensor, clock: Callable[[], float] = time.monotonic) -> None:
        self._sensor, self._clock = sensor, clock
        self._allowed = 0.0
        self._pressed = self._held = 0
        self._cut_since: float | None = None

    def cut(self, *, by_memory: bool) -> None:
        """Note why a chunk ended."""
        self._cut_since = (self._cut_since or self._clock()) if by_memory else None

    def crawls(self, headroom: int) -> bool:
        """Whether every chunk for a while was cut by memory, and it is held by what does not go away."""
        if self._cut_since is None or self._clock() - self._cut_since < CRAWL_SECONDS:
            return False
        self.trim(at_once=True)
        self._cut_since = None
        held = self._sensor.read().used - self._sensor.rss_start
        return headroom >= sizing.WORTH_A_RESTART and held >= headroom // 2

    def trim(self, *, at_once: bool = False) -> bool:
        """Give freed memory back, unless that was done a moment ago; return whether it was done."""
        started = self._clock()
        if started < self._allowed and not at_once:
            return False
        trim()
        ended = self._clock()
        self._allowed = ended + TRIM_SPACING * (ended - started)
        return True

    def eased(self) -> None:
        """Note that there is no pressure."""
        self._pressed = self._held = 0

    def is_over(self, zone: Zone, sizes: Sizes, headroom: int) -> bool:
        """Give back what is free; whether that does not help, and nothing is left to shrink."""
        before, trimmed = self._held, self.trim(at_once=zone is Zone.STOP)
        held = self._sensor.read()
        growth = held.used - before if before else 0
        if not trimmed and sizing.is_last(held, growth):
            trimmed, held = self.trim(at_once=True), self._sensor.read()
        self._held = held.used
        if not trimmed:
            return False
        after = sizing.zone_of(held)
        self._pressed = self._pressed + 1 if after in (Zone.SHRINK, Zone.STOP) else 0
        return sizing.is_last(held, growth) or sizing.is_over(after, sizes, self._pressed, headroom)
