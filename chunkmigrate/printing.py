"""Printing: what a command says, and what it warns of, so that each line is there once it is written."""

from __future__ import annotations

import os
import sys


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
