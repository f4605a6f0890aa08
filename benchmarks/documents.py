"""Documents as applications store them, from a seed: the same bytes in every run.

Makes them; where they are stored, and how many, is not its business.
"""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bson import ObjectId

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 20_260_105
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CITIES = ("Amsterdam", "Graz", "Kraków", "Lisboa", "Malmö", "Nantes", "Porto", "Zürich")
KINDS = ("created", "paid", "packed", "sent", "returned", "refunded")
WORDS = (
    *("blue", "bottle", "box", "brass", "cable", "candle", "ceramic", "chair", "clock", "cotton", "cup"),
    *("desk", "door", "folding", "garden", "glass", "green", "handle", "heavy", "iron", "kettle", "lamp"),
    *("large", "leather", "light", "linen", "metal", "mirror", "oak", "paper", "plain", "plate", "red"),
    *("round", "shelf", "short", "silver", "small", "steel", "table", "tall", "tray", "white", "wool"),
)
LINES = 14
TEXT_WORDS = 40
EVENT_BYTES = 288


def identifier(number: int) -> ObjectId:
    """Return the ObjectId a driver would have made, a thousand a second."""
    seconds = int(START.timestamp()) + number // 1_000
    return ObjectId(struct.pack(">I", seconds) + b"bench" + number.to_bytes(3, "big"))


def price(number: int) -> float:
    """Return a price in whole cents, between 1 and 1,000."""
    return (100 + number * 7_919 % 99_901) / 100


def orders(count: int) -> list[dict[str, Any]]:
    """Return different orders of about 3.6 KB, without ``_id`` and price."""
    chance = random.Random(SEED)
    return [_order(chance) for _ in range(count)]


def events(size: int) -> list[dict[str, Any]]:
    """Return the entries of a log of about ``size`` bytes."""
    chance = random.Random(SEED + size)
    return [_event(chance, number) for number in range(max(1, size // EVENT_BYTES))]


def _order(chance: random.Random) -> dict[str, Any]:
    name = _words(chance, 2).title()
    return {
        "customer": {
            "name": name,
            "email": f"{name.replace(' ', '.')}@example.com",
            "address": _place(chance),
        },
        "lines": [_line(chance) for _ in range(LINES)],
        "shipping": {"price": chance.randrange(300, 1500) / 100, "carrier": "post", "to": _place(chance)},
        "history": [_event(chance, number) for number in range(2)],
        "note": _words(chance, 20),
        "state": chance.choice(KINDS),
    }


def _line(chance: random.Random) -> dict[str, Any]:
    return {
        "sku": f"{chance.randrange(10**8):08}",
        "title": _words(chance, 5),
        "quantity": chance.randrange(1, 6),
        "price": chance.randrange(100, 20_000) / 100,
        "tax": {"rate": chance.choice((0.0, 0.07, 0.19)), "region": chance.choice(CITIES)},
        "tags": chance.sample(WORDS, 3),
    }


def _place(chance: random.Random) -> dict[str, Any]:
    street = f"{_words(chance, 2).title()} Street {chance.randrange(1, 200)}"
    return {"street": street, "city": chance.choice(CITIES), "code": f"{chance.randrange(10**5):05}"}


def _event(chance: random.Random, number: int) -> dict[str, Any]:
    at = START + timedelta(seconds=number)
    return {"at": at, "kind": chance.choice(KINDS), "text": _words(chance, TEXT_WORDS)}


def _words(chance: random.Random, count: int, words: Sequence[str] = WORDS) -> str:
    return " ".join(chance.choices(words, k=count))
