"""Notify: a webhook is told how each run ended, and of a command that ended before one began.

A consumer that remembers the end of a run, and sends it once the exit code is known. What may be said of a
failure is ``saying``'s business, to get it there ``delivery``'s.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import (
    CancelledError,
    LeaseHeldError,
    StoppedError,
    SupersededError,
    UndeliveredError,
)
from chunkmigrate.holder import who
from chunkmigrate.telemetry import NUMBERS, event_of, numbers, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkmigrate.outcome import Outcome, Progress

# A channel is no place for a whole document, even where its values were asked for.
MAX_TEXT = 3_000

_EVENTS = {
    LeaseHeldError: "lease_held",
    SupersededError: "superseded",
    CancelledError: "cancelled",
    StoppedError: "stopped",
}


def nobody(_message: Mapping[str, Any]) -> None:
    """Tell nobody."""


class Notifier:
    """Tells of the runs of one command, in ``database``, by ``deliver``; None is what is not known."""

    def __init__(
        self, deliver: Callable[[Mapping[str, Any]], None] = nobody, *, database: str | None = None
    ) -> None:
        self._deliver, self._database = deliver, database
        self._migration: str | None = None
        self._outcome: Outcome | None = None

    def about(self, migration: str | None) -> None:
        """Speak of this migration from now on."""
        self._migration, self._outcome = migration, None

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Leave it at that: only ends are told."""

    def note(self, event: str, message: str, /, **facts: Any) -> None:
        """Leave it at that."""

    def show(self, progress: Progress) -> None:
        """Leave it at that."""

    def end(self, outcome: Outcome) -> None:
        """Remember how the run ended, until the exit code is known."""
        self._outcome = outcome

    def ended(self, outcome: Outcome, exit_code: int) -> None:
        """Tell how a run ended that raised nothing."""
        self._outcome = outcome
        self.tell(event_of(outcome), "", exit_code)

    def failed(self, error: BaseException, said: str, exit_code: int) -> None:
        """Tell of a failure, of which ``said`` may be said."""
        event = next((word for kind, word in _EVENTS.items() if isinstance(error, kind)), "failed")
        self.tell(event, said, exit_code)

    def tell(self, event: str, said: str, exit_code: int) -> None:
        """Tell what happened: how the run stands, where one has ended, and what is to be said besides."""
        outcome = self._outcome
        message = f"{sentence(outcome)} {said}".rstrip() if outcome else said
        if len(message) > MAX_TEXT:
            message = f"{message[:MAX_TEXT]} ..."
        self._deliver(
            {
                "event": event,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "migration": self._migration,
                "database": self._database,
                "status": outcome and outcome.status,
                "exit_code": exit_code,
                "message": message,
                "text": _escaped(message),
                **(numbers(outcome) if outcome else dict.fromkeys(NUMBERS)),
            }
        )


def _escaped(message: str) -> str:
    """Return a message for chats: Slack takes what stands in <> for a command, and an _id could hold one."""
    return message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def webhook(url: str, warn: Callable[[str], Any]) -> Callable[[Mapping[str, Any]], None]:
    """Return what posts a message to ``url``; where it cannot, ``warn`` is told, and that is all."""

    def post(message: Mapping[str, Any]) -> None:
        from chunkmigrate.delivery import deliver  # late: few runs need it

        body = json.dumps({**message, **who()}, default=str).encode()
        try:
            deliver(url, body, {"Content-Type": "application/json"})
        except UndeliveredError as error:
            warn(f"The webhook was not told: {error}.")

    return post
