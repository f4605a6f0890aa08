"""Lint: what can be known to be wrong with migrations before they run, told a line at a time.

It parses and prints. What is found is ``linting``'s, and which exit code a failure gets is ``cli``'s.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chunkmigrate import completion
from chunkmigrate import settings as settings_
from chunkmigrate.errors import ChunkmigrateError, InvalidSettingError
from chunkmigrate.migration import Migration, find
from chunkmigrate.options import AsJson, DatabaseName, Dir, Uri  # noqa: TC001 (typer reads them)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chunkmigrate.linting.findings import Finding
    from chunkmigrate.linting.source import Source
    from chunkmigrate.settings import Settings

# As a migration that fails. What was not looked at, for whatever reason, is 2.
FOUND = 1


def lint(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Migrations, files or folders; else all migrations.",
            metavar="[NAME|PATH]...",
            autocompletion=completion.names,
        ),
    ] = None,
    *,
    select: Annotated[
        str | None, typer.Option(help="Only these rules: codes or their beginnings, CM1,CM203.")
    ] = None,
    ignore: Annotated[str | None, typer.Option(help="All rules but these.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only files that have changed since this git revision.", metavar="<revision>"),
    ] = None,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Dir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with migrations without running them.

    Example: chunkmigrate lint --since origin/main --ignore CM4
    """
    from chunkmigrate.linting import checking
    from chunkmigrate.linting.findings import BY_SERVER, chosen

    codes = chosen(_listed(select), _listed(ignore))
    settings = settings_.here(uri=uri, database=database, dir=directory)
    files = checking.read(_since(since, _paths(names or [], settings.folder)))
    found: list[Finding] = []
    with _asking(settings, needed=bool(codes & BY_SERVER) and bool(files)) as ask:
        for file in files:
            of_file = checking.check(file, codes, ask)
            found += of_file
            _print(of_file, as_json=as_json)
    typer.echo(_summary(found, len(files)), err=True)
    if found:
        raise typer.Exit(FOUND)


def _listed(codes: str | None) -> list[str]:
    return [] if codes is None else [code.strip() for code in codes.split(",")]


def _paths(names: Sequence[str], folder: Path) -> list[Path]:
    from chunkmigrate.linting.checking import migrations_of

    if not names:
        if not folder.is_dir():
            message = (
                f"There is no folder {folder} with migrations. Name files to lint, or the folder with --dir."
            )
            raise InvalidSettingError(message)
        return migrations_of(folder)
    return [path for name in names for path in _named(name, folder)]


def _named(name: str, folder: Path) -> list[Path]:
    """Return the files that a name means: those of a folder, a file, or a migration of the folder."""
    from chunkmigrate.linting.checking import migrations_of

    path = Path(name)
    if path.is_dir():
        return migrations_of(path)
    if path.is_file():
        return [path]
    return [find([Migration.read(path) for path in migrations_of(folder)], name).path]


def _since(revision: str | None, paths: list[Path]) -> list[Path]:
    from chunkmigrate.linting.changed import changed

    if revision is None:
        return paths
    differing = {path for folder in {path.parent for path in paths} for path in changed(folder, revision)}
    return [path for path in paths if path.resolve() in differing]


@contextmanager
def _asking(
    settings: Settings, *, needed: bool
) -> Iterator[Callable[[Source, Iterable[Finding]], Iterable[Finding]] | None]:
    """Yield what asks the server, or None where none is named: lint needs none."""
    if not settings.uri or not needed:
        yield None
        return
    from chunkmigrate.linting import of_servers
    from chunkmigrate.opening import opened
    from chunkmigrate.readonly import ReadOnly

    try:
        with opened(settings, [ReadOnly()]) as db:
            yield partial(of_servers.asked, database=db)
    except ChunkmigrateError as error:
        message = f"{error} To lint without a server, name none, or leave its rules out with --ignore CM4."
        raise InvalidSettingError(message) from error


def _print(findings: Iterable[Finding], *, as_json: bool) -> None:
    import json

    for finding in findings:
        shown = {
            "path": str(finding.path),
            "line": finding.line,
            "code": finding.code,
            "message": finding.message,
        }
        typer.echo(json.dumps(shown) if as_json else "{path}:{line}: {code} {message}".format(**shown))
        sys.stdout.flush()


def _summary(found: Sequence[Finding], files: int) -> str:
    looked = f"{files} file{'' if files == 1 else 's'}"
    if not found:
        return f"Nothing found in {looked}."
    count = f"{len(found)} finding{'' if len(found) == 1 else 's'}"
    return f"{count}, in {len({finding.path for finding in found})} of {looked}."
