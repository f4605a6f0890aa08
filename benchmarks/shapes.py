"""Shapes: which documents a collection holds, in which order, and which field the change adds.

A shape's name is its collection's and its migration's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument

from benchmarks.documents import events, identifier, orders, price

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORDERS = 500
SMALL, BURST, JUMPED, HUGE = 600, 1_000_000, 320_000, 15_000_000
BURSTS, BURST_LENGTH = 6, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """``make(number, of)`` returns a document without its ``_id``; ``limit`` is for its pod, in MiB."""

    name: str
    documents: int
    field: str
    make: Callable[[int, int], dict[str, Any]]
    limit: int
    fewest: int = 1

    def count(self, scale: float) -> int:
        """Return how many documents there are at that scale."""
        return max(self.fewest, round(self.documents * scale))

    def encoded(self, count: int) -> Iterator[RawBSONDocument]:
        """Yield the documents."""
        for number in range(count):
            document = {"_id": identifier(number), **self.make(number, count)}
            yield RawBSONDocument(bson.encode(document))


def _tiny(number: int, _of: int) -> dict[str, Any]:
    return {"price": price(number)}


def _order(number: int, _of: int) -> dict[str, Any]:
    return {"price": price(number), **_different()[number % ORDERS]}


def _bursts(number: int, of: int) -> dict[str, Any]:
    apart = max(2 * BURST_LENGTH, of // BURSTS)
    return _log(number, BURST if number % apart >= apart - BURST_LENGTH else SMALL)


def _jump(number: int, of: int) -> dict[str, Any]:
    return _log(number, SMALL if number < 0.6 * of else JUMPED)


def _huge(number: int, _of: int) -> dict[str, Any]:
    return _log(number, HUGE)


def _log(number: int, size: int) -> dict[str, Any]:
    return {"price": price(number), "events": _events(size)}


_different = cache(lambda: orders(ORDERS))
_events = cache(events)

SHAPES = (
    Shape(name="projected", documents=50_000, field="cents", make=_order, limit=64),
    Shape(name="tiny", documents=1_000_000, field="cents", make=_tiny, limit=64),
    Shape(name="nested", documents=20_000, field="total", make=_order, limit=64),
    Shape(name="bursts", documents=20_060, field="summary", make=_bursts, limit=96),
    Shape(name="jump", documents=2_000, field="summary", make=_jump, limit=96),
    Shape(name="huge", documents=20, field="cents", make=_huge, limit=96, fewest=6),
    Shape(name="huge_whole", documents=20, field="summary", make=_huge, limit=160, fewest=6),
)
