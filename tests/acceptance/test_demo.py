"""The demo, once, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from chunkmigrate import limits, mongod_binary
from chunkmigrate.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

LINE = r"^\S (?P<name>the loop|chunkmigrate) .*?(?P<peak>[\d.]+) MiB"


def peaks(output: str) -> dict[str, float]:
    """Peak memory in MiB, by row of the table."""
    return {row["name"]: float(row["peak"]) for row in re.finditer(LINE, output, re.MULTILINE)}


def test_demo(tmp_path: Path) -> None:
    """It ends well, shows both side by side with equal data, and what the kernel does to the loop."""
    try:
        mongod_binary.find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-c", "from chunkmigrate.cli import main; main()", "demo"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Both left the same data: 50,000 orders" in done.stdout
    memory = peaks(done.stdout)
    assert memory["chunkmigrate"] <= 64 < memory["the loop"]
    limited = done.stdout.partition("\n3. ")[2]
    if limits.available() is None:
        assert limited.startswith("Left out: ")
    else:
        assert re.search(r"the loop +exit 137, killed by the kernel; 0 orders changed", limited)
        assert re.search(r"chunkmigrate +exit 0, peak memory .*; 50,000 orders changed", limited)
