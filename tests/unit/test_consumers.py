"""Consumers: several are told as one."""

from __future__ import annotations

from typing import Any

from chunkmigrate.consumers import Together


class Heard:
    """Keeps what it was told, in a list that others share."""

    def __init__(self, name: str, said: list[tuple[Any, ...]]) -> None:
        self.name, self.said = name, said

    def begin(self, migration: str, budget: int, source: str) -> None:
        self.said.append((self.name, "begin", migration, budget, source))

    def note(self, event: str, message: str, **facts: Any) -> None:
        self.said.append((self.name, "note", event, message, facts))

    def show(self, progress: Any) -> None:
        self.said.append((self.name, "show", progress))

    def end(self, outcome: Any) -> None:
        self.said.append((self.name, "end", outcome))


def test_together() -> None:
    """Each of several consumers is told of everything, one after the other."""
    said: list[tuple[Any, ...]] = []
    both, progress, outcome = Together([Heard("a", said), Heard("b", said)]), Any, object()
    both.begin("cents", 9, "--memory 9")
    both.note("throttled", "rate", signal="rate")
    both.show(progress)
    both.end(outcome)
    told = [
        ("begin", "cents", 9, "--memory 9"),
        ("note", "throttled", "rate", {"signal": "rate"}),
        ("show", progress),
        ("end", outcome),
    ]

    assert said == [(name, *what) for what in told for name in ("a", "b")]
