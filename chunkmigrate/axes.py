"""The axes: where a value lies in a plot, and which values are written at its sides.

Pure. Across and up, a place is a percentage, so that a page may be as wide as it likes; lines are paths in a
box of 1000 by 1000 that is stretched to fit. What is drawn is ``plots``' business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

BOX = 1000.0
# More ticks than that are no help.
TICKS, TIMES = 6, 8
# Nothing touches the ceiling of its plot.
AIR = 1.06

_SECONDS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200),
)
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in percent, and what is written there."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """From seconds and values to places; ``most`` is the largest value there is."""

    seconds: float
    most: float

    @property
    def top(self) -> float:
        """The value at the ceiling."""
        return AIR * max(self.most, 1.0)

    def across(self, second: float) -> float:
        """Return a place in percent of the width."""
        return round(100 * min(1.0, max(0.0, second / self.seconds)), 3)

    def up(self, value: float) -> float:
        """Return a place in percent of the height, from the ground."""
        return round(100 * min(1.0, max(0.0, value / self.top)), 3)

    def path(self, values: Sequence[tuple[float, float]]) -> str:
        """Return the line through pairs of second and value.

        >>> Scale(10.0, 100 / AIR).path([(0, 0), (5, 50), (10, 100)])
        'M0.0 1000.0 L500.0 500.0 L1000.0 0.0'
        """
        return "M" + " L".join(self._point(*value) for value in values)

    def area(self, values: Sequence[tuple[float, float]]) -> str:
        """Return the outline of what is below that line."""
        begin, end = values[0][0], values[-1][0]
        return f"{self.path(values)} L{self._point(end, 0)} L{self._point(begin, 0)} Z"

    def stairs(self, values: Sequence[tuple[float, float]]) -> str:
        """Return the line through values each of which holds until the next.

        >>> Scale(10.0, 100 / AIR).stairs([(0, 50), (5, 100), (10, 100)])
        'M0.0 500.0 L500.0 500.0 L500.0 0.0 L1000.0 0.0'
        """
        steps = [(0.0, values[0][1])]
        for (_, before), (second, after) in pairwise(values):
            if after != before:
                steps += [(second, before), (second, after)]
        return self.path([*steps, values[-1]])

    def times(self) -> tuple[Tick, ...]:
        """Return the ticks across."""
        return tuple(Tick(self.across(second), _shown_time(second)) for second in time_ticks(self.seconds))

    def sizes(self) -> tuple[Tick, ...]:
        """Return the ticks up, where the values are bytes."""
        return tuple(
            Tick(self.up(size), format_bytes(int(size)) if size else "0") for size in byte_ticks(self.top)
        )

    def numbers(self) -> tuple[Tick, ...]:
        """Return the ticks up, where the values are numbers of documents."""
        return tuple(Tick(self.up(number), f"{number:,.0f}") for number in number_ticks(self.top))

    def _point(self, second: float, value: float) -> str:
        x, y = BOX * self.across(second) / 100, BOX * (1 - self.up(value) / 100)
        return f"{x:.1f} {y:.1f}"


def byte_ticks(most: float) -> list[float]:
    """Return ticks for bytes, powers of two apart.

    >>> [int(tick / 2**20) for tick in byte_ticks(70 * 2**20)]
    [0, 16, 32, 48, 64]
    """
    return _steps(2.0 ** max(0, math.ceil(math.log2(max(most, 2.0) / (TICKS - 1)))), most)


def number_ticks(most: float) -> list[float]:
    """Return ticks for whole numbers, 1, 2 or 5 times a power of ten apart.

    >>> number_ticks(14_000), number_ticks(1)
    ([0.0, 5000.0, 10000.0], [0.0, 1.0])
    """
    least = max(1.0, most / (TICKS - 1))
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    return _steps(step, most)


def time_ticks(seconds: float) -> list[float]:
    """Return ticks for a time, as far apart as people count time.

    >>> time_ticks(300)
    [0, 60, 120, 180, 240, 300]
    """
    least = seconds / (TIMES - 1)
    days = _DAY * math.ceil(least / _DAY)
    return _steps(next((step for step in _SECONDS if step >= least), days), seconds)


def _steps(step: float, most: float) -> list[float]:
    return [step * number for number in range(int(most / step + 1e-9) + 1)]


def _shown_time(second: float) -> str:
    shown = format_duration(second).removesuffix(" 00 s").removesuffix(" 00 min")
    return shown.replace(".0 ", " ") if second else "0"
