"""Verbs: what an operator does to a run from another terminal or pod: pause, resume, cancel, unlock.

They parse and print; what they do is ``control``'s, and which exit code a failure gets is ``cli``'s.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import commands, control, fencing, leases, naming, server
from chunkmigrate import settings as settings_
from chunkmigrate.completion import names
from chunkmigrate.control import CANCEL, PAUSE
from chunkmigrate.direction import UP, direction_of
from chunkmigrate.holder import Liveness, liveness, this_process
from chunkmigrate.ledger import APPLIED, Ledger
from chunkmigrate.opening import opened
from chunkmigrate.options import AsJson, DatabaseName, Dir, Name, ShowValues, Uri  # noqa: TC001 (typer reads them)
from chunkmigrate.printing import json_of
from chunkmigrate.records import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo.database import Database

    from chunkmigrate.direction import Direction
    from chunkmigrate.lease_reading import LeaseRecord

# A chunk takes seconds at most; a run that takes longer to answer is told of, and follows later.
ANSWER_SECONDS = 30.0

# What the two are called once they are done, and what then becomes of a run that is started.
_DONE = {PAUSE: "paused", CANCEL: "cancelled"}
_NEXT = {PAUSE: "waits", CANCEL: "is refused"}


def pause(name: Name, *, uri: Uri = None, database: DatabaseName = None, directory: Dir = None) -> None:
    """Pause a run at the end of its chunk.

    Example: chunkmigrate pause order_prices
    """
    with _chosen(name, uri=uri, database=database, dir=directory) as (db, migration):
        _ask(db, migration, PAUSE)


def resume(name: Name, *, uri: Uri = None, database: DatabaseName = None, directory: Dir = None) -> None:
    """Let a paused or cancelled migration go on.

    Example: chunkmigrate resume order_prices
    """
    with _chosen(name, uri=uri, database=database, dir=directory) as (db, migration):
        asked = control.clear(db, migration)
        if asked is None:
            typer.echo(f"{migration} is neither paused nor cancelled.")
            return
        typer.echo(
            f"{migration} may go on {control.stands(db, migration).shown()}; {asked.by} had it "
            f"{_DONE[asked.what]}. A run that waits goes on by itself; else start one with "
            f"`{_begun(db, migration).command(migration)}`."
        )


def cancel(name: Name, *, uri: Uri = None, database: DatabaseName = None, directory: Dir = None) -> None:
    """End a run, and refuse new ones until `resume`.

    Example: chunkmigrate cancel order_prices
    """
    with _chosen(name, uri=uri, database=database, dir=directory) as (db, migration):
        _ask(db, migration, CANCEL)


def unlock(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
) -> None:
    """Take the lease away from a run that hangs.

    Example: chunkmigrate unlock order_prices --yes
    """
    with _chosen(name, uri=uri, database=database, dir=directory) as (db, migration):
        kept = leases.kept(db, migration)
        if not kept:
            typer.echo(f"Nobody holds the lease of {migration}; there is nothing to unlock.")
            return
        for seen in kept:
            _shown(seen)
        if yes or commands.confirmed("Take its lease away?", f"unlock {migration}"):
            _take_away(db, kept)


def _shown(seen: LeaseRecord) -> None:
    part = f" (partition {seen.partition})" if seen.partition else ""
    over = "" if seen.held else " That lease has run out, and was not given back."
    typer.echo(f"{seen.migration}{part} is being run by {seen.shown()}.{over}")
    if seen.holder and liveness(seen.holder, this_process()) is Liveness.ALIVE:
        typer.echo(
            f"Warning: that process is alive on this machine. `chunkmigrate cancel {seen.migration}` ends it "
            "at its next chunk, without force."
        )


def listed(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A migration; else those of all are listed.", autocompletion=names, metavar="[NAME]"
        ),
    ] = None,
    *,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
    show_values: ShowValues = False,
) -> None:
    """List the documents in quarantine, with the reason.

    Example: chunkmigrate quarantine list order_prices --show-values
    """
    from chunkmigrate import quarantine

    settings = settings_.here(uri=uri, database=database, dir=directory)
    empty = True
    with opened(settings) as db:
        named = name and naming.meant(settings, db, name)[0]
        for row in quarantine.listing(db, named, show_values=show_values):
            empty = False
            typer.echo(json_of(row) if as_json else _quarantined(row))
    if empty and not as_json:
        typer.echo("No document is in quarantine.")


def _ask(db: Database[Any], migration: str, what: str) -> None:
    if _is_done(db, migration, UP):
        typer.echo(f"{migration} is applied already; there is nothing to {what}.")
        return
    begun = _begun(db, migration)
    seen = control.ask(db, migration, what, control.operator())
    if seen:
        typer.echo(f"{migration} is being run by {leases.shown(seen)}; waiting for the end of its chunk ...")
        tokens = {record.token for record in seen}
        after = control.answered(db, migration, tokens, seconds=ANSWER_SECONDS)
        typer.echo(_answer(db, migration, after, what, begun))
        return
    where = control.stands(db, migration).shown()
    typer.echo(
        f"Nobody runs {migration} now. It is {_DONE[what]} {where}: the next run {_NEXT[what]} until "
        f"`chunkmigrate resume {migration}`."
    )


def _answer(
    db: Database[Any], migration: str, after: Sequence[LeaseRecord], what: str, begun: Direction
) -> str:
    """Say what became of a request, from the leases of those it was made to as they are now."""
    if any(record.held for record in after):
        return (
            f"It has not answered within {ANSWER_SECONDS:.0f} s. It will be {_DONE[what]} at the end of its "
            f"chunk; `chunkmigrate resume {migration}` takes that back."
        )
    if _is_done(db, migration, begun):
        control.clear(db, migration)
        return f"{migration} was {begun.called(APPLIED)} before it could be {_DONE[what]}."
    where = control.stands(db, migration).shown()
    if not all(record.released for record in after):
        return (
            f"It has not renewed its lease: nobody runs {migration} now. It is {_DONE[what]} {where}, and "
            f"the next run {_NEXT[what]} until `chunkmigrate resume {migration}`."
        )
    return f"{migration} is {_DONE[what]} {where}; go on with `chunkmigrate resume {migration}`."


def _take_away(db: Database[Any], held: Sequence[LeaseRecord]) -> None:
    for seen in held:
        Ledger(db).disarm(seen.token)
    generations = [generation for seen in held if (generation := _unlocked(db, seen)) is not None]
    if not generations:
        typer.echo("It has changed hands in the meantime; nothing was changed.")
        return
    what = f"The lease was taken away (generation {generations[0]})."
    if len(held) > 1:
        what = f"{len(generations)} of {len(held)} leases were taken away."
    last = "" if server.has_transactions(db.client) else " but the chunk it is writing"
    typer.echo(
        f"{what} If that run still lives it commits nothing{last}, and ends with exit code 5. Go on with "
        f"`{_begun(db, held[0].migration).command(held[0].migration)}`."
    )


def _unlocked(db: Database[Any], seen: LeaseRecord) -> int | None:
    ours = Place(seen.migration, seen.step, seen.partition)
    if not seen.partition:
        fence = partial(fencing.fence, db, fencing.of_lease(seen.migration))
        return control.unlock(db, seen.migration, seen.token, fence)
    return control.unlock(db, ours.document(), seen.token, partial(fencing.fence, db, ours.matching()))


@contextmanager
def _chosen(name: str, **flags: Any) -> Iterator[tuple[Database[Any], str]]:
    settings = settings_.here(**flags)
    with opened(settings) as db:
        yield db, naming.meant(settings, db, name)[0]


def _begun(db: Database[Any], migration: str) -> Direction:
    return direction_of(Ledger(db).entry(migration))


def _is_done(db: Database[Any], migration: str, direction: Direction) -> bool:
    return Ledger(db).entry(migration).get("status") == direction.stands(APPLIED)


def _quarantined(row: dict[str, Any]) -> str:
    times = f", {row['attempts']} times" if row["attempts"] > 1 else ""
    message = " ".join(server.redacted(row["message"]).split())
    return (
        f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['migration']}, step {row['step'] + 1}  _id {row['document']}  "
        f"{row['reason']}{times}: {message}"
    )
