"""Colours: on a terminal that has some, and nowhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine
from tests.acceptance.test_jobs_live import operating
from tests.recorded import scenario

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

ESCAPE = "\x1b"
# What sets a colour of the letters or behind them; bold and the cursor's movements are none.
COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[\d;]*)?m")


def on_a_terminal(cli: CommandLine, *arguments: str, **environment: str) -> str:
    """What a command writes to a terminal."""
    unset = {"NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "TTY_COMPATIBLE"}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chunkmigrate", *arguments],
        cwd=cli.folder,
        env=inherited | {"MONGODB_URI": cli.uri, "TERM": "xterm-256color"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    return everything(ours, process)


def everything(terminal: int, process: subprocess.Popen[Any]) -> str:
    written = b""
    try:
        while part := os.read(terminal, 65_536):
            written += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    finally:
        os.close(terminal)
    assert process.wait(60) == 0, written
    return written.decode()


COMMANDS = {
    "dry run": ("run", "add_one", "--dry-run"),
    "run": ("run", "add_one"),
    "tune": ("tune", "add_one"),
}


without_colours = pytest.mark.parametrize(
    ("environment", "unwanted"),
    [({"NO_COLOR": "1"}, COLOUR), ({"TERM": "dumb"}, re.compile(ESCAPE))],
    ids=["NO_COLOR", "dumb"],
)


@without_colours
def test_none_on_such_a_terminal(
    cli: CommandLine, db: Database[Any], environment: dict[str, str], unwanted: re.Pattern[str]
) -> None:
    """With `NO_COLOR` a terminal gets no colours, with `TERM=dumb` no escape sequence at all."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(100))
    for arguments in COMMANDS.values():
        written = on_a_terminal(cli, *arguments, **environment)

        assert "memory" in written
        assert not unwanted.findall(written)


def test_some_on_a_terminal(cli: CommandLine, db: Database[Any]) -> None:
    """A terminal that has colours gets some from a run."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(100))

    assert COLOUR.findall(on_a_terminal(cli, *COMMANDS["run"]))


def test_none_in_a_pipe(cli: CommandLine, db: Database[Any]) -> None:
    """What is written to no terminal has no escape sequence, whatever the terminal's name is."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(100))
    for arguments in (*COMMANDS.values(), ("run", "--help"), ("run", "--wrong")):
        done = cli(*arguments, TERM="xterm-256color")

        assert ESCAPE not in done.stdout + done.stderr


@without_colours
def test_none_on_the_screen_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], unwanted: re.Pattern[str]
) -> None:
    """The screen on which a Job is watched obeys the same two variables."""
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with operating(tmp_path, scenario("succeeded")) as operator:
        process = operator.start("watch", stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
        os.close(theirs)
        written = everything(ours, process)

    assert "Pod succeeded-ht2kl succeeded (exit 0)." in written
    assert not unwanted.findall(written)
