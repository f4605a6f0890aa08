"""Pages: replies of the server decoded a little at a time, and how many documents are asked for."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import DBRef, Decimal128, Int64, ObjectId, Regex
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo.errors import AutoReconnect, PyMongoError

from chunkmigrate.errors import UndecodableError
from chunkmigrate.pages import (
    FIRST_DOCUMENTS,
    NOTHING,
    PAGE_DOCUMENTS,
    TOGETHER_BYTES,
    Page,
    PageReader,
)
from chunkmigrate.raw import enclosed, ends, key_of
from chunkmigrate.retry import Retry
from chunkmigrate.windows import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkmigrate.raw import Key

PLAIN: CodecOptions[Any] = CodecOptions()
CLASSES = (dict, SON, RawBSONDocument)
HOUR = timezone(timedelta(hours=1))
OPTIONS: list[CodecOptions[Any]] = [
    *(CodecOptions(document_class=class_) for class_ in CLASSES),
    CodecOptions(tz_aware=True),
    CodecOptions(document_class=SON, tz_aware=True, tzinfo=HOUR),
]


def page_of(documents: Sequence[bytes]) -> Page:
    """A page of these documents, written as the array of a reply is."""
    array = enclosed(b"".join(b"\3%d\0" % index + one for index, one in enumerate(documents)))
    return Page(memoryview(array), ends(array))


def undecodable(document: dict[str, Any]) -> bytes:
    """The document with a text behind it that is no UTF-8."""
    text = b"\x02text\0" + struct.pack("<i", 3) + b"\xff\xfe\0"
    return enclosed(bson.encode(document)[4:-1] + text)


def mixed(chance: random.Random, count: int) -> list[bytes]:
    """Documents of all sizes, from tiny to more than are decoded together."""
    sizes = [0, 0, 1, 9, 50, 300, 2_000, TOGETHER_BYTES - 100, TOGETHER_BYTES, 3 * TOGETHER_BYTES]
    values: list[Any] = [
        lambda: chance.randrange(2**31),
        lambda: Int64(chance.randrange(2**63)),
        lambda: datetime.fromtimestamp(chance.randrange(2**31), UTC),
        lambda: {"$ref": "c", "$id": chance.randrange(9)},
        lambda: DBRef("c", 5, "d"),
        lambda: [{"a": [{}]}, Decimal128("1.5"), None],
        lambda: Regex("a", "i"),
        lambda: ObjectId(chance.randbytes(12)),
    ]
    names = ("_id", "a", "0", "$ref", "$id", "é")
    return [
        bson.encode(
            {name: chance.choice(values)() for name in chance.sample(names, chance.randrange(5))}
            | {"text": "x" * chance.choice(sizes)}
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("options", OPTIONS, ids=["dict", "SON", "raw", "aware", "SON-aware"])
@pytest.mark.parametrize("seed", range(8))
def test_decoded(options: CodecOptions[Any], seed: int) -> None:
    """Every document is what bson makes of it alone: its class, its order, its dates, its references."""
    chance = random.Random(seed)
    documents = mixed(chance, chance.randrange(1, 60))
    found = list(page_of(documents).decoded(options))
    expected = [bson.decode(one, options) for one in documents]

    assert found == expected
    assert list(map(type, found)) == [options.document_class] * len(documents)
    assert [list(one.items()) for one in found] == [list(one.items()) for one in expected]


@pytest.mark.parametrize("class_", CLASSES)
@pytest.mark.parametrize("others", [0, 3])
def test_no_reference(class_: type, others: int) -> None:
    """A document with the fields of a reference is still a document, as is what lies next to it."""
    like = enclosed(b"".join(bson.encode(one)[4:-1] for one in ({"$ref": "orders"}, {"$id": 7}, {"_id": 1})))
    documents = [bson.encode({"_id": number}) for number in range(others)]
    found = list(page_of([*documents, like, *documents]).decoded(CodecOptions(document_class=class_)))

    assert [type(one) for one in found] == [class_] * (2 * others + 1)
    assert list(found[others].items()) == [("$ref", "orders"), ("$id", 7), ("_id", 1)]


def test_thousands() -> None:
    """The documents of a page are found however many digits their numbers have."""
    documents = [bson.encode({"_id": number}) for number in range(11_111)]
    page = page_of(documents)

    assert len(page) == 11_111
    assert [one["_id"] for one in page.decoded(PLAIN)] == list(range(11_111))
    assert all(page.document(index) == documents[index] for index in (0, 9, 10, 999, 1_000, 10_000, 11_110))
    assert page.key(1_000) == key_of(documents[1_000])
    assert page.through == key_of(documents[-1])


@pytest.mark.parametrize("index", [0, 1, 7, 99, 100, 199])
@pytest.mark.parametrize("size", [0, 900, TOGETHER_BYTES])
def test_undecodable(index: int, size: int) -> None:
    """A stored document that cannot be decoded is named once it is reached, wherever it stands."""
    documents = [bson.encode({"_id": number, "pad": bytes(size)}) for number in range(200)]
    documents[index] = undecodable({"_id": f"number {index}"})
    found: list[int] = []
    with pytest.raises(UndecodableError) as caught:
        found.extend(one["_id"] for one in page_of(documents).decoded(PLAIN))

    assert caught.value.document_id == f"'number {index}'"
    assert found == list(range(index))


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        (undecodable({"_id": "seven"}), "'seven'"),
        (undecodable({"x": 1}), "unknown"),
        (undecodable({"_id": None}), "None"),
        (b"\x06\0\0\0\0\1", "unknown"),
        (enclosed(b"\x20_id\0"), "unknown"),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_named(document: bytes, shown: str, others: int) -> None:
    """The sentence about an undecodable document has its _id, if it has one, and says what was written."""
    fine = [bson.encode({"_id": 1})] * others
    with pytest.raises(UndecodableError) as caught:
        list(page_of([*fine, document, *fine]).decoded(PLAIN))

    assert str(caught.value).startswith(f"The document with _id {shown} cannot be decoded: ")
    assert str(caught.value).endswith(". Nothing of its chunk was written.")
    assert caught.value.document_id == shown
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("class_", CLASSES)
def test_no_end(class_: type) -> None:
    """A document without its closing zero byte is undecodable for every document class."""
    fine, options = bson.encode({"_id": 1}), CodecOptions[Any](document_class=class_)
    decoded = page_of([fine, fine[:-1] + b"\1", fine]).decoded(options)

    assert next(decoded)["_id"] == 1
    with pytest.raises(UndecodableError, match="_id unknown cannot be decoded"):
        next(decoded)


def test_a_little() -> None:
    """No more than a few kilobytes of small documents are decoded at a time, and large ones one by one."""
    fits = TOGETHER_BYTES // len(bson.encode({"_id": 1, "pad": bytes(900)}))
    small = [bson.encode({"_id": number, "pad": bytes(900)}) for number in range(3 * fits)]
    large = [bson.encode({"_id": number, "pad": bytes(TOGETHER_BYTES)}) for number in range(3)]
    # What lies behind the documents decoded together was not looked at: it may be broken meanwhile.
    for documents, together in ((small, fits), (large, 1)):
        array = bytearray(page_of(documents).array)
        page = Page(memoryview(array), ends(memoryview(array)))
        decoded = page.decoded(PLAIN)
        next(decoded)
        array[page.ends[together] : -1] = bytes(len(array) - 1 - page.ends[together])

        assert [next(decoded)["_id"] for _ in range(together - 1)] == list(range(1, together))
        with pytest.raises(UndecodableError):
            next(decoded)


def test_weights() -> None:
    """What the documents weigh is all of the page, and the largest is the heaviest of them."""
    documents = mixed(random.Random(5), 1_100)
    page = page_of(documents)
    weights = list(page.weights)

    assert weights == [len(one) + len(str(index)) + 2 for index, one in enumerate(documents)]
    assert (page.size, sum(weights)) == (len(page.array), len(page.array) - 5)
    assert page.largest == max(weights)
    assert list(page) == documents


def test_of() -> None:
    """The documents of a reply are found in it and not copied; a reply without any is an empty page."""
    cursor = {"firstBatch": [{"_id": 1}, {"_id": 2}], "id": Int64(0), "ns": "shop.orders"}
    reply = bson.encode({"cursor": cursor, "ok": 1.0})
    page, empty = Page.of(reply), Page.of(bson.encode({"cursor": {"firstBatch": []}}))

    assert list(page) == [bson.encode({"_id": 1}), bson.encode({"_id": 2})]
    assert page.array.obj is reply
    assert (len(empty), list(empty), list(empty.decoded(PLAIN))) == (0, [], [])
    assert (len(NOTHING), list(NOTHING), list(NOTHING.decoded(PLAIN))) == (0, [], [])


def key(number: int) -> Key:
    return key_of(bson.encode({"_id": number}))


@dataclass
class Stored:
    """A scan of documents that are only sizes; it keeps what was asked. Their numbers are their _ids."""

    stored: list[int]
    gone: bool = False
    end: int = 0
    failing: list[Exception] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def page(self, after: Key | None, _upto: Key, limit: int) -> Page:
        self.asked.append(("page", limit))
        if self.failing:
            raise self.failing.pop()
        numbers = [] if self.gone else self._behind(after)[:limit]
        return page_of([bson.encode({"_id": n, "pad": bytes(self.stored[n])}) for n in numbers])

    def last(self, upto: Key) -> Page:
        self.asked.append(("last", upto))
        return page_of([self._end()])

    def last_size(self, upto: Key) -> list[int]:
        self.asked.append(("last size", upto))
        return [len(self._end())]

    def _end(self) -> bytes:
        return bson.encode({"_id": len(self.stored), "pad": bytes(self.end)})

    def keys(self, after: Key | None, _upto: Key, limit: int) -> list[Key]:
        self.asked.append(("keys", limit))
        return [key(number) for number in self._behind(after)[:limit]]

    def sizes(self, after: Key | None, _upto: Key, limit: int) -> list[int]:
        self.asked.append(("sizes", limit))
        return [len(bson.encode({"_id": n, "pad": bytes(self.stored[n])})) for n in self._behind(after)][
            :limit
        ]

    def _behind(self, after: Key | None) -> range:
        first = 0 if after is None else bson.decode(after.document().raw)["_id"] + 1
        return range(first, len(self.stored))


def read_all(scan: Stored, page_bytes: int, *, measured: bool) -> list[Page]:
    """Every page but the last one, which is the document at the bound."""
    upto = key(len(scan.stored))
    reader, after, pages = PageReader(scan, upto), None, []  # type: ignore[arg-type]
    while page := reader.read(after, page_bytes, measured=measured):
        after = page.through
        pages.append(page)
        assert len(pages) <= len(scan.stored) + 1
    assert after == upto
    return pages[:-1]


def limits(scan: Stored) -> list[int]:
    return [limit for what, limit in scan.asked if what == "page"]


@pytest.mark.parametrize(("page_bytes", "per_page"), [(1 << 20, 1_000), (50_000, 48), (1_037, 1), (10, 1)])
def test_uniform(page_bytes: int, per_page: int) -> None:
    """Where documents are alike, no sizes are asked: the largest of a small first page tells how many fit."""
    scan = Stored([1_000] * 3_000)
    pages = read_all(scan, page_bytes, measured=False)

    assert "sizes" not in [what for what, _ in scan.asked]
    assert scan.asked[0] == ("page", FIRST_DOCUMENTS)
    assert limits(scan)[1] == min(PAGE_DOCUMENTS, int(page_bytes / pages[0].largest) or 1) == per_page
    assert sum(map(len, pages)) == 3_000


UNEVEN = [20 * 1_000 if number % 20 == 7 else 10 for number in range(2_500)]


@pytest.mark.parametrize(
    ("stored", "measured"),
    [(UNEVEN, False), (UNEVEN, True), ([1_000] * 2_500, True)],
    ids=["uneven", "uneven-measured", "alike-measured"],
)
def test_measured(stored: list[int], *, measured: bool) -> None:
    """Where documents are not alike, or no guess may be wrong, sizes are asked first and no page exceeds."""
    scan = Stored(stored)
    pages = read_all(scan, 30_000, measured=measured)

    assert [what for what, _ in scan.asked].count("sizes") >= 3
    assert all(sum(map(len, page)) <= 30_000 for page in pages)
    assert sum(sum(map(len, page)) for page in pages) / len(pages) > 15_000
    assert sum(map(len, pages)) == len(stored)


def test_one_too_large() -> None:
    """A document larger than a page may be is read all the same, and alone."""
    scan = Stored([10, 10, 50_000, 10])
    pages = read_all(scan, 1_000, measured=True)

    assert list(map(len, pages)) == [2, 1, 1]


def test_forgets() -> None:
    """One large document among small ones makes the pages behind it smaller, and is forgotten in time."""
    scan = Stored([100] * 500 + [700] + [100] * 20_000)
    read_all(scan, 20_000, measured=False)
    counts = limits(scan)
    begun = next(index for index, count in enumerate(counts) if index and count < 30)

    assert counts[2] == counts[-2] == 20_000 // (len(bson.encode({"_id": 1, "pad": bytes(100)})) + 5)
    assert counts[begun : begun + 10] == sorted(set(counts[begun : begun + 10]))


@pytest.mark.parametrize("measured", [False, True])
def test_empty_page(*, measured: bool) -> None:
    """Once nothing is left before the bound, the document at the bound is asked for, once."""
    scan, upto = Stored([10], gone=True), key(1)
    reader = PageReader(scan, upto)  # type: ignore[arg-type]
    page = reader.read(None, 1_000, measured=measured)

    assert page.through == upto
    assert [what for what, _ in scan.asked if what != "sizes"] == ["page", "last"]
    asked = len(scan.asked)
    assert not reader.read(page.through, 1_000, measured=measured)
    assert len(scan.asked) == asked


@pytest.mark.parametrize("measured", [False, True])
def test_at_the_bound(*, measured: bool) -> None:
    """Behind the bound nothing is expected, read or asked."""
    scan = Stored([10] * 5)
    reader = PageReader(scan, key(5))  # type: ignore[arg-type]

    assert reader.expected(key(5), 1_000, measured=measured) == 0
    assert reader.read(key(5), 1_000, measured=measured) is NOTHING
    assert scan.asked == []


def test_expected() -> None:
    """A page is expected to weigh its documents where their sizes are known, else what was asked for."""
    scan, upto = Stored([1_000] * 100), key(100)
    reader = PageReader(scan, upto)  # type: ignore[arg-type]
    each = len(bson.encode({"_id": 1, "pad": bytes(1_000)}))

    assert reader.expected(None, 5_000, measured=True) == 4 * each
    page = reader.read(None, 5_000, measured=True)
    assert len(page) == 4
    assert scan.asked == [("sizes", FIRST_DOCUMENTS), ("page", 4)]
    assert reader.expected(page.through, 5_000, measured=False) == 5_000
    assert reader.expected(page.through, 5_000, measured=True) == 4 * each


def test_pass_over() -> None:
    """A document may be passed over without being read: its size is forgotten, and reading goes on behind."""
    scan = Stored([1_000, 50_000, 1_000, 1_000])
    reader = PageReader(scan, key(4))  # type: ignore[arg-type]
    page = reader.read(None, 5_000, measured=True)
    expected = reader.expected(page.through, 5_000, measured=True)
    passed = reader.pass_over(page.through)

    assert expected > 50_000
    assert passed == key(1)
    assert reader.expected(passed, 5_000, measured=True) == 2 * len(page.document(0))
    assert [number["_id"] for number in reader.read(passed, 5_000, measured=True).decoded(PLAIN)] == [2, 3]
    assert [what for what, _ in scan.asked].count("sizes") == 1


def test_pass_over_the_last() -> None:
    """The document at the bound is measured before it is read, and passed over, as any other."""
    scan = Stored([], end=50_000)
    reader = PageReader(scan, key(0))  # type: ignore[arg-type]

    assert reader.expected(None, 5_000, measured=True) > 50_000
    assert reader.pass_over(None) == key(0)
    assert reader.expected(key(0), 5_000, measured=True) == 0
    assert "page" not in [what for what, _ in scan.asked]


def test_retried() -> None:
    """What is read goes through the retry that was given; a stop while it waits ends the reading."""
    scan = Stored([10] * 5, failing=[AutoReconnect("no"), AutoReconnect("no")])
    said: list[PyMongoError] = []
    retry = Retry(sleep=lambda _: None, noticed=lambda error, _: said.append(error))
    page = PageReader(scan, key(5), retry).read(None, 1_000, measured=False)  # type: ignore[arg-type]

    assert (len(page), len(said), scan.failing) == (5, 2, [])
    scan.failing = [AutoReconnect("no")]
    with pytest.raises(Interrupted) as caught:
        PageReader(scan, key(5), Retry(stopped=lambda: True)).read(key(2), 1_000, measured=False)  # type: ignore[arg-type]
    assert caught.value.through == key(2)
