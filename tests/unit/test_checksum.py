"""Checksum: what a file means, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chunkmigrate
from chunkmigrate.checksum import checksum_of, comparable, differs, parsed

FIXTURE = b'''"""Store prices in cents."""

from __future__ import annotations

import re
from chunkmigrate import Backfill, UpdateOne, scan

depends_on = ["20260101000000_prices"]
WORDS = {**{}, "a": None, b"b": ..., "c": True, "d": 1, "e": 1.5, "f": -2j, "g": 10**30}


class Price:
    """One price."""

    def __init__(self, *values: int, unit: str = "EUR", **rest: object) -> None:
        self.cents, self.unit = sum(values), unit


async def later(db):
    async for one in db: await one


def upgrade(db):
    try:
        return Backfill(scan(db.orders, {"cents": {"$exists": False}}, fields=["price"]), to_cents)
    finally:
        pass


def to_cents(order):
    text = f"{order['price']!r:>{10}} of {order['_id']}"
    match text.split():
        case [first, *_] if (found := re.match(r"\\d+", first)):
            return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": int(found[0]), "text": text[1:]}})
    return None
'''


def of(source: bytes | str) -> str:
    content = source.encode() if isinstance(source, str) else source
    return checksum_of(content, parsed(content))


def test_stays() -> None:
    """The checksum of a file is the same in every version of Python, and of this library."""
    assert of(FIXTURE) == "meaning1:33464d6038e2e883b17d5a86fde0eaae849dcfb29d2dfbbbb64bfb530315b1a3"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x=(1)  # one\n\n"),
        ("x = 1\ny = 2", "x = 1; y = 2"),
        ("x = 'a'", 'x = "a"'),
        ("x = 'ab'", "x = 'a' u'b'"),
        ("x = 10", "x = 0xA"),
        ("x = f'a{b}c'", "x = f'a{b}' 'c'"),
        ("x = [1,]", "x = [\n    1\n]"),
        ('"""Say it."""\nx = 1', '"""Say it otherwise."""\nx = 1'),
        ("def f():\n    pass", 'def f():\n    """Do nothing."""'),
        ("class A:\n    x = 1\n    'a note'", "class A:\n    x = 1"),
        ("x = 1\r\n", "\ufeffx = 1\n"),
        ("if x:\n\tf()", "if x:\n        f()\n        pass"),
    ],
)
def test_same(one: str, other: str) -> None:
    """Comments, whitespace, quotes, docstrings and what does nothing do not matter."""
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "y = 1"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 0.0", "x = -0.0"),
        ("x = None", "x = ..."),
        ("return_ = f(None)", "return_ = f()"),
        ("x = 'a'", "x = b'a'"),
        ("x = ['a', 'b']", "x = ['ab']"),
        ("x = [['a'], 'b']", "x = [['a', 'b']]"),
        ("f(a, b)", "f(a)(b)"),
        ("f(*a)", "f(**a)"),
        ("x = {**a}", "x = {None: a}"),
        ("x = a - (b - c)", "x = a - b - c"),
        ("if a:\n    f()\ng()", "if a:\n    f()\n    g()"),
        ("def f(a, b=1): return a", "def f(a, *, b=1): return a"),
        ("def f(): return None", "def f(): return"),
        ("x = f'{a!r}'", "x = f'{a!s}'"),
        ("x = f'{a:b}'", "x = f'{a}b'"),
        ("x = f'a'", "x = 'a'"),
        ("a\nb", "b\na"),
    ],
)
def test_different(one: str, other: str) -> None:
    """Whatever changes the meaning changes the checksum."""
    assert of(one) != of(other)


@pytest.mark.parametrize(
    "source", ["def f(:", "x = '\0'", "x" + "(" * 500, "\udcff".encode(errors="surrogatepass")]
)
def test_broken(source: str | bytes) -> None:
    """A file that cannot be read as Python has the checksum of its bytes."""
    content = source.encode() if isinstance(source, str) else source

    assert parsed(content) is None
    assert of(content) == of(content) != of(content + b" ")


def test_broken_is_not_whole() -> None:
    """A file that was whole and is broken now differs from itself."""
    assert differs(of("x = 1"), of("x = "))


def test_deep() -> None:
    """A tree that is a thousand deep, and a number too long to be printed, have a checksum, too."""
    deep, long = " + ".join(["x"] * 1_000), "x = 0x" + "f" * 5_000

    assert parsed(deep.encode())
    assert of(deep) != of(f"{deep} + x")
    assert of(long) != of(f"{long}f")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values, values)
def test_of_values(one: Any, other: Any) -> None:
    """Two files that assign a value have one checksum where they are spelled alike, and only there."""
    first, second = f"x = {one!r}", f"x = {other!r}"

    assert (of(first) == of(f"# note\nx = (\n  {one!r}\n)\n")) is True
    assert (of(first) == of(second)) is (first == second)


def test_rewritten() -> None:
    """A whole module that is written anew from its tree, as a formatter might, keeps its checksum."""
    sources = [path.read_bytes() for path in sorted(Path(chunkmigrate.__file__).parent.glob("[a-d]*.py"))]

    assert len(sources) > 20
    for source in (FIXTURE, *sources):
        assert of(ast.unparse(ast.parse(source))) == of(source)


def test_other_scheme() -> None:
    """What was recorded in another way is not compared: nobody knows whether the file has changed."""
    assert differs(of("x = 1"), of("x = 2"))
    assert not differs("sha256:" + "0" * 64, of("x = 1"))
    assert not differs(None, of("x = 1"))
    assert not comparable("meaning2:0")
