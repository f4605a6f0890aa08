"""Commands: how one gets onto the command line, what its help ends with, and how it asks before it acts.

A command's docstring is its help, and the last paragraph of it, ``Example: ...``, stands beneath its options.
What the command does is its module's business.
"""

from __future__ import annotations

import inspect
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chunkmigrate.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable

_EXAMPLE = "Example: "

Verb = TypeVar("Verb", bound="Callable[..., Any]")


def group(name: str, help_: str) -> typer.Typer:
    """Return what holds commands, without what a pod has no use for: typer's own options, and rich."""
    return typer.Typer(
        name=name,
        help=help_,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as Click calls it
    if asked:
        typer.echo(f"chunkmigrate {version('chunkmigrate')}")
        raise typer.Exit


def root(
    *,
    version_: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Give the command line the one option that belongs to no command."""


def add(to: typer.Typer, verb: Verb, name: str | None = None) -> Verb:
    """Add a command, by its function's name or by the one given, and return its function."""
    help_, _, example = (inspect.getdoc(verb) or "").partition(_EXAMPLE)
    return to.command(name, help=help_.strip(), epilog=f"{_EXAMPLE}{example}")(verb)


def confirmed(question: str, command: str) -> bool:
    """Ask; ``command`` is what goes on without, once it says so with ``--yes``.

    Raises `InvalidSettingError` where there is nobody to answer.
    """
    if not sys.stdin.isatty():
        message = f"`{command}` asks first; in a script use `{command} --yes`."
        raise InvalidSettingError(message)
    if typer.confirm(question):
        return True
    typer.echo("Nothing was changed.")
    return False
