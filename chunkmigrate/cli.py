"""The command line: parse, call, print, and the exit code.

Exit codes are decided here and nowhere else: 0 done, 1 the migration failed, 2 it cannot be used as asked,
3 pending (``status --check``), 5 another run has taken over, 75 stopped at a checkpoint, run again.
What is shown where nobody watches is ``telemetry``'s, on a terminal ``progress``'.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pymongo.errors import PyMongoError

from chunkmigrate import server
from chunkmigrate import settings as settings_
from chunkmigrate.errors import (
    ChunkmigrateError,
    EmbeddedServerError,
    InvalidSettingError,
    SupersededError,
    UsageError,
)
from chunkmigrate.ledger import APPLIED, Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import EXAMPLE, discover, find
from chunkmigrate.runner import Run
from chunkmigrate.stop import Stop
from chunkmigrate.telemetry import JsonLines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo.database import Database

    from chunkmigrate.migration import Migration
    from chunkmigrate.progress import Display
    from chunkmigrate.runner import Outcome
    from chunkmigrate.settings import Settings

FAILED, UNUSABLE, PENDING, HELD, AGAIN = 1, 2, 3, 5, 75

EMBEDDED_FOLDER = Path(".chunkmigrate/mongod")
EMBEDDED_DATABASE = "development"

app = typer.Typer(
    name="chunkmigrate",
    help="Rewrite existing MongoDB documents inside a fixed memory budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Uri = Annotated[str | None, typer.Option(help="The server; else MONGODB_URI.", show_default=False)]
DatabaseName = Annotated[
    str | None, typer.Option("--database", help="The database, where the URI names none.", show_default=False)
]
Dir = Annotated[
    str | None,
    typer.Option("--dir", help="The folder of migrations. [default: migrations]", show_default=False),
]
Memory = Annotated[
    str | None,
    typer.Option(help="The budget, such as 512Mi; else the pod's request or limit.", show_default=False),
]
Writers = Annotated[int | None, typer.Option(help="Writer threads, 1 to 4. [default: 2]", show_default=False)]


@app.command()
def run(
    name: Annotated[
        str | None, typer.Argument(help="A migration's file name, or any unambiguous part of it.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Apply all pending migrations, in order.")] = False,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    memory: Memory = None,
    writers: Writers = None,
) -> None:
    """Apply a migration, or go on where it stopped. This is what a pod runs."""
    with _told_apart():
        settings = _settings(uri=uri, database=database, dir=directory, memory=memory, writers=writers)
        found = discover(settings.folder)
        if (name is None) == (not every):
            message = "Name one migration to run, or all of them with --all."
            raise InvalidSettingError(message)
        chosen = found if name is None else [find(found, name)]
        stop = Stop(at_once=AGAIN)
        with stop.on_signals(), _database(settings) as db:
            _run_each(chosen, db, settings, stop)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What it does, in a few words: order_prices_in_cents.")],
    *,
    directory: Dir = None,
) -> None:
    """Write a new migration that runs as it stands."""
    with _told_apart():
        folder = _settings(dir=directory).folder
        slug = "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
        if not slug:
            message = f"{name!r} has no letter or digit to make a file name of."
            raise InvalidSettingError(message)
        path = folder / f"{datetime.now(UTC):%Y%m%d%H%M%S}_{slug}.py"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(EXAMPLE, "utf-8")
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}."
            raise InvalidSettingError(message) from error
        typer.echo(path)


@app.command()
def status(
    *,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 while a migration is pending.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one migration a line.")] = False,
) -> None:
    """Show which migrations are applied, and where an unfinished one stands. Writes nothing."""
    with _told_apart():
        settings = _settings(uri=uri, database=database, dir=directory)
        found = discover(settings.folder)
        with _database(settings) as db:
            rows = Ledger(db).standing(found)
        for row in rows:
            typer.echo(json.dumps(row, default=str) if as_json else _row(row))
        if not rows and not as_json:
            typer.echo("There are no migrations yet; write one with `chunkmigrate new NAME`.")
        if check and any(row["status"] != APPLIED for row in rows):
            raise typer.Exit(PENDING)


@app.command()
def demo() -> None:
    """Show the loop people write first and the same change through chunkmigrate, side by side."""
    import chunkmigrate.demo as demo_

    with _told_apart():
        demo_.show()


def main() -> None:
    """Run the command line."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.Abort:
        sys.exit(FAILED)
    except Exception as error:
        # What Click says of a wrong command line repeats it, and a URI may be in it.
        if not hasattr(error, "show") or not hasattr(error, "message"):
            raise
        error.message = server.redacted(error.message)
        error.show()
        sys.exit(UNUSABLE)


