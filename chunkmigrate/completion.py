"""Completion: what a shell offers at the Tab key: commands, options, and the names of migrations.

Names are those of files: nothing is imported, and no server is asked. The scripts, and what they call, are
typer's, switched on only where a shell asks: a pod never does.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from chunkmigrate import settings
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.migration import untimed

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "chunkmigrate"
# Where a shell says what it asks for; Click looks there, too.
ASKED = "_CHUNKMIGRATE_COMPLETE"

_MIGRATION = re.compile(r"(?![_.]|test_|conftest\.)[\w-]+\.py")


class Shell(Enum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell's: bash, zsh or fish.", metavar="SHELL")],
) -> None:
    """Print the script by which a shell completes commands. Options and names of migrations, too.

    Example: chunkmigrate completion bash
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=ASKED, shell=shell.value))


def prepare(environment: Mapping[str, str]) -> None:
    """Get ready to answer, where a shell asks: typer does that by itself only with options of its own."""
    if environment.get(ASKED):
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return what a migration's name may be that begins so: without its timestamp, if it was typed so."""
    try:
        folder = settings.here(dir=ctx.params.get("directory")).folder
        files = sorted(path.name for path in folder.iterdir() if _MIGRATION.fullmatch(path.name))
    except (InvalidSettingError, OSError):
        return []
    whole = [name.removesuffix(".py") for name in files]
    short = [*map(untimed, whole)]
    return _beginning(whole, incomplete) or _beginning(short, incomplete)


def _beginning(names_: list[str], incomplete: str) -> list[str]:
    return [name for name in names_ if name.startswith(incomplete)]
