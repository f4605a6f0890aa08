"""The law: tables and laws over all of its range."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chunkmigrate import sizing
from chunkmigrate.memory import Reading
from chunkmigrate.sizing import KIB, MIB, Most, Sizes, Zone

ROOMS = [0, 1, 64 * KIB, MIB, 8 * MIB, 20 * MIB, 36 * MIB, 64 * MIB, 512 * MIB, 64 * 1024 * MIB]
WRITERS = [1, 2, 3, 4]


FULL = Sizes(chunk_bytes=4 * MIB, page_bytes=2 * MIB)


def of(chunk: int, page: int, documents: int = 1_000) -> Sizes:
    return Sizes(chunk_bytes=chunk, page_bytes=page, chunk_documents=documents)


@pytest.mark.parametrize(
    ("used", "zone"),
    [
        (0, Zone.GROW),
        (699, Zone.GROW),
        (700, Zone.HOLD),
        (849, Zone.HOLD),
        (850, Zone.SHRINK),
        (949, Zone.SHRINK),
        (950, Zone.STOP),
        (1000, Zone.STOP),
        (4000, Zone.STOP),
    ],
)
def test_zone(used: int, zone: Zone) -> None:
    """The zone follows from the share of the budget in use: 70, 85 and 95 percent are where it changes."""
    assert sizing.zone_of(Reading(rss=1, used=used, budget=1000)) is zone


@pytest.mark.parametrize(
    ("baseline", "budget", "guard", "room"),
    [(40, 1000, 850, 810), (850, 1000, 850, 0), (999, 1000, 850, 0), (0, 7, 5, 5)],
)
def test_headroom(baseline: int, budget: int, guard: int, room: int) -> None:
    """The room is what lies between an idle process and the guard, and never negative."""
    assert sizing.guard_of(budget) == guard
    assert sizing.headroom(baseline, budget) == room


@pytest.mark.parametrize(
    ("room", "writers", "top", "first"),
    [
        (0, 2, of(16 * KIB, 64 * KIB), of(16 * KIB, 64 * KIB)),
        (MIB, 1, of(128 * KIB, 64 * KIB), of(32 * KIB, 64 * KIB)),
        (12 * MIB, 2, of(MIB, 768 * KIB), of(256 * KIB, 768 * KIB)),
        (24 * MIB, 2, of(2 * MIB, 1536 * KIB), of(512 * KIB, 1536 * KIB)),
        (48 * MIB, 2, of(4 * MIB, 2 * MIB), of(MIB, 2 * MIB)),
        (48 * MIB, 3, of(3 * MIB, 2 * MIB), of(768 * KIB, 2 * MIB)),
        (900 * MIB, 4, of(4 * MIB, 2 * MIB), of(MIB, 2 * MIB)),
    ],
)
def test_ceiling_and_start(room: int, writers: int, top: Sizes, first: Sizes) -> None:
    """The largest sizes follow from room and writers; a run starts with a quarter of the chunk."""
    assert sizing.ceiling(room, writers) == replace(top, full_bytes=top.chunk_bytes)
    assert sizing.start(room, writers) == first


@pytest.mark.parametrize(
    ("sizes", "zone", "expected"),
    [
        (of(MIB, 256 * KIB), Zone.GROW, of(MIB + MIB // 2, 384 * KIB)),
        (of(3 * MIB, 900 * KIB), Zone.GROW, of(4 * MIB, MIB)),
        (of(MIB, 256 * KIB), Zone.HOLD, of(MIB, 256 * KIB)),
        (of(9 * MIB, 9 * MIB), Zone.HOLD, of(4 * MIB, MIB)),
        (of(1, 1), Zone.HOLD, of(16 * KIB, 64 * KIB)),
        (of(MIB, 256 * KIB), Zone.SHRINK, of(MIB // 2, 128 * KIB)),
        (of(17 * KIB, 65 * KIB), Zone.SHRINK, of(16 * KIB, 64 * KIB)),
        (of(16 * KIB, 64 * KIB), Zone.SHRINK, of(16 * KIB, 64 * KIB, 500)),
        (of(16 * KIB, 64 * KIB, 1), Zone.SHRINK, of(16 * KIB, 64 * KIB, 1)),
        (of(16 * KIB, 64 * KIB, 1), Zone.HOLD, of(16 * KIB, 64 * KIB, 2)),
        (of(16 * KIB, 64 * KIB, 1), Zone.GROW, of(24 * KIB, 96 * KIB, 2)),
        (of(16 * KIB, 64 * KIB, 100), Zone.GROW, of(24 * KIB, 96 * KIB, 150)),
        (of(4 * MIB, MIB), Zone.STOP, of(16 * KIB, 64 * KIB, 1)),
    ],
)
def test_following(sizes: Sizes, zone: Zone, expected: Sizes) -> None:
    """The next sizes are half again, the same, half, or the least, between floor and ceiling.

    Documents become fewer only once a chunk cannot have fewer bytes.
    """
    assert sizing.following(sizes, zone, of(4 * MIB, MIB)) == expected


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (0, 16 * KIB),
        (40 * 16 * KIB, 16 * KIB),
        (40 * 100 * KIB, 100 * KIB),
        (40 * MIB, MIB),
        (900 * MIB, MIB),
    ],
)
def test_group(room: int, expected: int) -> None:
    """A decoded list may weigh a fortieth of the room in BSON, between 16 KiB and 1 MiB."""
    assert sizing.group_bytes(room) == expected


@pytest.mark.parametrize(("room", "measured"), [(0, True), (36 * MIB - 1, True), (36 * MIB, False)])
def test_measured(room: int, measured: bool) -> None:  # noqa: FBT001 - a table's expectation
    """Pages are measured first where a reply of 16 MiB, held twice, could not be afforded."""
    assert sizing.measured_pages(room) is measured


@pytest.mark.parametrize("writers", WRITERS)
@pytest.mark.parametrize("room", ROOMS)
def test_fits(room: int, writers: int) -> None:
    """All writers' chunks and the one being built fit the room in all their copies, unless at the floor."""
    chunk = sizing.ceiling(room, writers).chunk_bytes

    assert chunk == 16 * KIB or 4 * (writers + 1) * chunk <= room


