"""The law: memory readings in, sizes out.

Pure: no clock, no process, no server. Sizes follow bytes and memory only; how fast a run may go (lag,
overload) is another law's business, because a chunk sized by time collapses once time means waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chunkmigrate.memory import Reading

KIB, MIB = 1024, 1024 * 1024

# Fractions of the budget. Growth stops well before the guard, so that the guard is for surprises: in a
# stream whose documents changed shape, a guard at 0.85 kept every peak under 0.92.
GROW_BELOW = 0.70
GUARD = 0.85
STOP = 0.95

# A transaction of more than 4 MB or 1,000 documents holds locks and cache for long, and gains nothing.
MAX_CHUNK_BYTES = 4 * MIB
MAX_CHUNK_DOCUMENTS = 1_000
MIN_CHUNK_BYTES = 16 * KIB
MAX_CHUNK_SECONDS = 5.0
# What the server holds of a transaction is the documents it changes, whole, however small the changes
# are. Chunks of 32 MiB also keep every writer busy, where one of 300 would leave all writing to the end.
MAX_TOUCHED_BYTES = 32 * MIB
MAX_PAGE_BYTES = 2 * MIB
MIN_PAGE_BYTES = 64 * KIB
MAX_GROUP_BYTES = 1 * MIB

# A chunk in flight is held up to four times: its statements, the message under construction (a buffer
# that doubles), the message itself.
CHUNK_COPIES = 4

# A reply is held twice while it is received; one may weigh 16 MiB when documents grow all at once.
REPLY_COPIES = 2
REPLY_RESERVE = REPLY_COPIES * 16 * MIB + 4 * MIB

# A decoded document costs up to ten times its BSON. Where a list of them is handed out, a quarter of the
# headroom is theirs.
EXPANSION = 10

GROWTH = 1.5


class Zone(StrEnum):
    """What memory allows: decided by the fraction of the budget in use."""

    GROW = "grow"
    HOLD = "hold"
    SHRINK = "shrink"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large the next chunk and the next page may be, in bytes."""

    chunk_bytes: int
    page_bytes: int


def zone_of(reading: Reading) -> Zone:
    """Return the zone of a reading."""
    if reading.fraction >= STOP:
        return Zone.STOP
    if reading.fraction >= GUARD:
        return Zone.SHRINK
    return Zone.HOLD if reading.fraction >= GROW_BELOW else Zone.GROW


def guard_of(budget: int) -> int:
    """Return the bytes in use at which a chunk under construction is cut where it stands."""
    return int(GUARD * budget)


def headroom(baseline: int, budget: int) -> int:
    """Return the bytes between an idle process and the guard."""
    return max(0, guard_of(budget) - baseline)


def ceiling(room: int, writers: int) -> Sizes:
    """Return the largest sizes that fit ``room`` bytes with every writer busy and one chunk being built."""
    chunk = room // (CHUNK_COPIES * (writers + 1))
    return Sizes(
        chunk_bytes=min(MAX_CHUNK_BYTES, max(MIN_CHUNK_BYTES, chunk)),
        page_bytes=min(MAX_PAGE_BYTES, max(MIN_PAGE_BYTES, room // 16)),
    )


def start(room: int, writers: int) -> Sizes:
    """Return the sizes to begin with: chunks of a quarter, until memory has been seen to allow more."""
    top = ceiling(room, writers)
    return Sizes(chunk_bytes=max(MIN_CHUNK_BYTES, top.chunk_bytes // 4), page_bytes=top.page_bytes)


def following(sizes: Sizes, zone: Zone, top: Sizes) -> Sizes:
    """Return the sizes after a chunk that ended in ``zone``: half again, the same, half, or the least."""
    factor = {Zone.GROW: GROWTH, Zone.HOLD: 1.0, Zone.SHRINK: 0.5, Zone.STOP: 0.0}[zone]
    return Sizes(
        chunk_bytes=_between(MIN_CHUNK_BYTES, sizes.chunk_bytes * factor, top.chunk_bytes),
        page_bytes=_between(MIN_PAGE_BYTES, sizes.page_bytes * factor, top.page_bytes),
    )


def measured_pages(room: int) -> bool:
    """Whether a reply of 16 MiB could not be afforded: pages must then be measured before they are read."""
    return room < REPLY_RESERVE


def group_bytes(room: int) -> int:
    """Return how many bytes of BSON may be decoded at once for ``each_chunk``."""
    return min(MAX_GROUP_BYTES, max(MIN_CHUNK_BYTES, room // (4 * EXPANSION)))


def _between(low: int, value: float, high: int) -> int:
    return max(low, min(high, int(value)))
