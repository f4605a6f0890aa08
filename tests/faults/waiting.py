"""Waiting for a condition, never for a time; and a deadline on each wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.02


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until the condition holds; `AssertionError` naming ``what`` if it does not in ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"waited {seconds:g} s in vain for {what}"
            raise AssertionError(message)
        time.sleep(POLL_SECONDS)
