"""The pod: what a container owes its kubelet: a sign of life as long as it is well, and a last word.

Outside a cluster nobody asks for either, and nothing is written. What the last word says is ``notify``'s
business; how often a probe looks for the sign, the manifest's.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chunkmigrate.migration import Migration

# Where the kubelet puts a file to write to; it reads no more of it than so many bytes.
TERMINATION_LOG = Path("/dev/termination-log")
MOST_BYTES = 4_096

LIVENESS = "CHUNKMIGRATE_LIVENESS_FILE"

# Often enough for a probe that gives up after minutes, and seldom enough to cost nothing.
PULSE_SECONDS = 5.0


@dataclass(slots=True)
class Pulse:
    """Touches ``path`` while a run is well; None: nobody looks. It may be called from any thread."""

    path: Path | None
    clock: Callable[[], float] = time.monotonic
    _next: float = field(default=0.0, init=False)

    def beat(self) -> None:
        """Give a sign of life, unless that was done a moment ago. Where it cannot, the probe will tell."""
        if self.path is None or (now := self.clock()) < self._next:
            return
        self._next = now + PULSE_SECONDS
        with suppress(OSError):
            self.path.touch()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life as long as the block lasts: an author's own code tells nobody of its own."""
        ended = threading.Event()
        thread = threading.Thread(target=self._until, args=(ended,), name="pulse", daemon=True)
        if self.path:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if self.path:
                thread.join()

    def kept_up(self, migration: Migration) -> Migration:
        """Return the migration, with signs of life while its ``upgrade`` acts: an index may take an hour."""
        if self.path is None:
            return migration

        def upgrade(database: Any) -> Any:
            with self.beating():
                return migration.load()(database)

        return replace(migration, upgrade=upgrade)

    def _until(self, ended: threading.Event) -> None:
        while not ended.wait(PULSE_SECONDS):
            self.beat()


def pulse_of(environment: Mapping[str, str]) -> Pulse:
    """Return the pulse the environment asks for."""
    path = environment.get(LIVENESS)
    return Pulse(Path(path) if path else None)


def last_word(message: Mapping[str, Any], path: Path = TERMINATION_LOG) -> None:
    """Leave a message for whoever asks how the pod ended, where a kubelet has made a place for it."""
    if path.exists():
        with suppress(OSError):
            path.write_bytes(shortened(message))


def shortened(message: Mapping[str, Any]) -> bytes:
    """Return a message as JSON that fits, with as much of its sentence as there is room for."""
    told = {name: value for name, value in message.items() if name != "text"}
    sentence, encoded = str(told.get("message", "")), json.dumps(told, default=str).encode()
    while len(encoded) > MOST_BYTES and sentence:
        sentence = sentence[: len(sentence) * 3 // 4]
        encoded = json.dumps(told | {"message": f"{sentence} ..."}, default=str).encode()
    return encoded[:MOST_BYTES]
