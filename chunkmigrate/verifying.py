"""Verifying: the command that asks a migration's ``verify(db)`` alone, and says what it found.

What it may do, and what its answers mean, is ``verification``'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from chunkmigrate import saying, verification
from chunkmigrate import settings as settings_
from chunkmigrate.direction import direction_of
from chunkmigrate.errors import VerificationError
from chunkmigrate.ledger import APPLIED, PENDING, Ledger
from chunkmigrate.migration import discover, find
from chunkmigrate.opening import opened
from chunkmigrate.options import AsJson, DatabaseName, Dir, Name, ShowValues, Uri  # noqa: TC001 (typer reads them)
from chunkmigrate.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from chunkmigrate.migration import Migration
    from chunkmigrate.verification import Verified


def verify(
    name: Name,
    *,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
    show_values: ShowValues = False,
) -> None:
    """Check what a migration has done, by its own `verify(db)`. That can only read.

    Example: chunkmigrate verify order_prices
    """
    settings = settings_.here(uri=uri, database=database, dir=directory)
    migration = find(discover(settings.folder), name)
    with opened(settings) as db:
        found = verification.ask(migration, db)
        verification.record(db, migration.name, found)
        entry = Ledger(db).entry(migration.name)
    if as_json:
        typer.echo(_json(migration.name, found, entry, show_values=show_values))
    if not found.passed:
        raise _failure(migration, found, settings.folder, show_values=show_values) from found.cause
    if not as_json:
        after = _after(migration.name, entry)
        typer.echo(f"{migration.name} passes its verification, in {format_duration(found.seconds)}.{after}")


def _json(name: str, found: Verified, entry: Mapping[str, Any], *, show_values: bool) -> str:
    import json

    what = found.sentence if show_values else found.discreet
    told = {"migration": name, "passed": found.passed, "sentence": what, "seconds": round(found.seconds, 3)}
    return json.dumps(told | {"status": entry.get("status", PENDING)})


def _after(name: str, entry: Mapping[str, Any]) -> str:
    """Say what is left to do where a migration is not applied."""
    status, begun = entry.get("status", PENDING), direction_of(entry)
    if status == APPLIED:
        return ""
    if begun.is_down:
        return f" It is half rolled back; `{begun.command(name)}` goes on with that."
    return f" It is {status}; `{begun.command(name)}` applies it."


def _failure(migration: Migration, found: Verified, folder: Path, *, show_values: bool) -> VerificationError:
    what = found.sentence if show_values else found.discreet
    hidden = " Its full text may quote documents: --show-values shows it."
    error = VerificationError(
        f"The verification of {migration.name} failed: {what}{'' if what == found.sentence else hidden} "
        "Nothing was changed. Correct the data, in a new migration where this one is applied elsewhere, too, "
        "or correct its verify(db), and ask again."
    )
    error.__cause__ = found.cause
    return VerificationError(saying.said(error, folder=folder))
