"""Overview: how migrations stand, what a run would do, what past runs did. They parse, print, and only read.

How they stand is ``standing``'s business, a plan ``planning``'s, the runs are ``history``'s, and how a line
of each looks ``overview_lines``'. The exit code is the command line's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from chunkmigrate import folder, overview_lines, sequence, standing
from chunkmigrate import settings as settings_
from chunkmigrate.compared import compare
from chunkmigrate.completion import names
from chunkmigrate.errors import InvalidModuleError
from chunkmigrate.ledger import Ledger
from chunkmigrate.migration import discover
from chunkmigrate.opening import opened
from chunkmigrate.options import AsJson, DatabaseName, Dir, ShowValues, Target, Uri  # noqa: TC001 (typer reads them)
from chunkmigrate.printing import json_of

if TYPE_CHECKING:
    from chunkmigrate.settings import Settings


def show(settings: Settings, *, as_json: bool) -> bool:
    """Print how each migration stands; return whether a run would have something to do."""
    found = discover(settings.folder)
    with opened(settings) as db:
        rows = standing.standings(db, found)
    if leftovers := folder.leftovers(settings.folder):
        typer.echo(f"Warning: {leftovers}", err=True)
    for row in rows:
        typer.echo(json_of(asdict(row)) if as_json else overview_lines.standing(row))
    if not rows and not as_json:
        typer.echo("There are no migrations yet; write one with `chunkmigrate new NAME`.")
    return any(row.open for row in rows)


def plan(
    target: Target = None,
    *,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
) -> None:
    """Show what `run` would apply, and what each would touch. Writes nothing.

    Example: chunkmigrate plan order_prices
    """
    from chunkmigrate import planning  # late, as what follows: no run plans
    from chunkmigrate.readonly import ReadOnly

    settings = settings_.here(uri=uri, database=database, dir=directory)
    wanted, unusable = sequence.wanted(settings.folder, target), []
    with opened(settings, [ReadOnly()]) as db:
        ledger = Ledger(db)
        chosen, warnings = sequence.chosen(wanted, ledger)
        for warning in warnings:
            typer.echo(f"Warning: {warning}", err=True)
        rows = [row for row in compare(wanted.found, ledger.entries()) if row.migration in chosen]
        pending = [row for row in rows if not row.applied]
        for number, one in enumerate(planning.plan(db, pending), 1):
            unusable += [one.name] if one.unusable else []
            for line in [json_of(asdict(one))] if as_json else overview_lines.planned(number, one):
                typer.echo(line)
    if not pending and not as_json:
        typer.echo("Nothing is pending.")
    if unusable:
        message = f"These cannot be run as they are: {', '.join(unusable)}."
        raise InvalidModuleError(message)


def history(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A migration, or a part of its name; else the runs of all.",
            autocompletion=names,
            metavar="[NAME]",
        ),
    ] = None,
    *,
    uri: Uri = None,
    database: DatabaseName = None,
    as_json: AsJson = False,
    show_values: ShowValues = False,
) -> None:
    """List the runs on record, oldest first. With who, when, how far, in how much memory. Writes nothing.

    Example: chunkmigrate history order_prices --json
    """
    from chunkmigrate import history as history_

    with opened(settings_.here(uri=uri, database=database)) as db:
        empty = True
        migration = None if name is None else history_.named(db, name)
        for run in history_.runs(db, migration, show_values=show_values):
            empty = False
            typer.echo(json_of(asdict(run)) if as_json else overview_lines.past_run(run))
    if empty and not as_json:
        typer.echo("No run is on record in this database yet.")
