"""The pace of a long run, from passes over a few chunks."""

from __future__ import annotations

from typing import Any, cast

import pytest

from chunkmigrate.sweep import Pass, pace, steady


def pass_of(documents: int, chunks: int, seconds: float, committing: float) -> Pass:
    return Pass(
        documents=documents, chunks=chunks, seconds=seconds, committing=committing, result=cast("Any", None)
    )


@pytest.mark.parametrize(
    ("taken", "writers", "documents_per_second"),
    [
        (pass_of(2_000, 2, 0.2, 0.1), 2, 2_000 / 0.15),
        (pass_of(2_000, 2, 0.2, 0.0), 2, 10_000),
        (pass_of(2_000, 20, 0.22, 0.4), 2, 10_000),
        (pass_of(2_000, 20, 0.42, 0.4), 1, 5_000),
        (pass_of(1_000, 1, 0.3, 0.2), 2, 10_000),
        (pass_of(1_000, 1, 0.3, 0.3), 2, 1_000 / 0.15),
        (pass_of(2_000, 1, 0.3, 9.0), 2, 2_000 / 4.5),
        (pass_of(0, 0, 0.1, 0.0), 2, 0.0),
    ],
    ids=[
        "building is slower",
        "commits take no time",
        "committing is slower",
        "one writer",
        "one chunk",
        "no faster than everybody at once",
        "commits overlap",
        "nothing",
    ],
)
def test_steady(taken: Pass, writers: int, documents_per_second: float) -> None:
    """The slower of building and committing sets the pace; the last commit, while nobody builds, not."""
    assert steady(taken, writers) == pytest.approx(documents_per_second)


@pytest.mark.parametrize("writers", [1, 2, 3, 4])
@pytest.mark.parametrize("chunks", [1, 2, 5, 20])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.5, 3.0])
def test_bounds(writers: int, chunks: int, share: float) -> None:
    """A pace is never below what all in turn would reach, nor above that of all at once."""
    taken = pass_of(1_000, chunks, 1.0, share)
    in_turn, at_once = 1_000 / (1.0 + share), 1_000 * (writers + 1)

    assert in_turn <= steady(taken, writers) <= at_once


def test_pace() -> None:
    """One pass that met a busy server does not count."""
    some = [pass_of(2_000, 2, seconds, 0.0) for seconds in (0.2, 9.0, 0.21)]

    assert pace(some, 2) == pytest.approx(2_000 / 0.21)


def test_no_pace() -> None:
    """Passes that came to no document have no pace, rather than one of nothing."""
    assert pace([pass_of(0, 0, 4.0, 0.0)] * 3, 2) is None
