"""Overview: how migrations stand and what their runs were, printed. They only read.

How they stand is ``standing``'s business, the runs are ``history``'s; the exit code is the command line's.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from chunkmigrate import folder, standing
from chunkmigrate.migration import discover
from chunkmigrate.opening import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.settings import Settings
    from chunkmigrate.standing import Progress, Standing


def show(settings: Settings, *, as_json: bool) -> bool:
    """Print how each migration stands; return whether a run would have something to do."""
    found = discover(settings.folder)
    with opened(settings) as db:
        rows = standing.standings(db, found)
    if leftovers := folder.leftovers(settings.folder):
        typer.echo(f"Warning: {leftovers}", err=True)
    for row in rows:
        typer.echo(json_of(row) if as_json else line_of(row))
    if not rows and not as_json:
        typer.echo("There are no migrations yet; write one with `chunkmigrate new NAME`.")
    return any(row.open for row in rows)


def json_of(row: Standing) -> str:
    """Return how a migration stands as one line of JSON."""
    return json.dumps(asdict(row), default=str)


def line_of(row: Standing) -> str:
    """Return how a migration stands as people read it."""
    read = f"{row.read:,} documents read" if row.read else ""
    aside = f"{row.quarantined:,} in quarantine" if row.quarantined else ""
    told = "; ".join(filter(None, [read, aside, _going(row.progress) if row.progress else ""]))
    marks = "".join(f"  ({mark})" for mark in _marks(row))
    return f"{row.status:<8}  {row.name}  {row.description}".rstrip() + (f"  {told}" if told else "") + marks


def _marks(row: Standing) -> Iterator[str]:
    if row.direction == "down":
        yield "being rolled back" if row.progress else "half rolled back"
    if row.drifted:
        yield "drifted: its file means something else since"
    if row.missing:
        yield "missing: it has no file here"
    if row.late:
        yield "older than the last applied"


def _going(progress: Progress) -> str:
    """Return how far it is, and by whom: ``step 1 of 2, 300 of about 900 documents, 120/s, by pod x``."""
    step = f"step {progress.step} of {progress.steps}" if progress.step else ""
    total = f" of about {progress.total:,}" if progress.total is not None else ""
    read = f"{progress.read:,}{total} documents of this run"
    rate = f"{progress.documents_per_second:,.0f}/s" if progress.documents_per_second is not None else ""
    return ", ".join(filter(None, [step, read, rate, f"by {', '.join(progress.by)}"]))
