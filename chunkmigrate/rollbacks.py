"""Rollbacks: the command that rolls migrations back, and those that look after what is kept to undo them.

They parse and print. Which migrations go back, and how, is ``rollback``'s business; exit codes are ``cli``'s,
which is why it hands in what ends a command.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import commands, control, naming, options, saying
from chunkmigrate import settings as settings_
from chunkmigrate import undo as kept
from chunkmigrate.audience import Audience, metrics_of, notifier_of
from chunkmigrate.completion import names
from chunkmigrate.direction import UNDO, direction_of
from chunkmigrate.errors import StoppedError
from chunkmigrate.ledger import CANCELLED, Ledger
from chunkmigrate.migration import discover
from chunkmigrate.opening import opened
from chunkmigrate.pod import pulse_of
from chunkmigrate.printing import json_of, say, warn
from chunkmigrate.rollback import check_droppable, plan, way_back
from chunkmigrate.runs import Runs, begun
from chunkmigrate.stop import Stop
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pymongo.database import Database

    from chunkmigrate.notify import Notifier
    from chunkmigrate.outcome import Outcome
    from chunkmigrate.settings import Settings

    Ending = Callable[[Callable[[BaseException], str], Notifier], AbstractContextManager[None]]
    Finish = Callable[[Outcome, Notifier], None]

undo = commands.group("undo", "Look after what is kept so that migrations can be rolled back.")


def rollback_command(ending: Ending, finish: Finish, *, again: int) -> Callable[..., None]:
    """Return the command; ``ending`` and ``finish`` end it with an exit code, ``again`` is that of a stop."""

    def rollback(
        name: Annotated[
            str | None,
            typer.Argument(
                help="A migration's file name, or any unambiguous part; else the last applied.",
                autocompletion=names,
                metavar="[NAME]",
            ),
        ] = None,
        *,
        steps: Annotated[
            int | None,
            typer.Option(help="Roll back the last so many, the last one first.", show_default=False),
        ] = None,
        uri: options.Uri = None,
        database: options.DatabaseName = None,
        directory: options.Dir = None,
        memory: options.Memory = None,
        writers: options.Writers = None,
        max_rate: options.MaxRate = None,
        wait: options.Wait = "0",
        show_values: options.ShowValues = False,
        metrics_port: options.MetricsPort = None,
        metrics_push: options.MetricsPush = None,
        metrics_file: options.MetricsFile = None,
        notify: options.Notify = None,
    ) -> None:
        """Roll a migration back, or go on with that. By its downgrade, or by what its undo has kept.

        Example: chunkmigrate rollback order_prices
        """
        settings = settings_.here(
            uri=uri,
            database=database,
            dir=directory,
            memory=memory,
            writers=writers,
            max_rate=max_rate,
            metrics_port=metrics_port,
            metrics_push=metrics_push,
            metrics_file=metrics_file,
            notify=notify,
        )
        said = partial(saying.said, show_values=show_values, folder=settings.folder)
        notifier = notifier_of(settings, warn)
        notifier.about(name)
        with ending(said, notifier):
            audience = Audience(say, notifier, metrics=metrics_of(settings, warn))
            seconds, stop = options.seconds(wait), Stop(at_once=again)
            with begun(stop, settings) as db:
                runs = Runs(db, settings, stop, audience, said, wait=seconds, pulse=pulse_of(os.environ))
                _each(runs, settings, notifier, finish, name=name, steps=steps)

    return rollback


def _each(
    runs: Runs,
    settings: Settings,
    notifier: Notifier,
    finish: Finish,
    *,
    name: str | None,
    steps: int | None,
) -> None:
    """Roll back one after the other, stopping at the first that fails."""
    ledger = Ledger(runs.database)
    planned = plan(discover(settings.folder), ledger.entries(), name, steps)
    if planned.nothing:
        say(planned.nothing)
        notifier.tell("already_rolled_back", planned.nothing, 0)
    for migration in planned.migrations:
        notifier.about(migration.name)
        if runs.stop.asked:
            message = f"Stopped as asked before {migration.name} was rolled back; run again to go on."
            raise StoppedError(message)
        entry = ledger.entry(migration.name)
        direction, back = way_back(migration, runs.database, entry)
        if entry.get("status") == CANCELLED and not direction_of(entry).is_down:
            control.clear(runs.database, migration.name)  # what was cancelled is the run, not its way back
        outcome = runs.run(back, direction=direction)
        if direction is UNDO and outcome.counts.skipped:
            say(_edited(runs.database, migration.name, outcome))
        finish(outcome, notifier)


def _edited(database: Database[Any], migration: str, outcome: Outcome) -> str:
    """Say which documents were left as somebody edited them."""
    first, left = kept.first_left(database, migration), outcome.counts.skipped
    return (
        f"{_many(left, 'document')} edited after {migration} had been there, and not restored: _id "
        f"{', '.join(first)}{' ...' * (left > len(first))}. `chunkmigrate undo list {migration}` lists all; "
        f"what was kept of them is there until `chunkmigrate undo drop {migration}`."
    )


def _many(number: int, what: str) -> str:
    return f"{number:,} {what} was" if number == 1 else f"{number:,} {what}s were"


@partial(commands.add, undo, name="list")
def listed(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A migration: the documents that could not be restored.",
            autocompletion=names,
            metavar="[NAME]",
        ),
    ] = None,
    *,
    uri: options.Uri = None,
    database: options.DatabaseName = None,
    directory: options.Dir = None,
    as_json: options.AsJson = False,
) -> None:
    """List how much is kept to undo each migration. With a name, what a rollback could not restore.

    Example: chunkmigrate undo list order_prices
    """
    settings = settings_.here(uri=uri, database=database, dir=directory)
    with opened(settings) as db:
        rows = kept.space(db) if name is None else kept.listing(db, naming.meant(settings, db, name)[0])
        empty = True
        for row in rows:
            empty = False
            typer.echo(json_of(row) if as_json else _shown(row))
    if empty and not as_json:
        typer.echo("Nothing is kept." if name is None else "Nothing was left by a rollback of it.")


@partial(commands.add, undo)
def drop(
    name: options.Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    uri: options.Uri = None,
    database: options.DatabaseName = None,
    directory: options.Dir = None,
) -> None:
    """Free the space of what is kept to undo a migration. It cannot be undone any more then.

    Example: chunkmigrate undo drop order_prices --yes
    """
    settings = settings_.here(uri=uri, database=database, dir=directory)
    with opened(settings) as db:
        migration = naming.meant(settings, db, name)[0]
        check_droppable(migration, db)
        row = next(kept.space(db, migration), None)
        if row is None:
            typer.echo(f"Nothing is kept to undo {migration}.")
            return
        typer.echo(_shown(row))
        question = f"Drop it? {migration} cannot be undone any more then."
        if yes or commands.confirmed(question, f"undo drop {migration}"):
            check_droppable(migration, db)  # a run may have begun while that was thought over
            typer.echo(f"{_many(kept.drop(db, migration), 'record')} dropped.")


def _shown(row: dict[str, Any]) -> str:
    if "document" in row:
        return f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['namespace']}  _id {row['document']}"
    left = f", {row['left']:,} of them left by a rollback" if row["left"] else ""
    records = row["documents"] + row["left"]
    return f"{row['migration']}  {records:,} documents{left}  {format_bytes(row['bytes'])}"
