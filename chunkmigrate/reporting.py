"""Reporting: the command `report`, which shows how a run went. It parses, writes and prints.

What is told is ``account``'s business, how the page looks ``report_page``'s. Both are imported when they are
asked for: a pod has no use for them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import settings as settings_
from chunkmigrate.completion import names
from chunkmigrate.errors import InvalidSettingError, ProfileError
from chunkmigrate.opening import opened
from chunkmigrate.options import DatabaseName, Dir, Uri  # noqa: TC001 (typer reads them)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkmigrate.profiles import Profile
    from chunkmigrate.report import Report
    from chunkmigrate.settings import Settings

REPORTS = Path("reports")

# A name in a database may be longer than a file's may.
_LONGEST = 120


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run's id, or a migration for its latest run; else the latest run of all.",
            autocompletion=names,
            metavar="[RUN]",
        ),
    ] = None,
    *,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The page's file. [default: reports/MIGRATION-RUN.html]", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and write no file.")] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show what a failure says, which may quote documents.")
    ] = False,
) -> None:
    """Show how a run went, as one page; also of one that was killed. Writes nothing to the database.

    Example: chunkmigrate report order_prices --output report.html
    """
    if as_json and output is not None:
        message = "--json prints to the standard output and writes no file: leave out --output."
        raise InvalidSettingError(message)
    settings = settings_.here(uri=uri, database=database, dir=directory)
    told = _told(settings, run, show_values=show_values)
    if as_json:
        typer.echo(_json(told))
        return
    path = _written(told, output or REPORTS / f"{_file_name(told.migration)}-{told.run}.html")
    for line in _summary(told):
        typer.echo(line)
    typer.echo(path)


def _told(settings: Settings, run: str | None, *, show_values: bool) -> Report:
    from chunkmigrate import account, evidence

    with opened(settings) as db:
        found = evidence.gathered(db, run)
    try:
        profile, trouble = _profile(settings, found.run), None
    except ProfileError as error:
        profile, trouble = None, str(error)
    return account.of(found, profile=profile, profile_trouble=trouble, show_values=show_values)


def _profile(settings: Settings, run: Mapping[str, Any]) -> Profile | None:
    """Return the profile of what was run; `ProfileError` says why there is none to show, if so."""
    from chunkmigrate import profiles

    migration = run["migration"]
    file = f"{migration}.json"
    if Path(file).name != file:  # a name that leads elsewhere, in a database that anybody may have written
        return None
    path = settings.folder.parent / profiles.FOLDER / file
    other = "the run was of another version of the migration than it"
    return profiles.fitting(path, migration, run.get("checksum"), otherwise=other)


def _written(told: Report, path: Path) -> Path:
    from chunkmigrate.report_page import page

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(told, made=datetime.now(UTC)), "utf-8")
    except (OSError, ValueError) as error:
        message = f"{path} cannot be written: {getattr(error, 'strerror', None) or error}."
        raise InvalidSettingError(message) from error
    return path


def _summary(told: Report) -> list[str]:
    from chunkmigrate.plain import in_line

    advice = [f"- {one.title}: {one.text}" for one in told.advice]
    return [in_line(line) for line in (told.headline, *advice)]


def _json(told: Report) -> str:
    import json

    document: dict[str, Any] = told.document()
    return json.dumps(document, indent=2, default=str)


def _file_name(migration: str) -> str:
    plain = "".join(one if one.isalnum() or one in "-_." else "_" for one in migration)
    return plain.lstrip(".")[:_LONGEST] or "migration"