def _run_each(chosen: Sequence[Migration], db: Database[Any], settings: Settings, stop: Stop) -> None:
    ledger, sensor = Ledger(db), Sensor(memory=settings.memory, request=settings.request)
    warnings = sensor.budget.warnings
    for migration in chosen:
        # Asked anew each time: another run of all may have been faster.
        if ledger.is_applied(migration):
            _tell_applied(ledger, migration)
            continue
        if stop.asked:
            raise typer.Exit(AGAIN)
        with ExitStack() as stack:
            show = stack.enter_context(_display()) if sys.stdout.isatty() else JsonLines(_say)
            for warning in warnings:
                show.warn(warning)
            warnings = ()
            run_ = Run(
                migration,
                db,
                sensor,
                writers=settings.writers,
                stopped=lambda: stop.asked,
                warn=show.warn,
            )
            outcome = _shown(run_, sensor, show)
        if outcome.status != APPLIED:
            raise typer.Exit(AGAIN if outcome.made_progress or outcome.reason == "stop" else FAILED)


def _shown(run_: Run, sensor: Sensor, show: Display | JsonLines) -> Outcome:
    show.begin(run_.migration.name, sensor.budget.size, sensor.budget.source)
    try:
        for progress in run_:
            show.show(progress)
    except ChunkmigrateError as error:
        show.end(run_.failure(str(error)))
        raise
    show.end(run_.outcome)
    return run_.outcome


def _tell_applied(ledger: Ledger, migration: Migration) -> None:
    changed = ledger.entries()[migration.name]["checksum"] != migration.checksum
    note = ", but its file has changed since; a change belongs into a new migration" if changed else ""
    _say(f"{migration.name} is applied already{note}.")


def _display() -> Display:
    from chunkmigrate.progress import Display

    return Display()


@contextmanager
def _database(settings: Settings) -> Iterator[Database[Any]]:
    with ExitStack() as stack:
        uri = settings.uri or stack.enter_context(_embedded())
        name = settings.database or (None if settings.uri else EMBEDDED_DATABASE)
        if name is None:
            message = (
                "No database is named: put it into the URI (mongodb://host/DATABASE), or use --database."
            )
            raise InvalidSettingError(message)
        client = stack.enter_context(server.connect(uri))
        try:
            yield server.database(client, name)
        except ChunkmigrateError:
            raise
        except PyMongoError as error:
            raise server.explained(error, uri) from error


@contextmanager
def _embedded() -> Iterator[str]:
    """Start the embedded server where it is installed; a pod has none and must be told its server."""
    # For a developer's machine only.
    from chunkmigrate import mongod
    from chunkmigrate.mongod_binary import find_mongod

    try:
        find_mongod()
    except EmbeddedServerError as error:
        message = "No server is named: set MONGODB_URI or use --uri mongodb://host/database."
        raise InvalidSettingError(message) from error
    print(f"MONGODB_URI is not set: using an embedded MongoDB in {EMBEDDED_FOLDER}.", file=sys.stderr)
    with mongod.embedded(EMBEDDED_FOLDER) as uri:
        yield uri


@contextmanager
def _told_apart() -> Iterator[None]:
    """Turn a failure into its sentence and its exit code."""
    try:
        yield
    except ChunkmigrateError as error:
        print(f"Error: {server.redacted(str(error))}", file=sys.stderr)
        raise typer.Exit(_code(error)) from error


def _code(error: ChunkmigrateError) -> int:
    if isinstance(error, SupersededError):
        return HELD
    return UNUSABLE if isinstance(error, UsageError) else FAILED


def _settings(**flags: Any) -> Settings:
    return settings_.resolve(flags, os.environ, Path())


def _row(row: dict[str, Any]) -> str:
    read = f"  {row['read']:,} documents read" if row["read"] else ""
    changed = "  (file changed since)" if row["changed"] else ""
    return f"{row['status']:<8}  {row['name']}  {row['description']}{read}{changed}".rstrip()


def _say(line: str) -> None:
    # A pipe's reader must see each line when it is written, not when a buffer is full.
    print(line, flush=True)
