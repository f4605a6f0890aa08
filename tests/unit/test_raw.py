"""Raw BSON: keys, elements and documents found in bytes."""

from __future__ import annotations

import math
import random
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

from chunkmigrate.raw import Key, MalformedError, element, elements, enclosed, ends, head, key_of

UUIDS = CodecOptions[dict[str, Any]](uuid_representation=UuidRepresentation.STANDARD, tz_aware=True)


def raw(kind: int, value: bytes, name: bytes = b"_id") -> bytes:
    """A document of one element, byte by byte."""
    body = bytes((kind,)) + name + b"\0" + value + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def text(value: bytes) -> bytes:
    return struct.pack("<i", len(value) + 1) + value + b"\0"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (ObjectId("5f0000000000000000000001"), 0x07),
        ("", 0x02),
        ("grüße", 0x02),
        (5, 0x10),
        (Int64(5), 0x12),
        (2**40, 0x12),
        (-0.0, 0x01),
        (math.nan, 0x01),
        (Decimal128("1.10"), 0x13),
        (True, 0x08),
        (datetime(2024, 2, 29, tzinfo=UTC), 0x09),
        (None, 0x0A),
        (Binary(b"\0\1\2", 128), 0x05),
        (UUID(int=7), 0x05),
        ({}, 0x03),
        ({"b": 1, "a": {"_id": [1, {"x": None}]}}, 0x03),
        ([1, 2], 0x04),
        (Timestamp(1, 2), 0x11),
        (MinKey(), 0xFF),
        (MaxKey(), 0x7F),
        (Code("f()"), 0x0D),
        (Code("f()", {"_id": 1}), 0x0F),
        (DBRef("c", 1, "d"), 0x03),
        (Regex("a", "i"), 0x0B),
    ],
)
def test_key(value: Any, kind: int) -> None:
    """A key is the _id's type and bytes, wherever it stands, and makes the same element again."""
    first = bson.encode({"_id": value}, codec_options=UUIDS)
    last = bson.encode({"x": [{"_id": 0}, "y"], "y": {"_id": 0}}, codec_options=UUIDS)
    last = struct.pack("<i", len(last) + len(first) - 5) + last[4:-1] + first[4:]
    key = key_of(first)

    assert key.type == kind
    assert key.document().raw == first
    assert key_of(last) == key
    assert key_of(memoryview(last)) == key
    assert repr(bson.decode(key.document("$gt").raw)["$gt"]) == key.shown()


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (0x09, struct.pack("<q", 2**60), "BSON type 0x09, bytes 0000000000000010"),
        (0x0E, text(b"symbol"), "'symbol'"),
        (0x0B, b"^a\0im\0", "Regex('^a', 10)"),
        (0x06, b"", "None"),
        (0x0C, text(b"c") + bytes(12), "DBRef('c', ObjectId('000000000000000000000000'))"),
        (0x02, text(b"\xff"), "BSON type 0x02, bytes 02000000ff00"),
    ],
)
def test_key_of_no_python(kind: int, value: bytes, shown: str) -> None:
    """A key that Python cannot hold, or would write back as another type, keeps its exact bytes."""
    key = key_of(raw(kind, value))

    assert key == Key(kind, value)
    assert key.document().raw == raw(kind, value)
    assert key.shown() == shown


def test_keys_differ() -> None:
    """Equal numbers of different types, and both zeros, are different keys."""
    values = [1, Int64(1), 1.0, Decimal128("1"), True, 0.0, -0.0, Int64(0), {"a": 1}, {"a": 1.0}]

    assert len({key_of(bson.encode({"_id": value})) for value in values}) == len(values)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100, 101, 1000, 1001, 1111])
def test_documents(count: int) -> None:
    """An array of any length is divided into its documents, however many digits an index takes."""
    items = [bson.encode({"n": n, "text": "x" * (n % 7)}) for n in range(count)]
    whole = bson.encode({"a": [bson.decode(item) for item in items]})
    start, kind, end = element(whole, b"a")

    array, found = memoryview(whole)[start:end], ends(memoryview(whole)[start:end])
    assert kind == 0x04
    assert (found[0], found[-1]) == (4, len(array) - 1)
    assert [array[found[n] + head(n) : found[n + 1]] for n in range(len(found) - 1)] == items


def test_enclosed() -> None:
    """Elements taken out of a document make a document again, of any run of them."""
    whole = bson.encode({"a": 1, "b": "x", "c": [None]})
    b, c = (element(whole, name)[0] - 3 for name in (b"b", b"c"))

    assert enclosed(whole[4:-1]) == enclosed(memoryview(whole)[4:-1]) == whole
    assert bson.decode(enclosed(memoryview(whole)[b:c])) == {"b": "x"}
    assert bson.decode(enclosed(b"")) == {}


def test_no_key() -> None:
    """A document without an _id is refused by that name; an _id deeper inside does not count."""
    with pytest.raises(MalformedError, match="no field '_id'"):
        key_of(bson.encode({"a": {"_id": 1}}))


