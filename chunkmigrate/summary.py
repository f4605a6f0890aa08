"""Summary: a profile, and what follows from it, as tables on a terminal. Imported only to show one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chunkmigrate.plain import in_line, visible
from chunkmigrate.units import format_bytes, format_duration, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.profiles import Function, Point, Profile, Step
    from chunkmigrate.tuning import Tuning

# Of the lines of a function only those that hold on to memory are worth a look here; the file has them all.
SHOWN_LINES = 8

_NOT_HELD = "did not hold"


class Summary:
    """Shows values on a console."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def profile(self, profile: Profile) -> None:
        """Show what was measured."""
        start = format_bytes(profile.baseline)
        self._say(f"{profile.migration}: measured in {profile.seconds:.0f} s. A run starts with {start}.")
        for step in profile.steps:
            self._step(step)

    def tuning(self, tuning: Tuning) -> None:
        """Show what to set, what to expect, and why."""
        table = Table(show_header=False)
        for name, value in _settled(tuning):
            table.add_row(name, value)
        self._console.print(table)
        for sentence in tuning.why:
            self._say(sentence)

    def _step(self, step: Step) -> None:
        documents = "an unknown number of" if step.documents is None else f"{step.documents:,}"
        of = in_line(step.namespace)
        self._say(f"Step {step.step + 1}: {documents} documents of {of}, {step.sampled:,} measured.")
        if not step.sampled:
            return
        table = Table(show_header=False)
        for name, value in _facts(step):
            table.add_row(name, value)
        self._console.print(table)
        self._console.print(_sweep(step.sweep))
        for function in step.functions:
            self._console.print(_lines(function))

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _settled(tuning: Tuning) -> Iterator[tuple[str, str]]:
    tuned = tuning.tuned
    yield "memory, as request and as limit", quantity(tuned.memory)
    yield "a chunk, at most", f"{tuned.chunk_documents:,} documents, {format_bytes(tuned.chunk_bytes)}"
    yield "a page, at most", format_bytes(tuned.page_bytes)
    yield "writers", str(tuned.writers)
    if tuning.peak:
        yield "expected peak memory", format_bytes(tuning.peak)
    if tuning.seconds:
        yield "expected duration", " to ".join(map(format_duration, tuning.seconds))


def _facts(step: Step) -> Iterator[tuple[str, str]]:
    sizes, writes = step.sizes, step.write_bytes
    read = ((sizes.median, "at the median"), (sizes.p95, "at 95 %"), (sizes.max, "at most"))
    yield "a document, as read", ", ".join(f"{format_bytes(size)} {which}" for size, which in read)
    yield "as objects", f"{step.expansion:.1f} times that"
    yield "writes", f"{step.writes_per_document:.2f} a document, {format_bytes(writes.mean)} each"
    taken = step.seconds_per_document
    stages = (
        f"{name} {getattr(taken, name) * 1e6:,.0f} µs" for name in ("read", "decode", "transform", "encode")
    )
    yield "a document takes", ", ".join(stages)
    for kind, count in step.failures.items():
        yield "failed", f"{count:,} with {in_line(kind)}"


def _sweep(points: tuple[Point, ...]) -> Table:
    table = Table("budget", "chunk", "peak memory", "documents/s", "against")
    for column in table.columns[:-1]:
        column.justify = "right"
    for point in points:
        speed = "-" if point.documents_per_second is None else f"{point.documents_per_second:,.0f}"
        peak = format_bytes(point.peak) if point.held else _NOT_HELD
        table.add_row(format_bytes(point.budget), f"{point.chunk_documents:,}", peak, speed, point.against)
    return table


def _lines(function: Function) -> Table:
    table = Table("line", "times", "added", expand=True)
    table.add_column(escape(in_line(f"{function.name}, {Path(function.file).name}")), no_wrap=True, ratio=1)
    growing = sorted(function.lines, key=lambda line: line.increment or 0, reverse=True)[:SHOWN_LINES]
    for line in sorted(growing, key=lambda line: line.number):
        added = "" if line.increment is None else format_bytes(max(0, line.increment))
        table.add_row(
            str(line.number), f"{line.hits:,}" if line.hits else "", added, escape(visible(line.text))
        )
    return table
