"""Bookkeeping: the commands that say what is applied without running it: mark, baseline and import.

They show what they will put on record, and ask where something would be lost or taken on trust. How it gets
there is ``marking``'s business, what another tool's history says ``importing``'s.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import commands, control, lease_record, marking, naming, quarantine
from chunkmigrate import settings as settings_
from chunkmigrate.completion import names
from chunkmigrate.direction import direction_of
from chunkmigrate.disorder import NotMarkableError
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.ledger import APPLIED, PAUSED, PENDING, Ledger
from chunkmigrate.marking import BASELINE, MARKED, Author, Mark
from chunkmigrate.migration import discover, find
from chunkmigrate.opening import opened
from chunkmigrate.options import AsJson, DatabaseName, Dir, Name, Uri  # noqa: TC001 (typer reads them)
from chunkmigrate.plain import in_line, listed
from chunkmigrate.printing import json_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pymongo.database import Database

    from chunkmigrate.importing import Findings
    from chunkmigrate.migration import Migration
    from chunkmigrate.settings import Settings

# What is still asked of a migration after it was marked.
_ASKED = {control.PAUSE: "paused", control.CANCEL: "cancelled"}

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.", show_default=False)]


class From(Enum):
    """The tools whose history can be imported; ``foreign`` knows them."""

    PYMONGO_MIGRATE = "pymongo-migrate"
    MIGRATE_MONGO = "migrate-mongo"
    MONGODB_MIGRATIONS = "mongodb-migrations"
    BEANIE = "beanie"


def mark(
    name: Name,
    *,
    applied: Annotated[bool, typer.Option("--applied", help="It is applied: no run is to do it.")] = False,
    pending: Annotated[bool, typer.Option("--pending", help="It is not: the next run begins anew.")] = False,
    reason: Reason = "",
    yes: Yes = False,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
) -> None:
    """Say that a migration is applied, or pending. Nothing is run.

    Example: chunkmigrate mark order_prices --applied --reason "done by hand"
    """
    if applied == pending:
        message = "Say which: mark NAME --applied, or mark NAME --pending."
        raise InvalidSettingError(message)
    with _opened(uri=uri, database=database, dir=directory) as (settings, db):
        name, here = naming.meant(settings, db, name)
        marking.check(db, name)
        entry = Ledger(db).entries().get(name, {})
        wanted = _mark(name, here, entry, applied=applied)
        if _is_so(entry, wanted):
            typer.echo(f"{name} is {_status(entry)} already; nothing was changed.")
            return
        _check(name, entry)
        typer.echo(_consequence(db, wanted))
        if yes or applied or commands.confirmed(f"Mark {name} as pending?", f"mark {name} --pending"):
            marking.put(db, [wanted], Author(by=control.operator(), why=reason))
            typer.echo(_marked(db, wanted))


def baseline(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The last one that is applied; else all are.",
            show_default=False,
            autocompletion=names,
            metavar="[NAME]",
        ),
    ] = None,
    *,
    reason: Reason = "",
    yes: Yes = False,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
) -> None:
    """Say that all migrations up to one are applied. For data that has their changes; none is run.

    Example: chunkmigrate baseline order_prices --yes
    """
    with _opened(uri=uri, database=database, dir=directory) as (settings, db):
        migrations, entries = discover(settings.folder), Ledger(db).entries()
        chosen = migrations[: migrations.index(find(migrations, name)) + 1] if name else migrations
        left = [one for one in chosen if _status(entries.get(one.name, {})) != APPLIED]
        for one in left:
            _check_untouched(one.name, entries.get(one.name, {}))
        if not left:
            typer.echo(f"All {len(chosen)} are applied already; nothing was changed.")
            return
        typer.echo("These are taken as applied, and never run:")
        for one in left:
            typer.echo(f"  {one.name}  {one.description}".rstrip())
        if yes or commands.confirmed("Take them as applied?", "baseline"):
            marks = [_mark(one.name, one, {}, applied=True, origin=BASELINE) for one in left]
            marking.put(db, marks, Author(by=control.operator(), why=reason))
            typer.echo(f"{_counted(len(marks))} marked as applied.")


def import_(
    tool: Annotated[From, typer.Option("--from", help="The tool whose history it is.", show_default=False)],
    *,
    collection: Annotated[
        str | None,
        typer.Option(help="The collection of its history, where that was renamed.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, and write nothing.")] = False,
    reason: Reason = "",
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
) -> None:
    """Take over what another migration tool has applied. Nothing of its own is changed.

    Example: chunkmigrate import --from migrate-mongo --dry-run
    """
    from chunkmigrate import foreign, importing  # late: a pod imports nobody's history

    theirs = foreign.TOOLS[tool.value]
    where = collection or theirs.collection
    with _opened(uri=uri, database=database, dir=directory) as (settings, db):
        findings = importing.found(db, theirs, where, discover(settings.folder))
        heading = f"{theirs.name} has {_counted(findings.records, 'record')} in {where}"
        for line in [] if as_json else _told(findings, heading):
            typer.echo(line)
        if findings.marks and not dry_run:
            marking.put(db, findings.marks, Author(by=control.operator(), why=reason))
        done = "would be imported" if dry_run else "imported"
        facts = {"tool": theirs.name, "collection": where, "imported": not dry_run}
        typer.echo(
            json_of(facts | findings.document())
            if as_json
            else f"{_counted(len(findings.marks))} {done}; nothing in {where} was changed."
        )


def _status(entry: Mapping[str, Any]) -> str:
    return str(entry.get("status", PENDING))


def _is_so(entry: Mapping[str, Any], wanted: Mark) -> bool:
    """Whether a mark would change nothing; what is pending and has no file is still to be cleared away."""
    return _status(entry) == (APPLIED if wanted.applied else PENDING) and not (entry and wanted.gone)


def _check(name: str, entry: Mapping[str, Any]) -> None:
    """Refuse what a paused run may go on with: it holds no lease, and nobody can tell whether it lives."""
    if _status(entry) == PAUSED:
        raise NotMarkableError(
            f"{name} is paused, and its run may go on. End it with `chunkmigrate cancel {name}`, then mark "
            "it. Nothing was changed."
        )


def _check_untouched(name: str, entry: Mapping[str, Any]) -> None:
    status = _status(entry)
    if status != PENDING:
        raise NotMarkableError(
            f"{name} is {status}: somebody has begun it, so it is not for a baseline to say. Finish it with "
            f"`{direction_of(entry).command(name)}`, or use `chunkmigrate mark {name} --applied`. Nothing "
            "was changed."
        )


def _mark(
    name: str, here: Migration | None, entry: Mapping[str, Any], *, applied: bool, origin: str = MARKED
) -> Mark:
    # Where the file is gone, what is on record of it is all that is known.
    return Mark(
        migration=name,
        applied=applied,
        origin=origin,
        checksum=here.checksum if here else entry.get("checksum"),
        description=here.description if here else entry.get("description", ""),
        gone=not applied and here is None,
    )


def _consequence(db: Database[Any], wanted: Mark) -> str:
    """Say what a mark means before it is made."""
    name, stands = wanted.migration, control.stands(db, wanted.migration)
    if wanted.applied:
        begun = "It is half rolled back" if _half_back(db, name) else "It was begun"
        half = f" {begun}, and stands {stands.shown()}: what may be left is done by nobody."
        return f"{name} is taken as applied, and never run.{half if stands.position else ''}"
    if wanted.gone:
        return f"{name} has no file here: it leaves the applied set, and only the history keeps it."
    aside = quarantine.count(db, name)
    kept = f", and what is known of {_counted(aside, 'document')} in quarantine" if aside else ""
    return (
        f"{name} is taken as pending. Its checkpoints{kept} are deleted: the next run begins with the first "
        "document again. What earlier runs have written stays written."
    )


def _half_back(db: Database[Any], name: str) -> bool:
    return direction_of(Ledger(db).entry(name)).is_down


def _marked(db: Database[Any], mark_: Mark) -> str:
    name = mark_.migration
    if mark_.gone:
        return f"{name} left the applied set."
    if mark_.applied:
        return f"{name} is marked as applied."
    seen = lease_record.look(db, name)
    asked = seen.asked if seen else None
    first = f" after `chunkmigrate resume {name}`, for it is {_ASKED[asked.what]}" if asked else ""
    return f"{name} is marked as pending; apply it with `chunkmigrate run {name}`{first}."


def _told(findings: Findings, heading: str) -> Iterator[str]:
    """Yield what an import does, and what it leaves for the operator to decide."""
    yield f"{heading}."
    for mark_ in findings.marks:
        at = f"applied {mark_.at:%Y-%m-%d %H:%M:%S} UTC" if mark_.at else "applied, nobody knows when"
        yield f"  {in_line(mark_.migration)}  {at}"
    if findings.known:
        yield f"Applied here already: {listed(findings.known)}."
    if findings.withdrawn:
        yield f"Marked as pending here, and staying so: {listed(findings.withdrawn)}."
    if findings.fileless:
        yield f"Without a file here, kept as history: {listed(findings.fileless)}."
    if findings.pending:
        yield (
            f"Not in that history, and pending: {listed(findings.pending)}. Where their changes are in the "
            "data all the same, `chunkmigrate mark NAME --applied` says so."
        )


def _counted(number: int, what: str = "migration") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def _opened(**flags: Any) -> Iterator[tuple[Settings, Database[Any]]]:
    settings = settings_.here(**flags)
    with opened(settings) as db:
        yield settings, db
