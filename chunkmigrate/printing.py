"""Printing: what a command says, for people or programs, so that each line is there once it is written."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def json_of(row: Mapping[str, Any]) -> str:
    """Return a row as one line of JSON; times are UTC, in ISO 8601."""
    return json.dumps(row, default=_spelled)


def _spelled(value: Any) -> str:
    """Return in the words of JSON what it has none for: a time, which the server gives without its zone."""
    if not isinstance(value, datetime):
        return str(value)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")


def warn(sentence: str) -> None:
    """Say on standard error what an operator should know."""
    print(f"Warning: {sentence}", file=sys.stderr)


def say(line: str) -> None:
    """Say a line on standard output. A pipe's reader must see it now, not when a buffer is full."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Who has read it is gone. That is no reason to leave the work without its end on record.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
