"""Frontier: how far acknowledged chunks reach without a hole.

Chunks finish in any order; the position moves only over an unbroken run of them. Ranges that finished
ahead of a hole are remembered, so that a resumed run goes around them instead of repeating them.
Pure bookkeeping: storing it is ``checkpoint``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.raw import Key


@dataclass(frozen=True, slots=True)
class Range:
    """Documents from behind ``after`` up to and with ``through``; ``number`` is their chunk's."""

    number: int
    after: Key | None
    through: Key


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the position stands, which chunk comes next, and which ranges are done beyond it."""

    position: Key | None = None
    number: int = 0
    ahead: tuple[Range, ...] = ()

    def with_range(self, done: Range) -> Reach:
        """Return the reach once ``done`` is acknowledged too."""
        position, number = self.position, self.number
        ahead = sorted((*self.ahead, done), key=lambda range_: range_.number)
        while ahead and ahead[0].number == number:
            position, number = ahead.pop(0).through, number + 1
        return Reach(position, number, tuple(ahead))


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch still to be read: behind ``after``, up to and with ``upto``.

    A ``gap`` ends at a range that is done already: ``resume_at`` is where reading goes on behind it.
    """

    after: Key | None
    upto: Key
    resume_at: Key | None = None

    @property
    def gap(self) -> bool:
        """Whether a range that is done follows."""
        return self.resume_at is not None


@dataclass(slots=True)
class Frontier:
    """The reach of one step while it runs. Not thread-safe: its holder locks."""

    upto: Key
    reach: Reach
    islands: list[Range] = field(default_factory=list)
    _slots: dict[int, int] = field(default_factory=dict)

    def segments(self) -> Iterator[Segment]:
        """Yield what is left to read, in order. An island is passed once the next segment is asked for."""
        while self.islands:
            island = self.islands[0]
            if island.after is not None and island.after != self.reach.position:
                yield Segment(self.reach.position, island.after, island.through)
            self.reach = Reach(island.through, self.reach.number)
            del self.islands[0]
        yield Segment(self.reach.position, self.upto)

    def preview(self, slot: int, chunk: Chunk) -> tuple[Reach, list[Range]]:
        """Return the reach with ``chunk`` acknowledged, and the ranges ahead that ``slot`` wrote."""
        reach = self.reach.with_range(_range(chunk))
        own = [done for done in reach.ahead if self._slots.get(done.number, slot) == slot]
        return reach, own

    def acknowledge(self, slot: int, chunk: Chunk) -> None:
        """Count ``chunk`` in; its writer was ``slot``."""
        self._slots[chunk.number] = slot
        self.reach = self.reach.with_range(_range(chunk))
        for number in [number for number in self._slots if number < self.reach.number]:
            del self._slots[number]


def merged(reaches: Sequence[Reach]) -> Reach:
    """Return the one reach that several writers' records, each a little old, add up to.

    Of records that reach equally far the first counts: it is the one kept up to date between chunks.
    """
    furthest = max(reaches, key=lambda reach: reach.number)
    together = Reach(furthest.position, furthest.number)
    for done in {done.number: done for reach in reaches for done in reach.ahead}.values():
        if done.number >= furthest.number:
            together = together.with_range(done)
    return together


def _range(chunk: Chunk) -> Range:
    if chunk.through is None:
        message = f"chunk {chunk.number} has no end"
        raise ValueError(message)
    return Range(chunk.number, chunk.after, chunk.through)
