"""Lines: memory-profiler's table of the author's own functions, line by line.

It slows what it watches some four hundred times, so that it sees as many documents of a sample as there is
time for. What is imported here is never imported in a run.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chunkmigrate.backfill import writes_of
from chunkmigrate.memory import process_rss, trim
from chunkmigrate.units import MI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FunctionType

    from chunkmigrate.backfill import Backfill

LINE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a function: how often it ran, and the bytes of the process behind it, at the most.

    ``increment`` is what it added, over all its runs, and what it calls with it. Both are None of a line that
    never ran, and ``increment`` of the one a function is entered by: what was added there came from outside.
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
    trim()  # what lies free would be used first, and hide what a line takes
    rss, until = process_rss()(), clock() + seconds
    # One for each function: it takes the line that ran before, in whichever function, for one of the same.
    profilers = [(function, LineProfiler()) for function in _own_functions(transform)]
    with ExitStack() as stack:
        for function, profiler in profilers:
            profiler.add_function(function)
            profiler.enable_by_count()
            stack.callback(profiler.disable_by_count)
        for document in documents:
            _given(transform, document if backfill.transform else [document])
            if clock() >= until:
                break
    return tuple(table for one in profilers for table in _tables(*one, rss))


def _given(transform: Any, document: Any) -> None:
    try:
        for _ in writes_of(transform(document)):
            pass
    except (Exception, SystemExit):
        return


def _own_functions(transform: Any) -> list[FunctionType]:
    """Return the functions of the transform's module, itself first; whatever it is that can be called."""
    own = _function(transform)
    module = sys.modules.get(getattr(own, "__module__", None) or "")
    beside = [inspect.unwrap(value) for value in vars(module).values() if callable(value)] if module else []
    here = [one for one in beside if inspect.isfunction(one) and one.__module__ == own.__module__]
    return [*dict.fromkeys([*([own] if inspect.isfunction(own) else []), *here])]


def _function(called: Any) -> Any:
    while isinstance(called, partial):
        called = called.func
    called = inspect.unwrap(called)
    if not inspect.isroutine(called):
        called = getattr(type(called), "__call__", called)  # noqa: B004 (the function itself is wanted)
    return getattr(called, "__func__", called)


def _tables(function: FunctionType, profiler: Any, rss: int) -> Iterator[Table]:
    for file, measured in profiler.code_map.items():
        lines = [_line(file, *one) for one in measured]
        ran = [place for place, line in enumerate(lines) if line.hits]
        if not ran:
            continue
        entered = lines[ran[0]]
        # The profiler compares the first line it meets with nothing, and counts the whole process to it.
        inside = None if len(ran) > 1 else max(0, (entered.increment or 0) - rss)
        lines[ran[0]] = replace(entered, increment=inside)
        yield Table(name=function.__qualname__, file=file, lines=tuple(lines))


def _line(file: str, number: int, values: tuple[float, float, int] | None) -> Line:
    text = linecache.getline(file, number).rstrip("\n")
    if values is None:
        return Line(number=number, text=text, hits=0, increment=None, memory=None)
    increment, memory, hits = values
    return Line(number=number, text=text, hits=hits, increment=int(increment * MI), memory=int(memory * MI))
