"""What a terminal is shown: types and sizes, or values cut short, and never what could harm it."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateMany, UpdateOne

from chunkmigrate import display
from chunkmigrate.differences import MOST_LINES, lines, statement_of
from chunkmigrate.display import described, name_of, outlined, spelled
from chunkmigrate.foresight import Reading, foresee
from chunkmigrate.updates.tree import Value, value_of

ORDERS = MongoClient[dict[str, Any]](connect=False)["shop"]["orders"]
DOCUMENT = {"_id": 7, "price": 12.5, "tags": ["a", "b"], "in": {"x": 1, "y": 2}}


def shown(
    *writes: Any, document: dict[str, Any] | None = None, values: bool = False, **reading: Any
) -> list[str]:
    statements = [statement_of(write, ORDERS) for write in writes]
    seen = foresee(bson.encode(document or DOCUMENT), Reading("shop.orders", **reading), statements)
    return lines(seen, show_values=values)


def change(**operators: Any) -> UpdateOne:
    return UpdateOne({"_id": 7}, {f"${name}": operand for name, operand in operators.items()})


CHANGES = change(
    set={"price": "12.50 EUR", "cents": 1250, "in.x": 1, "tags.1": "c"},
    unset={"in.y": ""},
    push={"new": True},
)


def test_masked() -> None:
    """Without values, each path that changes is one line of types and sizes."""
    assert shown(CHANGES) == [
        "~ price: double -> string (9 characters)",
        "~ tags.1: string (1 character) -> string (1 character)",
        "- in.y: int",
        "+ cents: int",
        "+ new: array (1 item)",
    ]


def test_values() -> None:
    """With values, what was and what would be are a line each."""
    assert shown(CHANGES, values=True) == [
        "- price: 12.5",
        "+ price: '12.50 EUR'",
        "- tags.1: 'b'",
        "+ tags.1: 'c'",
        "- in.y: 2",
        "+ cents: 1250",
        "+ new: [True]",
    ]


@pytest.mark.parametrize(
    "write",
    [
        change(set={"price": 12.5}),
        change(pull={"tags": "z"}),
        UpdateOne({"_id": 7, "price": 1}, {"$inc": {"price": 1}}),
    ],
)
def test_nothing(write: UpdateOne) -> None:
    """Where nothing would be another, nothing is shown."""
    assert shown(write) == []


SECRET = "Ilse Bilse 0815"


@pytest.mark.parametrize(
    "write",
    [
        change(set={"a": SECRET, "b": {"c": [SECRET]}}),
        change(bit={"a": SECRET}, unset={"secret": ""}),
        change(push={"secret": {"$each": [SECRET], "$sort": 1}}),
        change(pull={"tags": {"$in": [SECRET]}}),
        change(inc={"secret": SECRET}),
        change(inc={"secret": 1}),
        UpdateMany({"name": SECRET}, {"$set": {"a": SECRET}}, array_filters=[{"x": SECRET}]),
        UpdateOne({"_id": 7}, [{"$set": {"a": SECRET}}]),
        ReplaceOne({"_id": 7}, {"a": SECRET}),
        InsertOne({"a": SECRET, "b": {"c": SECRET}}),
        InsertOne({"_id": 7, "a": SECRET}),
        InsertOne({"a": SECRET}, namespace="shop.audit"),
        DeleteOne({"name": SECRET}),
        DeleteOne({"_id": 7}),
    ],
)
def test_contents_are_masked(write: Any) -> None:
    """Nothing a document holds or a write carries is shown, whatever the write, unless it is asked for."""
    document = {"_id": 7, "secret": SECRET, "deep": {"er": [SECRET]}, "tags": [SECRET]}

    assert shown(write, document=document)
    assert SECRET not in "\n".join(shown(write, document=document))


def test_arrays() -> None:
    """Arrays are compared item by item, unless some were taken out or put in between."""
    assert shown(change(push={"tags": "c"})) == ["+ tags.2: string (1 character)"]
    assert shown(change(pop={"tags": 1})) == ["- tags.1: string (1 character)"]
    assert shown(change(pop={"tags": -1})) == ["~ tags: array (2 items) -> array (1 item)"]


def test_not_known() -> None:
    """What is not known is said to be so, with the change that was meant and the reason."""
    write = change(set={"cents": 5}, inc={"version": 1}, rename={"price": "cost", "old": "new"})

    assert shown(write, document={"_id": 7, "price": 1.5}, fields=("price",)) == [
        "- price: double",
        "~ cents: not known -> int",
        "~ cost: not known -> double",
        "- old: not known",
        "? new: $rename of old: what is there now was not read, or is not known",
        "? version: $inc int: what is there now was not read, or is not known",
    ]


def test_replaced_unread() -> None:
    """That a replacement takes away what was not read is said, in parts of a document, too."""
    document = {"_id": 7, "in": {"x": 1}}

    assert shown(ReplaceOne({"_id": 7}, {}), document=document, fields=("in.x",)) == [
        "- in: object (1 field read)",
        "- every field that was not read: not known",
    ]
    assert shown(change(set={"in": {"x": 1}}), document=document, fields=("in.x",)) == [
        "- every field of in that was not read: not known"
    ]


NOT_NAMED = "its filter does not name one _id"
ITEMS, OPTIONS = "{$set: {'a.$[x]': int}}", "{arrayFilters: [{x: int}]}"


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (DeleteOne({"_id": 7}), "- the document: object (4 fields)"),
        (change(currentDate={"at": True}), "+ at: date (the time of writing)"),
        (
            InsertOne({"_id": 8, "a": [1]}),
            "> insert into shop.orders {_id: int, a: [int]} (it is a document of its own)",
        ),
        (
            UpdateMany({"p": 1}, {"$set": {"a": "b"}}, upsert=True),
            f"> upsert all in shop.orders {{p: int}}: {{$set: {{a: string (1 character)}}}} ({NOT_NAMED})",
        ),
        (DeleteMany({"p": 1}), "> delete all in shop.orders {p: int} (its filter does not name one _id)"),
        (
            UpdateMany({"p": 1}, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 1}]),
            f"> update all in shop.orders {{p: int}}: {ITEMS} with {OPTIONS} ({NOT_NAMED})",
        ),
        (
            change(inc={"tags": 1}),
            "! update in shop.orders {_id: int}: {$inc: {tags: int}} (only a number can be calculated with)",
        ),
    ],
)
def test_line(write: Any, line: str) -> None:
    """Each kind of write has its line."""
    assert shown(write) == [line]


def test_many() -> None:
    """Of very many lines the first are shown, and how many more there are."""
    found = shown(change(set={f"f{n}": n for n in range(5_000)}))

    assert len(found) == MOST_LINES + 1
    assert found[-1] == f"  and {5_000 - MOST_LINES:,} more"


HARM = [
    "\x1b[2J",
    "\x07",
    "\r\n",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\x00",
    "\x7f",
    "\ud800",
]


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("harm", HARM)
def test_harmless(harm: str, *, values: bool) -> None:
    """What could move a terminal's cursor, colour it or turn its text around never reaches it."""
    name = f"a{harm}b".replace("\x00", "\x01").replace("\ud800", "\x01")
    text = name if harm == "\ud800" else f"x{harm}y"
    writes = [
        UpdateOne({"_id": 7}, {"$set": {name: text, "s": {name: [text]}, "b": Binary(text.encode(), 9)}}),
        UpdateOne(
            {"_id": 7}, {"$rename": {"price": f"x{name}"}, "$bit": {f"y{name}": 1}, "$unset": {f"p{name}": 1}}
        ),
        InsertOne({name: text}, namespace=f"shop.{name}"),
        UpdateMany(
            {name: text}, {"$set": {"re": bson.Regex(text.replace("\x00", "")), "code": bson.Code(text)}}
        ),
    ]
    found = shown(*writes, values=values, document={**DOCUMENT, f"p{name}": text})

    assert len(found) > 6
    assert all(line.isprintable() for line in found)