FULL = bson.encode(
    {"a": "xyz", "n": None, "d": {"b": [1, 2]}, "_id": 5, "r": Regex("a", "i"), "s": Code("f", {"a": 1})}
)


@pytest.mark.parametrize("length", range(len(FULL)))
def test_truncated(length: int) -> None:
    """A document cut off at any byte is malformed, even with its length and last byte put right."""
    cut = FULL[:length]
    with pytest.raises(MalformedError):
        list(elements(cut))
    with pytest.raises(MalformedError):
        ends(cut)
    if length < 5 or length in whole_at():
        return
    with pytest.raises(MalformedError):
        list(elements(enclosed(cut[4:])))


def whole_at() -> set[int]:
    return {4, *(end for _, _, _, end in elements(FULL))}


@pytest.mark.parametrize(
    "value",
    [
        raw(0x02, struct.pack("<i", -9) + b"abc\0"),
        raw(0x02, struct.pack("<i", 2**31 - 1) + b"abc\0"),
        raw(0x03, struct.pack("<i", -1)),
        raw(0x05, struct.pack("<i", 99) + b"\0abc"),
        raw(0x0B, b"a"),
        raw(0x10, b"\1"),
        raw(0x10, b""),
        raw(0x20, b""),
        raw(0x01, bytes(8))[:-1] + b"\1",
        raw(0x01, bytes(8)) + b"\0",
        b"\4\0\0\0",
        b"\5\0\0\0\0\0\0\0",
        b"",
    ],
)
def test_malformed(value: bytes) -> None:
    """Lengths that point backwards or outside, unknown types and missing ends are malformed."""
    with pytest.raises(MalformedError):
        list(elements(value))


@pytest.mark.parametrize("length", [-20, -4, 0, 4, 8, 10, 2**31 - 1, 40])
def test_malformed_array(length: int) -> None:
    """A document in an array whose length points backwards, outside or not to its end is malformed."""
    with pytest.raises(MalformedError, match="a document does not end within its array of 17 bytes"):
        ends(raw(0x03, struct.pack("<i", length) + b"\x10a\0\1\0\0"[:5], b"0"))


def test_truncated_array() -> None:
    """An array cut off within any document is malformed, even with its length and last byte put right."""
    array = enclosed(b"".join(b"\3%d\0" % n + bson.encode({"n": n}) for n in range(12)))
    whole = {end: number for number, end in enumerate(ends(array))}
    for length in range(4, len(array) - 1):
        if length in whole:
            assert len(ends(enclosed(array[4:length]))) == whole[length] + 1
            continue
        with pytest.raises(MalformedError):
            ends(enclosed(array[4:length]))


def anything(chance: random.Random, depth: int = 0) -> Any:
    kinds: list[Any] = [
        lambda: chance.randrange(-(2**31), 2**31),
        lambda: Int64(chance.randrange(-(2**63), 2**63)),
        chance.random,
        lambda: chance.choice([None, True, False]),
        lambda: "".join(chance.choices("aä€\0😀", k=chance.randrange(9))),
        lambda: Binary(chance.randbytes(chance.randrange(20)), chance.choice([0, 2, 128])),
        lambda: ObjectId(chance.randbytes(12)),
        lambda: datetime.fromtimestamp(chance.randrange(2**31), UTC),
        lambda: Decimal128(str(chance.randrange(10**9))),
        lambda: Timestamp(chance.randrange(2**32), 1),
        lambda: Regex(chance.choice(["", "a.b"]), chance.choice(["", "imx"])),
        lambda: Code("f", chance.choice([None, {"a": 1}])),
        lambda: chance.choice([MinKey(), MaxKey()]),
    ]
    if depth < 3:
        kinds += [lambda: fields(chance, depth + 1), lambda: list(fields(chance, depth + 1).values())]
    return chance.choice(kinds)()


def fields(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    names = ["", "a", "_id", "é", "a.b", "$x", "0"]
    return {name: anything(chance, depth) for name in chance.sample(names, chance.randrange(len(names)))}


@pytest.mark.parametrize("seed", range(50))
def test_same_as_decoding(seed: int) -> None:
    """The elements of a random document are the fields that decoding finds, in order and value by value."""
    chance = random.Random(seed)
    for _ in range(10):
        whole = bson.encode(fields(chance))
        found = {
            name.decode(): bson.decode(Key(kind, whole[start:end]).document("v").raw)["v"]
            for name, start, kind, end in elements(whole)
        }

        assert list(found.items()) == list(bson.decode(whole).items())


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 5, True),
        ("a", "b", True),
        (ObjectId(), ObjectId(), True),
        (1.5, 2.5, False),
        (float("nan"), 1.0, False),
        (1, Int64(2**40), False),
        (1, "a", False),
        (None, None, False),
        ({"a": 1}, {"a": 2}, False),
    ],
)
def test_in_order_with(one: Any, other: Any, *, expected: bool) -> None:
    """A query may compare two keys only where its comparison is that of the index."""
    first, second = (key_of(bson.encode({"_id": value})) for value in (one, other))

    assert first.in_order_with(second) is expected
