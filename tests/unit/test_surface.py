"""The surface: what `--help` says of each command, and what the documentation says of it."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chunkmigrate.cli import app
from tests import surface

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")
COMMANDS = dict(surface.commands())
every_command = pytest.mark.parametrize("name", COMMANDS)


def help_of(name: str, width: int = 80) -> str:
    command = COMMANDS[name]
    context = command.make_context(
        f"chunkmigrate {name}", [], resilient_parsing=True, terminal_width=width, max_content_width=width
    )
    return str(command.get_help(context))


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def parsed(words: list[str]) -> tuple[str, Any]:
    """What a command line calls, with what was understood of it; an error where it does not parse."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("chunkmigrate", list(words))
    named = []
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, list(words), parent=context)
        named.append(name)
    return " ".join(named), context.params


def test_documented_as_it_is() -> None:
    """docs/commands.md is what `make docs` writes: each command and option, its default and meaning."""
    assert surface.page() == PAGE, "make docs"


def test_nothing_is_missing() -> None:
    """The commands that are documented are those that there are."""
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == [*COMMANDS]
    assert len(COMMANDS) > 20


@every_command
def test_options_are_documented(name: str) -> None:
    """The options a command's help shows are those that are documented, with their defaults."""
    shown = help_of(name, 200)
    options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", shown.partition("\nOptions:")[2], re.MULTILINE)
    rows = {
        re.search(r"--[a-z-]+", row)[0]: row  # type: ignore[index]
        for row in re.findall(r"^\| `-.*$", section(name), re.MULTILINE)
    }

    assert options[-1] == "--help"
    assert sorted(options[:-1]) == sorted(rows)
    for option, default in re.findall(r"(--[a-z-]+) .*\[default: (.*)\]$", shown, re.MULTILINE):
        assert f"| {default} |" in rows[option]


@every_command
def test_example(name: str) -> None:
    """Each command's help ends with one line that shows how it is called, and that line is understood."""
    last = help_of(name).splitlines()[-1].strip()
    example = last.removeprefix("Example: chunkmigrate ")
    called, _ = parsed(shlex.split(example))

    assert example != last
    assert called == name
    assert f"Example: `chunkmigrate {example}`" in section(name)


@every_command
def test_help_fits_a_terminal(name: str) -> None:
    """Help is no wider than 80 columns."""
    assert max(map(len, help_of(name).splitlines())) <= 80


@every_command
def test_usage(name: str) -> None:
    """What a command takes stands in its usage in capitals, as in the documentation."""
    assert re.search(r"[a-z]", help_of(name).splitlines()[0].partition("[OPTIONS]")[2]) is None


@pytest.mark.parametrize("words", [[], ["quarantine"], ["job"], ["undo"]])
def test_list_is_whole(words: list[str]) -> None:
    """What a list of commands says of each is a whole sentence."""
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=80, max_content_width=80).stdout
    listed = shown.partition("Commands:\n")[2].splitlines()

    assert len(listed) > 1
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_version() -> None:
    """`--version` says what is installed, and nothing else."""
    told = CliRunner().invoke(app, ["--version"])

    assert (told.exit_code, told.stdout) == (0, f"chunkmigrate {version('chunkmigrate')}\n")


def test_an_unknown_option_is_noticed() -> None:
    """What the test of examples rests on: a command line with an unknown option is not understood."""
    with pytest.raises(Exception, match="No such option"):
        parsed(["status", "--chek"])
