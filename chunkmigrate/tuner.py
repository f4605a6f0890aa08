"""The tuner: profile a migration, and settle its memory and chunk sizes from that.

They parse and call. What is measured is ``profiler``'s, what follows from it ``tuning``'s, how it looks on a
terminal ``summary``'s, and which exit code a failure gets is ``cli``'s.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import checkpoint, leases, tuned
from chunkmigrate import settings as settings_
from chunkmigrate.errors import InvalidSettingError, UnreachableError
from chunkmigrate.ledger import APPLIED, DIED, RUNNING, Ledger
from chunkmigrate.migration import discover, find
from chunkmigrate.opening import named, opened
from chunkmigrate.options import AsJson, DatabaseName, Dir, Name, Uri, Writers  # noqa: TC001 (typer reads them)
from chunkmigrate.printing import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from chunkmigrate.migration import Migration
    from chunkmigrate.profiles import Profile
    from chunkmigrate.settings import Settings
    from chunkmigrate.summary import Summary
    from chunkmigrate.tuning import PastRun

SAMPLE = 2_000
LEAST_SAMPLE, MOST_SAMPLE = 10, 100_000


def profile(
    name: Name,
    *,
    sample: Annotated[int, typer.Option(help="How many documents to measure.")] = SAMPLE,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Commit chunks of several sizes, to a scratch collection.")
    ] = False,
    memray: Annotated[
        bool, typer.Option("--memray", help="Draw a flamegraph, too; memray must be installed.")
    ] = False,
    writers: Writers = None,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a migration takes, on a sample. Changes no document.

    Example: chunkmigrate profile order_prices --sample 5000
    """
    from chunkmigrate import profiles
    from chunkmigrate.profiler import Asked, check_memray, profiler_of

    if not LEAST_SAMPLE <= sample <= MOST_SAMPLE:
        message = f"--sample {sample} is not a number of documents from {LEAST_SAMPLE:,} to {MOST_SAMPLE:,}."
        raise InvalidSettingError(message)
    if memray:
        check_memray()
    settings = settings_.here(uri=uri, database=database, dir=directory, writers=writers)
    migration = find(discover(settings.folder), name)
    with named(settings) as (address, in_database):
        asked = Asked(
            migration=migration,
            uri=address,
            database=in_database,
            writers=settings.writers or settings_.WRITERS,
            sample=sample,
            sweep=sweep,
            memray=memray,
            say=_say,
        )
        made = profiler_of(asked).profile()
    path = profiles.path_of(migration)
    profiles.save(made, path)
    if as_json:
        typer.echo(profiles.line(made))
        return
    _summary().profile(made)
    typer.echo(f"Written to {path}. `chunkmigrate tune {migration.name}` says what follows from it.")


def tune(
    name: Name,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Keep it beside the migration, for `run` and `job render`.")
    ] = False,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
) -> None:
    """Say which memory, chunks and writers to use, and why. It follows from the profile and past runs.

    Example: chunkmigrate tune order_prices --write
    """
    from chunkmigrate import tuning

    settings = settings_.here(uri=uri, database=database, dir=directory)
    migration = find(discover(settings.folder), name)
    measured = _profile(migration)
    past = _past if measured is None else _past_if_reached
    found = tuning.tune(measured, past(settings, migration))
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(found)))
    else:
        _summary().tuning(found)
    if write:
        typer.echo(f"Written to {tuned.save(migration, found.tuned, found.why)}.", err=as_json)


def _summary() -> Summary:
    from chunkmigrate.summary import Summary

    return Summary()


def _profile(migration: Migration) -> Profile | None:
    """Return the profile; None where there is none at all."""
    from chunkmigrate import profiles

    if not profiles.path_of(migration).exists():
        return None
    return profiles.load(migration)


def _past_if_reached(settings: Settings, migration: Migration) -> list[PastRun]:
    """Return past runs; none, with a warning, where no server answers: the profile is enough to tune from."""
    try:
        return _past(settings, migration)
    except UnreachableError as error:
        warn(f"past runs are not looked at, only the profile is. {error}")
        return []


def _past(settings: Settings, migration: Migration) -> list[PastRun]:
    """Return past runs of this very file, oldest first. Without a server there are none."""
    if settings.uri is None:
        return []
    with opened(settings) as db:
        runs, lives = Ledger(db).runs(migration.name), bool(leases.held(db, migration.name))
        return [_past_run(db, run) for run in runs if _is_telling(run, migration, lives=lives)]


def _is_telling(run: Mapping[str, Any], migration: Migration, *, lives: bool) -> bool:
    """Whether a run was of this very file, up, is over, and had more to do than what lies in quarantine.

    One that is down as running while nobody holds the lease is over: it was killed.
    """
    same = run.get("checksum") == migration.checksum and run.get("direction") != "down"
    return same and not (run["status"] == RUNNING and lives) and not run.get("quiet")


def _past_run(db: Database[Any], run: Mapping[str, Any]) -> PastRun:
    from chunkmigrate.tuning import PastRun

    died = run["status"] in (DIED, RUNNING)
    return PastRun(
        applied=run["status"] == APPLIED,
        died=died,
        peak=run.get("peak", 0),
        used=checkpoint.used(db, run["migration"]) if died else 0,
        budget=run["budget"],
        start=run.get("start", 0),
        read=run.get("read", 0),
        seconds=run.get("seconds", 0.0),
    )


def _say(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} ...\n")
