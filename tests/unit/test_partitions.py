"""How a step is divided, as far as no server is asked."""

from __future__ import annotations

import pytest

from chunkmigrate.partitions import sample_size

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("documents", "average", "expected"),
    [
        (0, 0, 2_560),
        (20_000, KIB, 2_560),  # all of them are read, 20 MiB
        (40_000, MIB, 1_024),  # each of them at a random place, 1 GiB
        (10_000, MIB, 476),  # a twentieth, for else all 10 GiB would be read
        (1_000_000, 4 * KIB, 2_560),
        (3, 15 * MIB, 68),
        (200, 15 * MIB, 9),
    ],
)
def test_sampled_bytes(documents: int, average: int, expected: int) -> None:
    """Dividing reads a gibibyte or so at most, however large the documents are."""
    assert sample_size(documents, average) == expected
