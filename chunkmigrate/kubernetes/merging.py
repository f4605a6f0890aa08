"""Merging: what several sources yield, each in a thread of its own, one after the other in the caller's."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class News:
    """What one source yielded, or ``error``: what it raised."""

    source: str
    value: Any = None
    error: Exception | None = None


class Merged:
    """Sources to be read together. Left, it tells them to stop, and waits for none."""

    def __init__(self) -> None:
        self._queue: queue.Queue[News] = queue.Queue()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Tell the sources to stop."""
        self._stop.set()

    @property
    def stopped(self) -> Callable[[], bool]:
        """Whether the sources are to stop."""
        return self._stop.is_set

    @property
    def sleep(self) -> Callable[[float], Any]:
        """Sleep as a source has to: until the time is over, or it is to stop."""
        return self._stop.wait

    def add(self, source: str, values: Iterable[Any]) -> None:
        """Read a source from now on."""
        threading.Thread(target=self._read, args=(source, values), name=source, daemon=True).start()

    def tell(self, source: str, value: Any) -> None:
        """Put something between what the sources yield, from any thread."""
        self._queue.put(News(source, value))

    def next(self, seconds: float) -> News | None:
        """Return what came next; None where nothing did for so long."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self, source: str, values: Iterable[Any]) -> None:
        try:
            for value in values:
                self._queue.put(News(source, value))
                if self._stop.is_set():
                    return
        except Exception as error:  # raised again, or told, where it is read
            self._queue.put(News(source, error=error))