@pytest.mark.parametrize("writers", WRITERS)
@pytest.mark.parametrize("room", ROOMS)
def test_bounds(room: int, writers: int) -> None:
    """Whatever zones follow each other, however the room changes, sizes stay in their bounds."""
    chance = random.Random(room + writers)
    top = sizing.ceiling(room, writers)
    sizes = sizing.start(room, writers)
    for _ in range(200):
        if chance.random() < 0.1:
            top = sizing.ceiling(chance.choice(ROOMS), writers)
        zone, before = chance.choice(list(Zone)), sizes
        sizes = sizing.following(before, zone, top)

        assert 16 * KIB <= sizes.chunk_bytes <= top.chunk_bytes <= 4 * MIB
        assert 64 * KIB <= sizes.page_bytes <= top.page_bytes <= 2 * MIB
        assert 1 <= sizes.chunk_documents <= 1_000
        assert sizes.chunk_documents <= max(before.chunk_documents + 1, 1.5 * before.chunk_documents)
        assert sizes.chunk_bytes <= 1.5 * before.chunk_bytes
        assert sizes.page_bytes <= 1.5 * before.page_bytes


@pytest.mark.parametrize("room", ROOMS)
def test_pressure_reaches_the_floor(room: int) -> None:
    """Under lasting pressure bytes are at the floor within ten chunks, documents within ten more; calm
    brings both back.
    """
    top = sizing.ceiling(room, 2)
    sizes = top
    for _ in range(10):
        sizes = sizing.following(sizes, Zone.SHRINK, top)
    floor = sizes
    for _ in range(10):
        sizes = sizing.following(sizes, Zone.SHRINK, top)
    least = sizes
    for _ in range(20):
        sizes = sizing.following(sizes, Zone.GROW, top)

    assert (floor.chunk_bytes, floor.page_bytes) == (16 * KIB, 64 * KIB)
    assert least == replace(of(16 * KIB, 64 * KIB, 1), full_bytes=top.chunk_bytes)
    assert least.least
    assert sizes == top


@pytest.mark.parametrize(
    ("sizes", "least"),
    [
        (of(16 * KIB, 64 * KIB, 1), True),
        (of(16 * KIB, 2 * MIB, 1), True),
        (of(16 * KIB, 64 * KIB, 2), False),
        (of(16 * KIB + 1, 64 * KIB, 1), False),
    ],
)
def test_least(sizes: Sizes, least: bool) -> None:  # noqa: FBT001 - a table's expectation
    """There is nothing left to shrink once a chunk has one document and the fewest bytes."""
    assert sizes.least is least


def test_after_death() -> None:
    """After a death sizes are a quarter of what they were, and known to be so."""
    expected = of(MIB, 2 * MIB, 250)

    assert sizing.after_death(FULL, progressed=False) == replace(expected, slow=True)
    assert sizing.after_death(FULL, progressed=True) == replace(expected, slow=True)


