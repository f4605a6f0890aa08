"""Lines: the line that allocates is the one that shows it, in whichever function it is."""

from __future__ import annotations

import gc
import importlib.util
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.lines import profiled
from chunkmigrate.memory import return_large_buffers
from chunkmigrate.sizing import MIB
from tests.unit.making import backfill_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from chunkmigrate.lines import Line, Table

SOURCE = """
from functools import wraps

KEPT = []


def transform(document):
    number = document["_id"]
    KEPT.append(bytearray(8 << 20))
    return helped(number)


def helped(number):
    doubled = number * 2
    KEPT.append(bytearray(16 << 20))
    return None


def untouched(document):
    return None


def raises(document):
    text = document["missing"]
    return text


def decorated(function):
    @wraps(function)
    def inside(document):
        return function(document)
    return inside


@decorated
def wrapped(document):
    KEPT.append(bytearray(8 << 20))
    return None


def together(documents):
    return [None for document in documents if KEPT.append(len(documents))]


def lazily(document):
    KEPT.append(bytearray(8 << 20))
    yield from ()


class Transform:
    def __call__(self, document):
        KEPT.append(bytearray(8 << 20))
        return None

    def method(self, document):
        KEPT.append(bytearray(8 << 20))
        return None


one_line = lambda document: KEPT.append(bytearray(8 << 20))
"""


@pytest.fixture
def author(tmp_path: Path) -> Iterator[ModuleType]:
    """An author's module, from a file; what it lets go of is given back at once, as in a run."""
    return_large_buffers()
    path = tmp_path / "author.py"
    path.write_text(SOURCE, "utf-8")
    spec = importlib.util.spec_from_file_location("chunkmigrate_test_author", path)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    module.KEPT.clear()
    gc.collect()  # what is freed later would be taken for something the next test gives back


def tables(transform: Any, count: int = 4, **options: Any) -> dict[str, Table]:
    documents = [{"_id": number} for number in range(count)]
    return {table.name: table for table in profiled(backfill_of(transform), documents, **options)}


def largest(table: Table) -> Line:
    return max(table.lines, key=lambda line: line.increment or 0)


def test_line(author: ModuleType) -> None:
    """The line that keeps memory shows as much as it keeps, and a line that calls what its callee keeps."""
    found = tables(author.transform)
    own = {line.text.strip(): line for line in found["transform"].lines}

    kept = largest(found["helped"])
    assert kept.text.strip() == "KEPT.append(bytearray(16 << 20))"
    assert kept.hits == 4
    assert kept.increment == pytest.approx(4 * 16 * MIB, rel=0.1)
    assert own["KEPT.append(bytearray(8 << 20))"].increment == pytest.approx(4 * 8 * MIB, rel=0.1)
    assert own["return helped(number)"].increment == pytest.approx(4 * 16 * MIB, rel=0.1)
    assert abs(own['number = document["_id"]'].increment or 0) < MIB


def test_entered(author: ModuleType) -> None:
    """What was added between two calls is no line's of the function."""
    table = tables(author.transform)["transform"]

    assert table.lines[0].text == "def transform(document):"
    assert (table.lines[0].hits, table.lines[0].increment) == (4, None)
    assert [line.number for line in table.lines] == [*range(table.lines[0].number, table.lines[0].number + 4)]


def test_only_what_ran(author: ModuleType) -> None:
    """Functions that were not called have no table."""
    assert set(tables(author.untouched)) == {"untouched"}


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda author: author.wrapped, "wrapped"),
        (lambda author: author.lazily, "lazily"),
        (lambda author: author.Transform(), "Transform.__call__"),
        (lambda author: author.Transform().method, "Transform.method"),
        (lambda author: partial(author.lazily), "lazily"),
        (lambda author: partial(partial(author.wrapped)), "wrapped"),
        (lambda author: author.one_line, "<lambda>"),
    ],
    ids=["decorated", "generator", "object", "method", "partial", "partial of decorated", "lambda"],
)
def test_callables(author: ModuleType, made: Any, name: str) -> None:
    """Whatever can be called has a table, in which the line that keeps memory stands out."""
    kept = largest(tables(made(author))[name])

    assert "KEPT.append(bytearray(8 << 20))" in kept.text
    assert kept.increment == pytest.approx(4 * 8 * MIB, rel=0.1)


def test_no_function() -> None:
    """What is not written in Python has no lines, and is no error."""
    assert tables(id) == {}
    assert tables(partial(isinstance, 1)) == {}


def test_each_chunk(author: ModuleType) -> None:
    """What takes a list is given one."""
    documents = [{"_id": number} for number in range(3)]
    [table] = profiled(backfill_of(None, each_chunk=author.together), documents)

    assert table.name == "together"
    assert author.KEPT == [1, 1, 1]


def test_raises(author: ModuleType) -> None:
    """A document a transform fails on counts, and the next one is given all the same."""
    ran = {line.text.strip(): line.hits for line in tables(author.raises)["raises"].lines}

    assert ran['text = document["missing"]'] == 4
    assert ran["return text"] == 0


def test_time_is_over(author: ModuleType) -> None:
    """It ends once its time is over, with what it has seen: here after the second document."""
    times = iter([0.0, 1.0, 2.0, 3.0])
    [table] = tables(author.untouched, count=100, seconds=2.0, clock=lambda: next(times)).values()

    assert table.lines[-1].hits == 2


def test_trace_is_given_back(author: ModuleType) -> None:
    """Nothing is traced any more afterwards, also where the author's code ends the process."""
    before = sys.gettrace()

    def ends(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables(ends)
    assert sys.gettrace() is before
    assert author
