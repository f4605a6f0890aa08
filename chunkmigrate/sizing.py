"""The law: memory readings in, sizes out.

Pure: no clock, no process, no server. Sizes follow bytes and memory only; how fast a run may go (lag,
overload) is another law's business, because a chunk sized by time collapses once time means waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
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
# After a death sizes start at a quarter and come back slowly: in thirty clean chunks.
AFTER_DEATH = 4
RECOVERY = 1.05

# How often memory is looked at while a chunk is built: after so many bytes handled (a document that expands
# tenfold moves memory by no more than 5 MiB between two looks), after so many documents, and after so much
# time: a transform may keep what it makes, whatever it was given, and begin with that at any document. Nobody
# gets memory faster than the kernel hands it out: 2.6 MiB a millisecond, measured. A look costs 3 µs, a small
# document some 17.
LOOK_BYTES = 512 * KIB
LOOK_DOCUMENTS = 64
LOOK_SECONDS = 0.001

# Above the guard a run goes on with small chunks for so long; then it ends, because a fresh process gets back
# what this one does not.
PRESSED_CHUNKS = 8
# What a run needs beyond the bytes it starts with: connections, threads, a page and a chunk of the smallest
# size. With less than that between the start and the guard, a fresh process would be no better off.
LEAST_ROOM = 8 * MIB
WORTH_A_RESTART = LEAST_ROOM // 2

# A document from here on is decided about before it is decoded.
LARGE_BYTES = 1 * MIB
# What objects take at the least for each byte of BSON: strings and bytes as much again.
LEAST_EXPANSION = 1.0
# Of smaller ones memory cannot tell what they took, and what was at work beside them.
TELLING_BYTES = 4 * MIB


class Zone(StrEnum):
    """What memory allows: decided by the fraction of the budget in use."""

    GROW = "grow"
    HOLD = "hold"
    SHRINK = "shrink"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large the next chunk and the next page may be, in bytes, and how many documents a chunk may have.

    ``expansion`` is how many bytes a large document takes as objects for each byte of BSON, at the worst
    seen so far. ``slow``: a run died, and the sizes are coming back slowly, to ``full_bytes`` at the most.
    """

    chunk_bytes: int
    page_bytes: int
    chunk_documents: int = MAX_CHUNK_DOCUMENTS
    expansion: float = LEAST_EXPANSION
    slow: bool = False
    full_bytes: int = MAX_CHUNK_BYTES

    @property
    def least(self) -> bool:
        """Whether there is nothing left to shrink."""
        return self.chunk_documents == 1 and self.chunk_bytes == MIN_CHUNK_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Most:
    """The largest sizes there is any use in, whatever memory allows: bytes, and documents of a chunk."""

    chunk_bytes: int = MAX_CHUNK_BYTES
    page_bytes: int = MAX_PAGE_BYTES
    chunk_documents: int = MAX_CHUNK_DOCUMENTS


