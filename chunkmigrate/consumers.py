"""Consumers: whoever is told of a run as it goes: a terminal, log lines, metrics, a webhook.

What they are told are ``outcome``'s values, and notes in words. What each makes of them is its own business;
none knows of another. Who they are in one command is ``audience``'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkmigrate.outcome import Outcome, Progress


class Note(Protocol):
    """Told whenever there is something an operator should know: a word for it, and a sentence.

    ``facts`` are the same for machines: "signal" why a run pauses, "seconds" for how long it just did. A note
    without a sentence is nothing to say, only to count. It may come from any thread.
    """

    def __call__(self, event: str, message: str, /, **facts: Any) -> None:
        """Take note."""


class Consumer(Protocol):
    """Told of one run, from its beginning to its end; one that never got the lease has no end."""

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Hear which migration begins, inside a budget of how many bytes, and where that comes from."""

    def note(self, event: str, message: str, /, **facts: Any) -> None:
        """Hear what an operator should know, as `Note` has it."""

    def show(self, progress: Progress) -> None:
        """Hear where the run stands after a chunk."""

    def end(self, outcome: Outcome) -> None:
        """Hear how it ended."""


def silent(_event: str, _message: str, /, **_facts: Any) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Together:
    """Several consumers as one; each is told of everything, in the order in which they stand."""

    consumers: Sequence[Consumer]

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Tell all of them which migration begins."""
        for consumer in self.consumers:
            consumer.begin(migration, budget, source)

    def note(self, event: str, message: str, /, **facts: Any) -> None:
        """Tell all of them what an operator should know."""
        for consumer in self.consumers:
            consumer.note(event, message, **facts)

    def show(self, progress: Progress) -> None:
        """Tell all of them where the run stands."""
        for consumer in self.consumers:
            consumer.show(progress)

    def end(self, outcome: Outcome) -> None:
        """Tell all of them how it ended."""
        for consumer in self.consumers:
            consumer.end(outcome)
