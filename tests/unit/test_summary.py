"""A profile and its tuning on a terminal 80 wide."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from chunkmigrate.profiles import Function, Line
from chunkmigrate.sizing import MIB
from chunkmigrate.summary import SHOWN_LINES, Summary
from chunkmigrate.tuning import tune
from tests.unit.measured import past, point_of, profile_of, step_of

LONG = (
    "    return UpdateOne({'_id': order['_id']}, {'$set': {'cents': round(order['price'] * 100)}})  # cents"
)


def shown(show: str, value: Any) -> str:
    out = StringIO()
    getattr(Summary(Console(file=out, width=80, highlight=False)), show)(value)
    return out.getvalue()


def line(number: int, increment: int | None, text: str = LONG) -> Line:
    return Line(
        number=number, text=text, hits=0 if increment is None else 4, increment=increment, memory=None
    )


def test_profile() -> None:
    """What was measured is shown with its units: the time it took, sizes, stages, budgets."""
    step = step_of(point_of(45, held=False), point_of(50), paces={1_000: 30_000, 100: 12_000})
    text = shown("profile", profile_of(step))

    assert "1_prices: measured in 12 s. A run starts with 36 MiB." in text
    assert "Step 1: 1,000,000 documents of shop.orders, 2,000 measured." in text
    assert "read 2 µs, decode 3 µs, transform 4 µs, encode 1 µs" in text
    assert "did not hold" in text
    assert "30,000" in text
    assert "12,000" in text


def test_paces() -> None:
    """A pace is shown with what it is one of: chunks that were only encoded, or committed; or as unknown."""
    sweep = (point_of(45, documents_per_second=None, held=False), point_of(50))
    text = shown("profile", profile_of(step_of(*sweep, paces={500: 30_000})))
    rows = [[cell.strip() for cell in row.split("│")] for row in text.splitlines() if "MiB │" in row]

    assert [row[4:6] for row in rows] == [
        ["-", "encode path"],
        ["90,000", "encode path"],
        ["30,000", "scratch"],
    ]


@pytest.mark.parametrize("count", [1, 30])
def test_lines(count: int) -> None:
    """Each line of a function is one row of 80 columns, those that keep most memory, in their order."""
    lines = tuple(line(number, number * MIB if number % 2 else None) for number in range(1, count + 1))
    function = Function(name="to_cents", file="/home/author/1_prices.py", lines=lines)
    text = shown("profile", profile_of(step_of(functions=(function,))))
    rows = [row for row in text.splitlines() if "return UpdateOne" in row]
    numbers = [int(row.split("│")[1]) for row in rows]

    assert "to_cents, 1_prices.py" in text
    assert "/home/author" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert numbers == sorted(numbers)
    assert len(rows) == min(count, SHOWN_LINES)
    assert count in numbers or count - 1 in numbers


def test_markup() -> None:
    """What looks like markup in an author's source is shown as it is."""
    function = Function(name="f[bold]", file="m.py", lines=(line(1, 1, "x = y[red]"),))

    text = shown("profile", profile_of(step_of(functions=(function,))))
    assert "x = y[red]" in text
    assert "f[bold]" in text


def test_failures() -> None:
    """Documents that failed are counted by class."""
    assert "3 with KeyError" in shown("profile", profile_of(step_of(failures={"KeyError": 3})))


def test_control_characters() -> None:
    """What a name holds that would move a cursor is spelled out, whatever it names."""
    function = Function(name="f\x1b[1m", file="m.py", lines=(line(1, 1, "x = '\x1b[2m'"),))
    step = step_of(namespace="shop.\x1b[3m", failures={"\x1b[4mError": 3}, functions=(function,))
    text = shown("profile", profile_of(step))

    assert "\x1b" not in text
    assert all(rf"\x1b[{number}m" in text for number in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (step_of(sampled=0, documents=0), "Step 1: 0 documents of shop.orders, 0 measured."),
        (step_of(documents=None), "Step 1: an unknown number of documents of shop.orders, 2,000 measured."),
    ],
)
def test_unknown(step: Any, sentence: str) -> None:
    """A step without documents, or whose documents could not be counted, says so."""
    assert sentence in shown("profile", profile_of(step))


def test_tuning() -> None:
    """What to set comes with what to expect, and with the reasons."""
    text = shown("tuning", tune(profile_of(step_of(paces={1_000: 10_000})), [past()]))

    assert "82Mi" in text
    assert "1,000 documents, 2.8 MiB" in text
    assert "1 min 23 s to 2 min 47 s" in text
    assert "Memory: peak 71 MiB over 1 run, +15 %, rounded: 82Mi." in text


def test_tuning_unknown() -> None:
    """What is not known is left out."""
    assert "expected duration" not in shown("tuning", tune(profile_of(step_of(documents=None)), []))