def test_deaths_in_a_row() -> None:
    """Deaths add up where nothing was gained in between: six are enough for chunks of one document."""
    documents, sizes = [], FULL
    for _ in range(7):
        sizes = sizing.after_death(sizes, progressed=False)
        documents.append(sizes.chunk_documents)

    assert documents == [250, 62, 15, 3, 1, 1, 1]
    assert sizes.least


@pytest.mark.parametrize("chunks", range(0, 30, 5))
def test_deaths_apart(chunks: int) -> None:
    """A death after progress starts at a quarter of the whole again, however far sizes had come back."""
    once = sizes = sizing.after_death(FULL, progressed=False)
    for _ in range(chunks):
        sizes = sizing.following(sizes, Zone.GROW, FULL)

    assert sizing.after_death(sizes, progressed=True) == once


def test_recovery() -> None:
    """After a death sizes come back to the whole in about thirty clean chunks, never by more than a
    twentieth, and then grow as fast as before.
    """
    sizes, chunks = sizing.after_death(FULL, progressed=False), 0
    while sizes.slow:
        before, sizes, chunks = sizes, sizing.following(sizes, Zone.GROW, FULL), chunks + 1
        assert before.chunk_bytes <= sizes.chunk_bytes <= 1.05 * before.chunk_bytes
        assert before.chunk_documents < sizes.chunk_documents <= 1.05 * before.chunk_documents
    smaller = sizing.following(sizes, Zone.SHRINK, FULL)

    assert 27 <= chunks <= 33
    assert sizes == FULL
    assert sizing.following(smaller, Zone.GROW, FULL).chunk_bytes == smaller.chunk_bytes * 1.5


@pytest.mark.parametrize("zone", [Zone.HOLD, Zone.SHRINK, Zone.STOP])
def test_stays_slow(zone: Zone) -> None:
    """Chunks that are not clean bring no bytes back, and a run stays slow through them; documents come back
    where memory holds.
    """
    died = sizing.after_death(FULL, progressed=False)
    sizes = sizing.following(died, zone, FULL)

    assert sizes.slow
    assert sizes.chunk_bytes <= died.chunk_bytes
    assert (sizes.chunk_documents > died.chunk_documents) is (zone is Zone.HOLD)


@pytest.mark.parametrize(
    ("documents", "size", "expected"),
    [(500, 4 * MIB, of(4 * MIB, 2 * MIB, 500)), (0, 0, of(16 * KIB, 2 * MIB, 1))],
)
def test_fewer(documents: int, size: int, expected: Sizes) -> None:
    """A run may be told how many documents and bytes to go on with; it comes back slowly from there."""
    sizes = sizing.fewer(replace(FULL, expansion=7.0), documents, size)

    assert sizes == replace(expected, expansion=7.0, slow=True)


def most_of(chunk: int, page: int, documents: int) -> Most:
    return Most(chunk_bytes=chunk, page_bytes=page, chunk_documents=documents)


@pytest.mark.parametrize(
    ("most", "lowered"),
    [
        (Most(), of(4 * MIB, 2 * MIB)),
        (most_of(MIB, MIB, 500), of(MIB, MIB, 500)),
        (most_of(64 * MIB, 64 * MIB, 100_000), of(4 * MIB, 2 * MIB)),
        (most_of(1, 1, 1), of(16 * KIB, 64 * KIB, 1)),
        (most_of(0, 0, 0), of(16 * KIB, 64 * KIB, 1)),
    ],
    ids=["no less", "less", "more", "least", "nothing"],
)
def test_lowered(most: Most, lowered: Sizes) -> None:
    """Evidence lowers the largest sizes, never above what fits and never below what works."""
    found = sizing.lowered(FULL, most)

    assert found == replace(lowered, full_bytes=lowered.chunk_bytes)


@pytest.mark.parametrize("seed", range(20))
def test_lowered_laws(seed: int) -> None:
    """Lowered sizes are within those that fit, lowering twice is lowering once, and growth ends there."""
    chance = random.Random(seed)
    top = sizing.ceiling(chance.choice(ROOMS), chance.choice(WRITERS))
    most = most_of(*(chance.randrange(1, 8 * MIB) for _ in range(2)), chance.randrange(1, 2_000))
    lowered, sizes = sizing.lowered(top, most), sizing.within(FULL, top)
    for _ in range(50):
        sizes = sizing.following(sizes, Zone.GROW, lowered)

    assert lowered.chunk_bytes <= top.chunk_bytes
    assert lowered.page_bytes <= top.page_bytes
    assert lowered.chunk_documents <= top.chunk_documents
    assert sizing.lowered(lowered, most) == lowered
    assert (sizes.chunk_bytes, sizes.page_bytes) == (lowered.chunk_bytes, lowered.page_bytes)
    assert sizes.chunk_documents == lowered.chunk_documents
