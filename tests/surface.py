"""The command line as it is. `make docs` writes docs/commands.md with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from chunkmigrate import job_options, settings
from chunkmigrate.cli import app
from chunkmigrate.kubernetes.choices import _FLAGS_ONLY, Choices

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """# Commands

Every command with its arguments and options, as `--help` shows them. `make docs` writes this page. What an
exit code means stands in [exit codes](exit-codes.md), what `--json` prints in [JSON](json.md).

A setting is taken from its option, else from its environment variable, else from `pyproject.toml`: from
`[tool.chunkmigrate]`, or from `[tool.chunkmigrate.kubernetes]` where its name begins with `kubernetes.`. A
migration is called by its file's name, with or without its timestamp, or by any part that no other has.
"""

# What the options of a Job are, in `[tool.chunkmigrate.kubernetes]`.
OF_JOBS = {"job render", "job submit"}
OF_A_CLUSTER = {"job watch", "job cancel", "job diagnose"}


def commands(group: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, by the words it is called with."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def sources(command: str, parameter: Any) -> tuple[str, str]:
    """The environment variable and the name in pyproject.toml that say what an option says."""
    name = {"directory": "dir"}.get(parameter.name, parameter.name.rstrip("_"))
    jobs_own = command in OF_JOBS and parameter.name in job_options._typed.__kwdefaults__
    if jobs_own or (command in OF_A_CLUSTER and name == "namespace"):
        known = name in Choices.__struct_fields__ and name not in _FLAGS_ONLY
        return "", f"kubernetes.{name}" if known else ""
    variable = settings._ENVIRONMENT.get(name, "")
    return variable, name if variable else ""


def kind(parameter: Any) -> str:
    """What an option takes."""
    if getattr(parameter, "is_flag", False):
        return "flag"
    names = {"str": "text", "int": "whole number", "float": "number", "boolean": "flag", "path": "path"}
    choices = getattr(parameter.type, "choices", ())
    shown = ", ".join(choices) or parameter.metavar or names.get(parameter.type.name, parameter.type.name)
    return f"`{shown}`, repeatable" if getattr(parameter, "multiple", False) else shown.strip("<>")


def meaning(parameter: Any) -> tuple[str, str]:
    """The line of help, and the default, wherever that stands."""
    help_, _, default = parameter.help.partition(" [default: ")
    if parameter.required:
        return help_, "required"
    if not default and parameter.default not in (None, False, ""):
        default = str(getattr(parameter.default, "value", parameter.default))
    return help_, default.rstrip("]")


def section(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    shown = [_argument(one) for one in arguments]
    yield f"## {name}\n"
    yield f"`chunkmigrate {' '.join([name, *shown])}`\n"
    yield f"{' '.join(command.help.split())}\n"
    for one, as_shown in zip(arguments, shown, strict=True):
        yield f"- `{as_shown}`: {one.help}"
    if arguments:
        yield ""
    options = [one for one in command.params if one.param_type_name == "option"]
    if options:
        yield "| option | takes | default | environment | pyproject.toml | |"
        yield "|---|---|---|---|---|---|"
    for one in options:
        yield row(name, one)
    yield f"\n{command.epilog.replace('chunkmigrate ', '`chunkmigrate ', 1)}`\n"


def row(command: str, option: Any) -> str:
    variable, key = sources(command, option)
    help_, default = meaning(option)
    flags = ", ".join(f"`{flag}`" for flag in option.opts)
    cells = [flags, kind(option), default, variable and f"`{variable}`", key and f"`{key}`", help_]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _argument(argument: Any) -> str:
    if argument.metavar:
        return str(argument.metavar)
    return argument.name.upper() if argument.required else f"[{argument.name.upper()}]"


def page() -> str:
    """What docs/commands.md says."""
    found = dict(commands())
    listed = " · ".join(f"[{name}](#{name.replace(' ', '-')})" for name in found)
    sections = ["\n".join(section(name, command)) for name, command in found.items()]
    return "\n".join([HEAD, f"{listed}\n", *sections])


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 (it is what the page is written with)
