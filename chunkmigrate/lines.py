"""Lines: memory-profiler's table of the author's own functions, line by line.

It slows what it watches some four hundred times, so that it sees as many documents of a sample as there is
time for. What is imported here is never imported in a run.
"""

from __future__ import annotations

import inspect
import linecache
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.backfill import writes_of
from chunkmigrate.memory import process_rss
from chunkmigrate.units import MI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FunctionType

    from chunkmigrate.backfill import Backfill

LINE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a function: how often it ran, and the bytes of the process behind it.

    ``increment`` is what it added, over all its runs; both are None of a line that never ran.
    """

    number: int
    text: str
    hits: int
    increment: int | None
    memory: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The lines of one function."""

    name: str
    file: str
    lines: tuple[Line, ...]


def profiled(
    backfill: Backfill,
    documents: Iterable[Any],
    *,
    seconds: float = LINE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Table, ...]:
    """Give documents to the transform under the profiler; return its table, and those of what it calls.

    Of the functions of the transform's own module. A document it fails on counts, too.
    """
    from memory_profiler import LineProfiler

    transform: Any = backfill.transform or backfill.each_chunk
    functions, profiler = _own_functions(inspect.unwrap(transform)), LineProfiler()
    rss = process_rss()()
    for function in functions:
        profiler.add_function(function)
    until = clock() + seconds
    profiler.enable_by_count()
    try:
        for document in documents:
            _given(transform, document if backfill.transform else [document])
            if clock() >= until:
                break
    finally:
        profiler.disable_by_count()
    return tuple(_tables(profiler, functions, rss))


def _given(transform: Any, document: Any) -> None:
    try:
        for _ in writes_of(transform(document)):
            pass
    except (Exception, SystemExit):
        return


def _own_functions(transform: Any) -> Sequence[FunctionType]:
    module = inspect.getmodule(transform)
    found = [
        value
        for value in vars(module).values()
        if inspect.isfunction(value) and value.__module__ == transform.__module__
    ]
    own = [transform] if inspect.isfunction(transform) else []
    return [*dict.fromkeys([*own, *found])]


def _tables(profiler: Any, functions: Sequence[FunctionType], rss: int) -> Iterator[Table]:
    names = {(f.__code__.co_filename, f.__code__.co_firstlineno): f.__qualname__ for f in functions}
    for file, measured in profiler.code_map.items():
        numbered = list(measured)
        # The profiler compares the first line it meets with nothing, and counts the whole process to it.
        lines = [_line(file, *one, before=0 if place else rss) for place, one in enumerate(numbered)]
        if any(line.hits for line in lines):
            name = names.get((file, lines[0].number), "?")
            yield Table(name=name, file=file, lines=tuple(lines))


def _line(file: str, number: int, values: tuple[float, float, int] | None, *, before: int) -> Line:
    text = linecache.getline(file, number).rstrip("\n")
    if values is None:
        return Line(number=number, text=text, hits=0, increment=None, memory=None)
    increment, memory, hits = values
    added = int(increment * MI)
    own = added - before if added >= before else added
    return Line(number=number, text=text, hits=hits, increment=own, memory=int(memory * MI))