STORED = tuple(field.name for field in fields(Sizes))


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
    chunk = _between(MIN_CHUNK_BYTES, room // (CHUNK_COPIES * (writers + 1)), MAX_CHUNK_BYTES)
    return Sizes(
        chunk_bytes=chunk, page_bytes=_between(MIN_PAGE_BYTES, room // 16, MAX_PAGE_BYTES), full_bytes=chunk
    )


def lowered(top: Sizes, most: Most) -> Sizes:
    """Return the largest sizes where evidence says that less is as good: what fits, and at ``most`` that."""
    chunk = _between(MIN_CHUNK_BYTES, most.chunk_bytes, top.chunk_bytes)
    return replace(
        top,
        chunk_bytes=chunk,
        full_bytes=chunk,
        page_bytes=_between(MIN_PAGE_BYTES, most.page_bytes, top.page_bytes),
        chunk_documents=_between(1, most.chunk_documents, top.chunk_documents),
    )


def start(room: int, writers: int) -> Sizes:
    """Return the sizes to begin with: chunks of a quarter, until memory has been seen to allow more."""
    top = ceiling(room, writers)
    return Sizes(chunk_bytes=max(MIN_CHUNK_BYTES, top.chunk_bytes // 4), page_bytes=top.page_bytes)


def following(sizes: Sizes, zone: Zone, top: Sizes) -> Sizes:
    """Return the sizes after a chunk that ended in ``zone``: half again, the same, half, or the least.

    Documents shrink only once bytes cannot, and grow with them.
    """
    growth = RECOVERY if sizes.slow else GROWTH
    factor = {Zone.GROW: growth, Zone.HOLD: 1.0, Zone.SHRINK: 0.5, Zone.STOP: 0.0}[zone]
    few = factor if factor >= 1 or sizes.chunk_bytes == MIN_CHUNK_BYTES or zone is Zone.STOP else 1.0
    # Documents come back while memory holds, too: a process that starts there would keep chunks of one.
    few = max(few, RECOVERY) if zone is Zone.HOLD else few
    documents = max(sizes.chunk_documents * few, sizes.chunk_documents + 1 if few > 1 else 1)
    following_ = replace(
        sizes,
        chunk_bytes=_between(MIN_CHUNK_BYTES, sizes.chunk_bytes * factor, top.chunk_bytes),
        page_bytes=_between(MIN_PAGE_BYTES, sizes.page_bytes * factor, top.page_bytes),
        chunk_documents=_between(1, documents, top.chunk_documents),
        full_bytes=top.chunk_bytes,
    )
    recovered = (
        following_.chunk_documents == top.chunk_documents and following_.chunk_bytes == top.chunk_bytes
    )
    return replace(following_, slow=sizes.slow and not recovered)


def within(sizes: Sizes, top: Sizes) -> Sizes:
    """Return ``sizes``, none of them above ``top``: what was learned elsewhere may be too much here."""
    return replace(
        sizes,
        chunk_bytes=_between(MIN_CHUNK_BYTES, sizes.chunk_bytes, top.chunk_bytes),
        page_bytes=_between(MIN_PAGE_BYTES, sizes.page_bytes, top.page_bytes),
        chunk_documents=min(sizes.chunk_documents, top.chunk_documents),
        full_bytes=top.chunk_bytes,
    )


def afresh(sizes: Sizes, room: int, writers: int) -> Sizes:
    """Return the sizes for the process after one that ended for lack of memory: they shrank for it alone."""
    return replace(start(room, writers), expansion=sizes.expansion)


def after_death(sizes: Sizes, *, progressed: bool) -> Sizes:
    """Return the sizes to start with when the run before was killed: a quarter of what it had.

    A run that was killed on its way back to full size, and had ``progressed``, starts at a quarter of the
    whole again: only deaths on the same spot add up.
    """
    if sizes.slow and progressed:
        return fewer(sizes, MAX_CHUNK_DOCUMENTS // AFTER_DEATH, sizes.full_bytes // AFTER_DEATH)
    return fewer(sizes, sizes.chunk_documents // AFTER_DEATH, sizes.chunk_bytes // AFTER_DEATH)


def fewer(sizes: Sizes, documents: int, size: int) -> Sizes:
    """Return sizes of so many documents and bytes, from which a run comes back slowly."""
    return replace(
        sizes, chunk_bytes=max(MIN_CHUNK_BYTES, size), chunk_documents=max(1, documents), slow=True
    )


def next_look(documents: int, growth: int, room: int) -> int:
    """Return after how many documents to look at memory again.

    ``documents`` went by since the last look and memory moved by ``growth`` bytes; ``room`` bytes are left
    to the guard. At this pace no more than an eighth of them may be used up unseen.
    """
    if room <= 0:
        return 1
    safe = room * documents // (8 * growth) if growth > 0 else LOOK_DOCUMENTS
    return _between(1, min(safe, 2 * documents), LOOK_DOCUMENTS)


def is_last(reading: Reading, growth: int) -> bool:
    """Whether the next chunk may be one too many: memory has grown by ``growth`` with the last one."""
    return growth > 0 and reading.used + 2 * growth > STOP * reading.budget


def is_over(zone: Zone, sizes: Sizes, pressed: int, room: int) -> bool:
    """Whether a run can only end: after giving back what is free, memory still is in ``zone``.

    ``pressed`` is how often in a row that was so; ``room`` what a fresh process would have.
    """
    if zone is Zone.STOP and sizes.least:
        return True
    return pressed >= PRESSED_CHUNKS and room >= WORTH_A_RESTART


def needed(size: int, expansion: float) -> int:
    """Return how many bytes it takes to decode and transform a document of ``size`` bytes, read already."""
    return int(size * expansion)


def needed_unread(size: int, expansion: float) -> int:
    """Return how many bytes it takes to read one document of ``size`` bytes, and then to decode it."""
    return int(size * max(REPLY_COPIES, 1 + expansion))


def fits(needs: int, budget: int) -> bool:
    """Whether ``needs`` bytes can be used at all."""
    return needs < STOP * budget


def measured_pages(room: int) -> bool:
    """Whether a reply of 16 MiB could not be afforded: pages must then be measured before they are read."""
    return room < REPLY_RESERVE


def group_bytes(room: int) -> int:
    """Return how many bytes of BSON may be decoded at once for ``each_chunk``."""
    return min(MAX_GROUP_BYTES, max(MIN_CHUNK_BYTES, room // (4 * EXPANSION)))


def _between(low: int, value: float, high: int) -> int:
    return max(low, min(high, int(value)))
