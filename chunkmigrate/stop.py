"""Stop: SIGTERM and SIGINT, noted for whoever asks between two documents.

What stopping means to a run is ``pipeline``'s business; which exit code it gets is the command line's.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def held_back() -> Iterator[None]:
    """Have what is started in the block begin with these signals held back, until it listens to them.

    One that came while it still imports would end it as if it had failed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(slots=True)
class Stop:
    """Whether a signal asked the run to stop; the second SIGINT exits with ``at_once``, in that moment."""

    at_once: int
    asked: bool = False
    _interrupts: int = field(default=0)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGTERM and SIGINT."""
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            # Transactions in flight are undone by the server, so nothing is lost; waiting for them is
            # what the operator has had enough of.
            if sys.stdout and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
                os.write(1, b"\x1b[?25h\n")  # the progress display has hidden the cursor
            os.write(2, b"Stopped at once; what is committed is safe. Run again to continue.\n")
            os._exit(self.at_once)
