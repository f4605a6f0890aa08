"""What is kept of a document gives it back byte for byte, and knows what was edited since."""

from __future__ import annotations

import random
from typing import Any

import bson
import pytest

from chunkmigrate import raw
from chunkmigrate.earlier import Earlier, EditedError, InexactError, fields_of, kept

SEEDS = range(300)
NAMES = ["a", "b", "c", "d", "$e", "f.g", "", "é"]


def encoded(**fields: Any) -> bytes:
    return bson.encode({"_id": 1} | fields)


def some(chance: random.Random) -> bytes | None:
    """A document of a few fields in any order, or none."""
    if chance.random() < 0.1:
        return None
    names = chance.sample(NAMES, chance.randrange(len(NAMES)))
    return bson.encode({"_id": 1} | {name: chance.choice([1, 1.0, 2, None, "x", {"a": 1}]) for name in names})


@pytest.mark.parametrize("seed", SEEDS)
def test_gives_back(seed: int) -> None:
    """Whatever a document becomes, over however many writes, what is kept of it gives the first one back."""
    chance = random.Random(seed)
    first = now = some(chance)
    earlier: Earlier | None = None
    for _ in range(chance.randrange(1, 5)):
        before, now = now, some(chance)
        earlier = earlier.followed(before, now) if earlier else kept(before, now)

    assert (first if earlier is None else earlier.restored(now)) == first


@pytest.mark.parametrize("seed", SEEDS)
def test_others_stay(seed: int) -> None:
    """A field that was not written keeps what it has now, and one that is new stays."""
    chance = random.Random(seed)
    before, after = (some(chance) or encoded() for _ in range(2))
    edited = after[:-1] + b"\x08mine\0\x01\0"
    edited = len(edited).to_bytes(4, "little") + edited[4:]

    restored = kept(before, after).restored(edited)

    assert restored is not None
    fields = fields_of(restored)
    assert fields.pop(b"mine") == b"\x08\x01"
    assert [*fields.items()] == [*fields_of(before).items()]


def test_edited() -> None:
    """Where what was written has changed nothing is given back; where it is as it was before, it stays."""
    earlier = kept(encoded(a=1, b=1), encoded(a=2, b=1, c=1))

    for edited in (encoded(a=3, b=1, c=1), encoded(a=2.0, b=1, c=1), encoded(a=2, b=1), None):
        with pytest.raises(EditedError):
            earlier.restored(edited)
    assert earlier.restored(encoded(a=1, b=5)) == encoded(a=1, b=5)
    with pytest.raises(EditedError):
        kept(None, encoded(a=1)).restored(encoded(a=1, b=1))
    with pytest.raises(EditedError):
        kept(encoded(a=1), None).restored(encoded(a=2))
    assert kept(None, encoded(a=1)).restored(None) is None


def test_edited_in_between() -> None:
    """What somebody wrote between two writes is where the document goes back to, and is marked."""
    earlier = kept(encoded(a=1), encoded(a=2)).followed(encoded(a="mine"), encoded(a=4))

    assert earlier is not None
    assert earlier.edited
    assert earlier.restored(encoded(a=4)) == encoded(a="mine")


def test_in_place() -> None:
    """Fields that kept their places are put back by operators; those that were taken away need the order."""
    added = kept(encoded(a=1, b=1), encoded(a=2, b=1, c=1))

    assert added.in_place
    assert added.operators(encoded(a=2, b=9, c=1)) == (bson.encode({"a": 1}), bson.encode({"c": True}))
    assert added.operators(encoded(a=1, b=9)) is None
    assert not kept(encoded(a=1, b=1), encoded(b=1)).in_place
    assert not kept(encoded(a=1), encoded(**{"a": 1, "b.c": 1})).in_place


def test_two_of_one_name() -> None:
    """A document that could not be given back is refused, and not kept as another one."""
    twice = raw.enclosed(b"\x08a\0\x01\x08a\0\0")

    with pytest.raises(InexactError):
        kept(twice, bson.encode({"a": 1}))
