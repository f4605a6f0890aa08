"""Which documents stand for all: such that their mean is that of all."""

from __future__ import annotations

import random

import pytest

from chunkmigrate.sampling import ALIKE, representative
from tests.unit.making import key


def weighed(*sizes: int, first: int = 0) -> list[tuple[object, int]]:
    return [(key(first + place), size) for place, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("spread", "large", "mean", "chosen"),
    [
        ((100, 100, 100), (), 100, (100, 100, 100)),
        ((100, 100, 100), (900,), 100, (100, 100, 100)),
        ((100, 100, 10_000), (), 100, (100, 100)),
        ((100, 100, 100, 100), (600,), 200, (100, 100, 100, 100, 600)),
        ((100, 100, 100, 100), (600, 5_000), 200, (100, 100, 100, 100, 600)),
        ((5_000,), (), 100, (5_000,)),
        ((), (), 100, ()),
    ],
    ids=[
        "alike",
        "large left out",
        "too many large",
        "large brought in",
        "one too large",
        "only one",
        "none",
    ],
)
def test_representative(
    spread: tuple[int, ...], large: tuple[int, ...], mean: float, chosen: tuple[int, ...]
) -> None:
    """Large documents are left out where a sample has too many, and brought in where it has too few."""
    near, far = weighed(*spread), weighed(*large, first=1_000)
    sizes = dict(near + far)

    assert sorted(sizes[one] for one in representative(near, far, mean)) == sorted(chosen)


@pytest.mark.parametrize("seed", range(20))
def test_mean(seed: int) -> None:
    """The mean of what is chosen is never further above that of all documents than is as good as equal."""
    chance = random.Random(seed)
    near = weighed(*(int(chance.paretovariate(1) * 100) for _ in range(500)))
    far = weighed(*(chance.randrange(10_000, 100_000) for _ in range(90)), first=1_000)
    mean, sizes = 400.0, dict(near + far)
    chosen = representative(near, far, mean)

    assert len(set(chosen)) == len(chosen)
    assert sum(sizes[one] for one in chosen) <= (1 + ALIKE) * mean * len(chosen)
