"""Saying: a failure as the sentence that is printed, sent and shown.

An author's exception and a server's refusal may quote documents. Of those a sentence has no more than the
kind, the ``_id`` and the author's line; the whole text is kept in the database that holds the documents.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from chunkmigrate import server
from chunkmigrate.errors import ChunkmigrateError

_HIDDEN = (
    "Its full text may quote documents: --show-values shows it, and the run's record in chunkmigrate_runs "
    "keeps it."
)

_UNFORESEEN = "Nobody foresaw that: its traceback is on stderr."


def said(error: BaseException, *, show_values: bool = False, folder: Path | None = None) -> str:
    """Return the sentence of a failure. No password is in it, and no value of a document but its ``_id``.

    ``show_values``: with whatever it quotes. ``folder`` is that of the migrations: the last line there that
    the exception passed is named.
    """
    whole, discreet, hidden = _versions(error)
    shown = [whole if show_values else discreet]
    if folder and (place := _place(error, folder.resolve())):
        shown.append(f"It was raised in {place}.")
    if discreet != whole and not show_values:
        shown.append(hidden)
    return server.redacted(" ".join(shown))


def _versions(error: BaseException) -> tuple[str, str, str]:
    """Return the sentence with all that it quotes, and without, and where all of it stands."""
    if isinstance(error, ChunkmigrateError):
        return str(error), error.discreet, _HIDDEN
    kind = f"It ended with {type(error).__name__}"
    return f"{kind}: {error}", f"{kind}.", _UNFORESEEN


def _place(error: BaseException, folder: Path) -> str | None:
    """Return file and line of the migrations where what somebody else raised came from."""
    while isinstance(error, ChunkmigrateError):
        if error.__cause__ is None:
            return None
        error = error.__cause__
    lines = [(_at(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    inside = [(path, line) for path, line in lines if path.is_relative_to(folder)]
    if not inside:
        return None
    path, line = inside[-1]
    return f"{path.relative_to(folder.parent)}, line {line}"


def _at(file: str) -> Path:
    """Return where a file is, under its own name: in a mounted ConfigMap each is a link to another."""
    path = Path(file)
    return path.parent.resolve() / path.name