def test_undecodable() -> None:
    """What the driver cannot decode is shown all the same, and harms nothing."""
    broken = Value(0x02, b"\x05\0\0\0\xff\xfe\x1b[\0")
    far = Value(0x09, b"\xff" * 7 + b"\x7f")

    assert described(broken) == "string (4 characters)"
    assert spelled(broken).isprintable()
    assert spelled(far) == "9,223,372,036,854,775,807 ms after 1970"
    assert spelled(Value(0x0B, b"(\0q\0")).isprintable()
    assert shown(ReplaceOne({"_id": 7}, RawBSONDocument(bson.encode({"a": 1}))), values=True)


@pytest.mark.parametrize(
    ("value", "masked", "text"),
    [
        (1, "int", "1"),
        (Int64(1), "long", "Int64(1)"),
        (1.0, "double", "1.0"),
        (Decimal128("1.50"), "decimal", "Decimal128('1.50')"),
        (True, "bool", "True"),
        (None, "null", "None"),
        ("x" * 1_100, "string (1,100 characters)", f"'{'x' * 60}' and 1,040 more characters"),
        ("ä", "string (1 character)", "'ä'"),
        (b"ab", "binData (2 bytes)", "6162 (binData, subtype 0)"),
        (ObjectId(b"0" * 12), "objectId", "ObjectId('303030303030303030303030')"),
        (datetime(2026, 1, 1, tzinfo=UTC), "date", "2026-01-01T00:00:00.000+00:00"),
        ({"a": {"b": [1, "x"]}}, "object (1 field)", "{a: {b: [1, 'x']}}"),
        ([0] * 3_000, "array (3,000 items)", f"[{'0, ' * 54}and 2,946 more]"),
    ],
)
def test_value(value: Any, masked: str, text: str) -> None:
    """A value is its type and its size, or what Python would write, cut where it is long."""
    assert described(value_of(value)) == masked
    assert spelled(value_of(value)) == text


def test_names() -> None:
    """A name that could be taken for more than one, or for nothing, is quoted; a long one is cut."""
    assert name_of(["a", "b.c", "", "d e", "x" * 70]) == f"a.'b.c'.''.'d e'.{'x' * 60} and 10 more"


def test_deep() -> None:
    """A line stays short, however deep or wide a document is."""
    deep: Any = 1
    for _ in range(90):
        deep = {"a" * 20: deep, "b" * 20: [deep] if deep == 1 else 1}

    assert len(outlined(value_of(deep))) < 1_000


def test_examples() -> None:
    """The examples in the docstrings are true."""
    assert doctest.testmod(display).failed == 0
