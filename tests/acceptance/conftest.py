from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

INCREMENT = '''"""Add one to every n."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})
'''


@dataclass(frozen=True)
class CommandLine:
    """The real command line, in a process of its own."""

    folder: Path
    uri: str

    def write(self, source: str, name: str = "20260101000000_add_one") -> None:
        (self.folder / "migrations").mkdir(exist_ok=True)
        (self.folder / "migrations" / f"{name}.py").write_text(source, "utf-8")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "chunkmigrate", *arguments],
            cwd=self.folder,
            env=os.environ | {"MONGODB_URI": self.uri} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def answered(cli: CommandLine, word: str, *arguments: str) -> str:
    """What a command says on a terminal to somebody who answers."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chunkmigrate", *arguments],
        cwd=cli.folder,
        env=os.environ | {"MONGODB_URI": cli.uri},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(theirs)
    os.write(ours, f"{word}\n".encode())
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    return out


def last_line(out: str) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return line


def started(process: subprocess.Popen[str]) -> None:
    """Wait until the process says that its run has started."""
    assert process.stdout is not None
    for line in process.stdout:
        if '"started"' in line:
            return
    pytest.fail(f"ended with {process.wait()} before it started")


@pytest.fixture
def cli(tmp_path: Path, mongodb_uri: str, db: Database[Any]) -> CommandLine:
    """The command line in an empty project, on the test's database."""
    base, _, options = mongodb_uri.partition("/?")
    return CommandLine(tmp_path, f"{base}/{db.name}?{options}")
