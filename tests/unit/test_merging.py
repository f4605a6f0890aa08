from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from chunkmigrate.kubernetes.merging import Merged

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 30.0


def test_merged() -> None:
    """What several sources yield comes together, with what one raised, and where each is from."""

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError

    with Merged() as merged:
        merged.add("a", [1, 2])
        merged.add("b", failing())
        merged.tell("c", "told")
        news = [merged.next(SOON) for _ in range(5)]

    found = {(one.source, one.value, type(one.error)) for one in news if one}
    assert found == {
        ("a", 1, type(None)),
        ("a", 2, type(None)),
        ("b", 1, type(None)),
        ("b", None, ValueError),
        ("c", "told", type(None)),
    }


def test_nothing_new() -> None:
    """Where nothing comes for the time that was given, that is said, and nobody waits for ever."""
    with Merged() as merged:
        assert merged.next(0.01) is None


def test_left() -> None:
    """Once it is left its sources are told to stop, in the middle of a sleep too."""
    woken = threading.Event()

    def sleeping() -> Iterator[int]:
        merged.sleep(10 * SOON)
        woken.set()
        yield from ()

    with Merged() as merged:
        merged.add("a", sleeping())
        assert not merged.stopped()
    assert merged.stopped()
    assert woken.wait(SOON)
