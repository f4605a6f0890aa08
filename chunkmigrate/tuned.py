"""Tuned: what was settled for a migration beforehand, in ``<name>.tuning.json`` beside its file.

Read by every run, so it needs nothing but the standard library. How it is settled is ``tuning``'s business.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.settings import MAX_WRITERS
from chunkmigrate.sizing import MAX_CHUNK_BYTES, MAX_CHUNK_DOCUMENTS, MAX_PAGE_BYTES, Most

if TYPE_CHECKING:
    from pathlib import Path

    from chunkmigrate.migration import Migration

FORMAT = 1

# What is larger is no size, but a slip of the hand.
_MOST_MEMORY = 1 << 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What was settled: bytes of memory, the largest sizes there is any use in, and how many writers."""

    memory: int
    chunk_bytes: int
    page_bytes: int
    chunk_documents: int
    writers: int

    @property
    def most(self) -> Most:
        """The largest sizes."""
        return Most(
            chunk_bytes=self.chunk_bytes, page_bytes=self.page_bytes, chunk_documents=self.chunk_documents
        )


_LARGEST = {
    "memory": _MOST_MEMORY,
    "chunk_bytes": MAX_CHUNK_BYTES,
    "page_bytes": MAX_PAGE_BYTES,
    "chunk_documents": MAX_CHUNK_DOCUMENTS,
    "writers": MAX_WRITERS,
}


def path_of(migration: Migration) -> Path:
    """Return where it is kept."""
    return migration.path.with_suffix(".tuning.json")


def save(migration: Migration, tuned: Tuned, why: tuple[str, ...]) -> Path:
    """Write it beside the migration, whole or not at all, with the reasons for whoever reads the file."""
    path = path_of(migration)
    content = {"format": FORMAT, "migration": migration.name, "checksum": migration.checksum}
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(content | asdict(tuned) | {"why": why}, indent=2) + "\n", "utf-8")
        part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise InvalidSettingError(message) from error
    return path


def load(migration: Migration) -> tuple[Tuned | None, str]:
    """Return what was settled, if anything was, and a sentence where it is not used.

    Settled for another version of the migration it says nothing. `InvalidSettingError`: the file is none.
    """
    path = path_of(migration)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, migration, str(error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _broken(path, migration, f"it has not the format {FORMAT}")
    if content.get("checksum") != migration.checksum:
        renew = f"renew it with `chunkmigrate tune {migration.name} --write`"
        return None, f"{path.name} is of another version of the migration and is not used; {renew}"
    return Tuned(**{field.name: _number(path, migration, content, field.name) for field in fields(Tuned)}), ""


def _number(path: Path, migration: Migration, content: dict[str, Any], name: str) -> int:
    value = content.get(name)
    if type(value) is not int or not 1 <= value <= _LARGEST[name]:
        raise _broken(
            path, migration, f"{name} is {reprlib.repr(value)}, and no number from 1 to {_LARGEST[name]:,}"
        )
    return value


def _broken(path: Path, migration: Migration, why: str) -> InvalidSettingError:
    renew = f"Delete it, or renew it with `chunkmigrate tune {migration.name} --write`."
    return InvalidSettingError(f"{path} cannot be used: {why}. {renew}")
