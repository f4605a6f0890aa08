"""Parts of a profile: processes that answer, fail, die or hang, and what is said then."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from chunkmigrate.errors import ChunkmigrateError, UnmeasuredError, UsageError
from chunkmigrate.parts import Processes, told
from tests.unit.measured import migration_in

if TYPE_CHECKING:
    from pathlib import Path

URI = "mongodb://127.0.0.1:1/"


def ended(code: int, out: bytes = b"", err: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess([], code, out, err)


@pytest.mark.parametrize(
    ("process", "kind", "sentence"),
    [
        (ended(-9), UnmeasuredError, "One part of the profile ended with signal 9. No document was changed."),
        (ended(7, err=b"Alice owes 12 EUR\n"), UnmeasuredError, "ended with exit 7. No document"),
        (
            ended(1, err=b"Traceback ...\npymongo.errors.ExecutionTimeout: Alice owes\n"),
            UnmeasuredError,
            "ended with exit 1 (pymongo.errors.ExecutionTimeout). No document",
        ),
        (ended(1, err=b"\nMemoryError\n"), UnmeasuredError, "ended with exit 1 (MemoryError)."),
        (ended(1, err=b"\xff\xfe\x00"), UnmeasuredError, "ended with exit 1."),
        (ended(0), UnmeasuredError, "ended without an answer"),
        (ended(0, b"printed"), UnmeasuredError, "ended without an answer"),
        (ended(0, bson.encode({"error": "No.", "usage": True})), UsageError, "No."),
        (ended(0, bson.encode({"error": "Lost.", "usage": False})), ChunkmigrateError, "Lost."),
    ],
)
def test_failures(process: Any, kind: type[Exception], sentence: str) -> None:
    """A part that fails is a sentence; what it printed is not, for documents may be in it."""
    with pytest.raises(kind) as caught:
        told(process)
    assert type(caught.value) is kind
    assert sentence in str(caught.value)
    assert "Alice" not in str(caught.value)


def test_hangs(tmp_path: Path) -> None:
    """A part that hangs is ended, with a sentence."""
    source = "import threading\nthreading.Event().wait()\n"
    migration = migration_in(tmp_path, source)
    hanging = Processes(migration=migration, uri=URI, database="shop", writers=2, seconds=5.0)

    with pytest.raises(UnmeasuredError, match="took over 5 s: does the migration's code hang"):
        hanging("counted")


def test_positions() -> None:
    """The ends of stretches come back byte for byte, also of types Python has no value for."""
    symbol = b"\x0c\x00\x00\x00\x0eupto\x00\x02\x00\x00\x00a\x00\x00"
    symbol = bytes((len(symbol),)) + symbol[1:]
    answer = bson.encode({"sample": {"long": [RawBSONDocument(symbol)]}, "documents": 1})
    [stretch] = told(ended(0, answer))["sample"]["long"]

    assert stretch.raw == symbol
