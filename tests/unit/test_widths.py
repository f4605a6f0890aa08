"""How far a window of a server-side update reaches: time in, widths out."""

from __future__ import annotations

from itertools import accumulate, islice, repeat
from typing import TYPE_CHECKING

import pytest

from chunkmigrate import widths
from chunkmigrate.sizing import MIB
from chunkmigrate.widths import FLOOR, MOST_DOCUMENTS, MOST_KEYS, TARGET_SECONDS, Width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def after(width: Width, *seconds: float) -> list[int]:
    """The documents of the windows that follow, each of which took so long."""
    full = lambda width, took: widths.committed(width, took, width.documents)  # noqa: E731
    return [one.documents for one in accumulate(seconds, full, initial=width)]


@pytest.mark.parametrize(
    ("known", "stored_size", "most", "first", "highest"),
    [
        (None, 0, None, 250, MOST_DOCUMENTS),
        (None, 300, None, 250, MOST_DOCUMENTS),
        (600, 300, None, 600, MOST_DOCUMENTS),
        (600, 300, 1_000, 600, MOST_DOCUMENTS),
        (600, 300, 500, 500, 500),
        (50_000, 300, None, MOST_DOCUMENTS, MOST_DOCUMENTS),
        (None, MIB, None, 32, 32),
        (600, MIB, None, 32, 32),
        (None, 16 * MIB, None, 2, 2),
        (None, 300, 10, 10, 10),
        (None, 300, 1, 1, 1),
    ],
)
def test_start(known: int | None, stored_size: int, most: int | None, first: int, highest: int) -> None:
    """It begins with what was learned, or a quarter; large documents, or a limit, make all windows small."""
    width = widths.start(known, stored_size, most)

    assert (width.documents, width.most) == (first, highest)
    assert width.keys >= width.documents


def test_grows_while_quick() -> None:
    """Windows far below the target double, up to the most there may be."""
    assert after(Width(250, 250, top=900), *repeat(0.01, 3)) == [250, 500, 900, 900]


def test_shrinks_while_slow() -> None:
    """Windows far above the target are halved, and end at a floor however busy the server is."""
    assert after(Width(1_000, 1_000), *repeat(60.0, 7)) == [1_000, 500, 250, 125, 62, FLOOR, FLOOR, FLOOR]


def test_floor_raises_none() -> None:
    """What is below the floor for another reason is not raised to it by a slow window."""
    assert after(Width(8, 250, most=32), 60.0, 60.0) == [8, 8, 8]


@pytest.mark.parametrize("per_document", [0.00001, 0.0004, 0.002])
def test_settles_at_target(per_document: float) -> None:
    """A steady server gets windows of a steady size, within twice and half the target, or the largest."""

    def windows() -> Iterator[Width]:
        width = widths.start(None, 0)
        while True:
            yield width
            width = widths.committed(width, per_document * width.documents, width.documents)

    settled, later = islice(windows(), 10, 12)

    assert settled.documents == later.documents
    seconds = per_document * settled.documents
    assert settled.documents == MOST_DOCUMENTS or TARGET_SECONDS / 2 <= seconds <= TARGET_SECONDS * 2


def keys(one_in: int, windows: int, width: Width | None = None) -> list[int]:
    """The keys of the windows that follow, where one key in so many is that of a document that matches."""
    width, found = width or widths.start(None, 0), []
    for _ in range(windows):
        found.append(width.keys)
        width = widths.committed(width, 0.001, min(width.documents, width.keys // one_in))
    return found


def test_keys_of_a_dense_filter() -> None:
    """Where nearly all match, no more keys are counted than there may be documents."""
    assert keys(1, 12)[-6:] == [MOST_DOCUMENTS] * 6


def test_keys_of_a_sparse_filter() -> None:
    """Where few keys match, those of a window grow far beyond the documents it may have."""
    assert keys(10_000, 20)[-1] == MOST_KEYS
    assert all(5 * MOST_DOCUMENTS <= number <= 20 * MOST_DOCUMENTS for number in keys(10, 30)[14:])


def test_keys_come_back() -> None:
    """Where a sparse stretch is followed by a dense one, keys are not counted for nothing for long."""
    assert keys(1, 12, Width(MOST_DOCUMENTS, MOST_KEYS))[-1] < 4 * MOST_DOCUMENTS


def found(documents: int, is_bad: Callable[[int], bool]) -> tuple[list[int], int]:
    """Go through documents by windows until the end; return those set aside, and how many tries it took."""
    width, position, aside, tries = Width(1_000, 1_000), 0, [], 0
    while position < documents:
        tries += 1
        end = min(documents, position + width.documents)
        bad = any(map(is_bad, range(position, end)))
        if bad and not width.alone:
            width = widths.refused(width)
            continue
        if bad:
            aside.append(position)
        width = widths.refused(width) if bad else widths.committed(width, 0.001, end - position)
        position = end
    return aside, tries


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 617, 998, 999])
def test_finds_the_document_at_fault(bad: int) -> None:
    """One bad document of a thousand is alone after ten halvings, wherever it is, and only that one."""
    aside, tries = found(1_000, lambda number: number == bad)

    assert aside == [bad]
    assert tries <= 24


def test_many_at_fault() -> None:
    """Bad documents side by side are found with a few tries each, and what follows is quick again."""
    aside, tries = found(20_000, lambda number: 3_000 <= number < 3_050)

    assert aside == list(range(3_000, 3_050))
    assert tries <= 20 + 50 * 3 + 30


def test_lost() -> None:
    """A window that was too much, or lost against others, is halved; its size comes back slowly."""
    width = widths.lost(Width(1_000, 1_000))
    assert (width.documents, width.hunting) == (500, False)

    assert after(width, *repeat(0.01, 3)) == [500, 525, 552, 580]
    assert after(width, *repeat(0.01, 70))[-1] == MOST_DOCUMENTS
