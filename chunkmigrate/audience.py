"""Audience: who is told of the runs of one command: a terminal or a pipe, whoever was asked for besides.

It puts the consumers together; what each does with what it is told is its own module's business.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from chunkmigrate.consumers import Together
from chunkmigrate.telemetry import JsonLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.consumers import Consumer


class Audience:
    """Makes the consumers of one run after the other. ``say`` writes a line where no terminal is."""

    def __init__(self, say: Callable[[str], Any]) -> None:
        self._say = say

    @contextmanager
    def of_a_run(self) -> Iterator[Consumer]:
        """Yield whoever is told of the next run."""
        with ExitStack() as stack:
            shown: Consumer = JsonLines(self._say)
            if sys.stdout.isatty():
                from chunkmigrate.progress import Display  # late: a pod has no terminal

                shown = stack.enter_context(Display())
            yield Together([shown])
