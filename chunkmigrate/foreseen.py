"""Foreseen: what a dry run found out, for a person on a terminal, or as JSON where nobody watches."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chunkmigrate.outcome import counted
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkmigrate.dryrun import Foreseen


_VERIFIES = "A run ends with the migration's verify(db), which is not called here, and fails where that does."


def show(
    migration: str, steps: Sequence[Foreseen], console: Console | None = None, *, verifies: bool = False
) -> None:
    """Print what each step would do; ``verifies``: it has a verification."""
    out = console or Console(highlight=False)
    for number, step in enumerate(steps, 1):
        out.print(f"Step {number} of {migration}, {step.namespace}: nothing was written.", markup=False)
        table = Table(show_header=False)
        for name, value in _facts(step):
            table.add_row(name, Text(value))
        out.print(table)
        for line in _details(step):
            out.print(line, markup=False, soft_wrap=True)
    if not steps:
        out.print(f"{migration} returns no Backfill: there is nothing to read.", markup=False)
    if verifies:
        out.print(_VERIFIES, markup=False, soft_wrap=True)


def as_lines(migration: str, steps: Sequence[Foreseen], *, verifies: bool = False) -> Iterator[str]:
    """Yield a line of JSON for each step, behind one that says that it ``verifies``."""
    if verifies:
        yield json.dumps({"event": "verifies", "migration": migration, "message": _VERIFIES})
    for number, step in enumerate(steps, 1):
        yield json.dumps({"event": "dry_run", "migration": migration, "step": number} | _document(step))


def _document(step: Foreseen) -> dict[str, Any]:
    return {
        "namespace": step.namespace,
        "documents": step.documents,
        "whole": step.whole,
        **counted(step.counts),
        "failures": dict(step.failures),
        "first_failures": list(step.first),
        "would_stop": bool(step.failures) and step.stops,
        "chunk_documents": step.chunk_documents,
        "chunk_bytes": step.chunk_bytes,
        "peak": step.peak,
        "budget": step.budget,
        "stopped_by": step.stopped_by,
        "seconds": step.seconds,
        "index": asdict(step.index),
        "previews": [asdict(preview) for preview in step.previews],
    }


def _facts(step: Foreseen) -> Iterator[tuple[str, str]]:
    counts, which = step.counts, "all" if step.whole else "a sample"
    yield "documents that match", "unknown" if step.documents is None else f"{step.documents:,}"
    yield f"read, {which}", f"{counts.read:,}"
    yield "would be written", f"{counts.written:,}, in {counts.writes:,} writes"
    yield "need nothing", f"{counts.skipped:,}"
    for reason, count in step.failures.items():
        yield f"fail ({reason})", f"{count:,}"
    yield "a chunk, at most", f"{step.chunk_documents:,} documents, {format_bytes(step.chunk_bytes)}"
    yield "peak memory", f"{format_bytes(step.peak)} of {format_bytes(step.budget)}"
    if step.index.name:
        yield "read by the index", step.index.name
    if step.seconds:
        yield "a run takes", " to ".join(map(format_duration, step.seconds))


def _details(step: Foreseen) -> Iterator[str]:
    if step.stopped_by == "memory":
        yield "It stopped for lack of memory, as a run would; a run goes on from there when started again."
    if step.index.warning:
        yield f"Warning: {step.index.warning}"
    for preview in step.previews:
        yield f"_id {preview.document}"
        yield from (f"  {line}" for line in preview.lines)
    yield from step.first
    if step.failures:
        yield "A run would stop at the first of these." if step.stops else "A run would set these aside."
