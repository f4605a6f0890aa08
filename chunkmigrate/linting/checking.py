"""Checking: a file through all the rules, and what its author says of them.

Nothing is imported and nobody is asked; what a server knows is added by whoever has one.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from chunkmigrate.errors import InvalidModuleError
from chunkmigrate.folder import is_migration
from chunkmigrate.linting import of_acting, of_files, of_imports, of_loops, of_sameness, of_transforms
from chunkmigrate.linting.comments import applied, ignores_of
from chunkmigrate.linting.findings import BY_SERVER, Finding
from chunkmigrate.linting.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_RULES = (
    of_files.docstring,
    of_files.way_back,
    of_files.entry,
    of_imports.at_import,
    of_acting.repeated,
    of_acting.beside_steps,
    of_loops.looping,
    of_acting.skips,
    of_loops.endless,
    of_sameness.sameness,
    of_transforms.by_id,
    of_transforms.inserting,
    of_transforms.whole,
    of_transforms.sending,
    of_transforms.sleeping,
)


@dataclass(frozen=True, slots=True)
class File:
    """A file to check: its path as it is shown, its text, and those it may not share a timestamp with."""

    path: Path
    text: bytes
    beside: tuple[Path, ...] = ()


def read(paths: Iterable[Path]) -> list[File]:
    """Return files with those beside them; `InvalidModuleError` for one that cannot be read.

    Of two that share a timestamp the later one is told, or the one that is checked.
    """
    paths = sorted(set(paths))
    return [File(path, _bytes(path), tuple(_beside(path, paths))) for path in paths]


def migrations_of(folder: Path) -> list[Path]:
    """Return the files of a folder that are migrations, by name."""
    return [path for path in sorted(folder.glob("*.py")) if is_migration(path)]


def _beside(path: Path, checked: list[Path]) -> Iterator[Path]:
    for other in migrations_of(path.parent):
        if other != path and (other.name < path.name or other not in checked):
            yield other


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise InvalidModuleError(message) from error


def check(
    file: File,
    codes: frozenset[str],
    ask: Callable[[Source, Iterable[Finding]], Iterable[Finding]] | None = None,
) -> list[Finding]:
    """Return what the rules called ``codes`` have to say of a file, in the order of its lines.

    ``ask`` is given what was found, and returns it with what a server knows.
    """
    try:
        source = Source(file.path, ast.parse(file.text, filename=str(file.path)))
        found = list(_found(source, file.beside))
        ignores = ignores_of(_decoded(file.text))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        unread = Finding(file.path, getattr(error, "lineno", None) or 1, "CM001", _unread(error))
        return [unread] if "CM001" in codes else []
    asked = codes if ask is not None else codes - BY_SERVER
    selected = [finding for finding in (ask(source, found) if ask else found) if finding.code in codes]
    # A scan that two backfills share is told once.
    return sorted({told for told in applied(file.path, selected, ignores, asked) if told.code in codes})


def _found(source: Source, beside: Iterable[Path]) -> Iterator[Finding]:
    for rule in (*_RULES, partial(of_files.timestamp, beside=beside)):
        yield from rule(source)


def _unread(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "It is nested too deeply to be read."
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"It cannot be parsed: {said}."


def _decoded(text: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(text).readline)
    return text.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
