"""What the tests of documents have for memory and checkpoint: set by hand, and telling what happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import bson
from bson.codec_options import CodecOptions

from chunkmigrate.documents import Documents
from chunkmigrate.frontier import Segment
from chunkmigrate.memory import Reading
from chunkmigrate.retry import Retry, never
from chunkmigrate.sizing import MIB, Sizes
from tests.unit.making import Orders, Stored, key, number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.raw import Key
    from chunkmigrate.records import Deaths


@dataclass
class Room:
    """The memory there is, set by hand; and a checkpoint. It keeps what happened, in order.

    Of what is ``used`` so much is ``free``: it can be given back where that is asked for at once.
    """

    used: int = 0
    free: int = 0
    budget: int = 900 * MIB
    headroom: int = 900 * MIB
    sizes: Sizes = field(default_factory=lambda: Sizes(chunk_bytes=MIB, page_bytes=2 * MIB))
    deaths: Deaths | None = None
    asked: bool = False
    happened: list[tuple[Any, ...]] = field(default_factory=list)
    alive: WeakSet[Any] = field(default_factory=WeakSet)

    def __post_init__(self) -> None:
        room = self

        class Order(dict[str, Any]):
            """A document that tells when it is made, and whether it is still there."""

            __hash__ = object.__hash__  # type: ignore[assignment]

            def __init__(self, *values: Any) -> None:
                super().__init__(*values)
                room.happened.append(("decoded",))
                room.alive.add(self)

        self.options: CodecOptions[Any] = CodecOptions(document_class=Order)

    def reading(self) -> Reading:
        return Reading(rss=self.used, used=self.used, budget=self.budget)

    def make_room(self, size: int, *, at_once: bool = False) -> Reading:
        self.happened.append(("room", size, len(self.alive)))
        if at_once:
            self.used -= self.free
        return self.reading()

    def expanded(self, ratio: float) -> None:
        self.happened.append(("expanded", ratio))

    def stopped(self) -> bool:
        return self.asked

    def interrupted(self) -> bool:
        return self.asked

    def stop(self) -> None:
        self.happened.append(("stop",))

    def absolve(self) -> None:
        self.happened.append(("absolve",))

    def mark(self, document: Key | None, used: int = 0, among: int = 1) -> None:
        self.happened.append(("mark", document and number_of(document), used, among))

    def all(self, *kinds: str) -> list[tuple[Any, ...]]:
        return [one for one in self.happened if one[0] in kinds]


def documents_of(
    room: Room, scan: Any = None, *, careful: int = 0, stopped: Callable[[], bool] = never
) -> Documents:
    """The documents of a scan of all it has; the pages may also be handed over by the test."""
    scan = scan or Stored([])
    scan.collection = Orders(codec_options=room.options)
    segment, given = Segment(None, scan.upper_bound() if scan.documents else key(0)), cast("Any", room)
    return Documents(scan, segment, given, given, Retry(stopped=stopped), careful=careful)


def stored(count: int, size: int = 0) -> list[bytes]:
    return [bson.encode({"_id": number, "pad": bytes(size)}) for number in range(count)]
