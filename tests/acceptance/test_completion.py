"""Completion, in the shells that are installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIRST, SECOND = "20260101000000_add_one", "20260102000000_add_two"

# What each shell does at the Tab key, for the words after it, and the way it prints what it offers.
BASH = """
source <(chunkmigrate completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_chunkmigrate_completion "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { : }
_arguments() { print -r -- "$1" | sed -E 's/^[^"]*"//; s/"\\)\\)$//; s/" "/\\n/g' | sed -E 's/":".*//' }
_files() { : }
eval "$(chunkmigrate completion zsh)"
words=("$@") CURRENT=$#
_chunkmigrate_completion
"""
FISH = """
chunkmigrate completion fish | source
complete -C "$argv" | string split -f1 \\t
"""


@pytest.fixture(params=["bash", "zsh", "fish"])
def offered(request: pytest.FixtureRequest, tmp_path: Path) -> Offered:
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "migrations").mkdir()
    for name in (FIRST, SECOND, "test_add_one", "__init__", "_helper"):
        (tmp_path / "migrations" / f"{name}.py").write_text("raise SystemExit('imported')\n", "utf-8")
    return Offered(shell, tmp_path)


class Offered:
    """What a shell offers where migrations must not be imported, and no server is there."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.shell, self.folder = shell, folder

    def __call__(self, line: str) -> list[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(self.folder), "MONGODB_URI": "mongodb://127.0.0.1:9/none"}
        done = subprocess.run(
            self._command(line.split(" ")),
            cwd=self.folder,
            env=environment | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not done.stderr
        return sorted(done.stdout.split())

    def _command(self, words: list[str]) -> list[str]:
        return {
            "bash": ["bash", "--norc", "-c", BASH, "bash", *words],
            "zsh": ["zsh", "-f", "-c", ZSH, "zsh", *words],
            "fish": ["fish", "--no-config", "-c", FISH, *words],
        }[self.shell]


def test_completes(offered: Offered) -> None:
    """A shell completes commands, those of a group, options and the values they take."""
    assert offered("chunkmigrate sta") == ["status"]
    assert offered("chunkmigrate job re") == ["render"]
    assert offered("chunkmigrate run --mem") == ["--memory"]
    assert offered("chunkmigrate import --from migrate") == ["migrate-mongo"]
    assert offered("chunkmigrate completion f") == ["fish"]


def test_completes_migrations(offered: Offered) -> None:
    """A shell completes the names of migrations, with or without their timestamp."""
    assert offered("chunkmigrate run 2026") == [FIRST, SECOND]
    assert offered("chunkmigrate job render add_o") == ["add_one"]
    for command in ("mark", "lint", "quarantine list"):
        assert offered(f"chunkmigrate {command} {SECOND[:12]}") == [SECOND]


def test_completes_in_another_folder(offered: Offered) -> None:
    """A shell completes the migrations of the folder that `--dir` names."""
    (offered.folder / "migrations").rename(offered.folder / "elsewhere")

    assert FIRST not in offered("chunkmigrate run 2026")
    assert offered("chunkmigrate run --dir elsewhere 2026") == [FIRST, SECOND]
