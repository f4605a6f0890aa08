"""Profiles: what was measured of a migration, as a value and as a file ``profiles/<name>.json``.

The file's form is described in docs/profiling.md. A file that is not of that form, or about something else,
is refused with a sentence. Measuring is ``profiler``'s business, and what to make of it is ``tuning``'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Struct

from chunkmigrate.errors import ProfileError

if TYPE_CHECKING:
    from chunkmigrate.migration import Migration

FORMAT = 1
FOLDER = Path("profiles")

Against: TypeAlias = Literal["encode path", "scratch"]
ENCODE_PATH: Against = "encode path"
SCRATCH: Against = "scratch"


class Sizes(Struct, frozen=True, kw_only=True):
    """Bytes of many documents, or writes."""

    mean: int
    median: int
    p95: int
    max: int


class Line(Struct, frozen=True, kw_only=True):
    """One line of a function, as memory-profiler saw it; ``increment`` and ``memory`` in bytes."""

    number: int
    text: str
    hits: int
    increment: int | None
    memory: int | None


class Function(Struct, frozen=True, kw_only=True):
    """One function of the author's, line by line."""

    name: str
    file: str
    lines: tuple[Line, ...]


class Point(Struct, frozen=True, kw_only=True):
    """One rehearsal: inside which budget, in chunks of how many documents, and what it took.

    ``held``: it came to its end inside the budget. ``against`` says whether chunks were committed, to a
    scratch collection, or only encoded.
    """

    budget: int
    chunk_documents: int
    chunk_bytes: int
    page_bytes: int
    start: int
    peak: int
    documents: int
    documents_per_second: float
    against: Against
    held: bool


class Step(Struct, frozen=True, kw_only=True):
    """What was measured of one step. ``documents`` match, ``size`` bytes are read of them, where known."""

    step: int
    namespace: str
    documents: int | None
    size: int | None
    sampled: int
    whole: bool
    sizes: Sizes
    expansion: float
    writes_per_document: float
    write_bytes: Sizes
    seconds_per_document: dict[Literal["read", "decode", "transform", "encode"], float]
    failures: dict[str, int]
    sweep: tuple[Point, ...]
    functions: tuple[Function, ...]


class Profile(Struct, frozen=True, kw_only=True):
    """What was measured of one migration. ``baseline`` is what a run starts with, in bytes."""

    format: int
    migration: str
    checksum: str
    version: str
    at: str
    writers: int
    baseline: int
    seconds: float
    steps: tuple[Step, ...]


def path_of(migration: Migration) -> Path:
    """Return where the profile of a migration is kept: beside the folder of migrations."""
    return migration.path.parent.parent / FOLDER / f"{migration.name}.json"


def save(profile: Profile, path: Path) -> None:
    """Write a profile, whole or not at all."""
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n")
        part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise ProfileError(message) from error


def load(migration: Migration) -> Profile:
    """Read the profile of a migration; `ProfileError` says why it cannot be used, if so."""
    path = path_of(migration)
    again = f"Make a new one with `chunkmigrate profile {migration.name}`."
    try:
        profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    except FileNotFoundError as error:
        message = (
            f"There is no profile of {migration.name}. Make one with `chunkmigrate profile {migration.name}`."
        )
        raise ProfileError(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise ProfileError(message) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path} is no profile: {error}. {again}"
        raise ProfileError(message) from error
    if reason := _unusable(profile, migration):
        raise ProfileError(f"{path} cannot be used: {reason}. {again}")
    return profile


def _unusable(profile: Profile, migration: Migration) -> str:
    """Return why a profile says nothing about a migration; nothing where it does."""
    if profile.format != FORMAT:
        return f"it has the format {profile.format}, and this version of chunkmigrate reads {FORMAT}"
    if profile.migration != migration.name:
        return f"it is a profile of {profile.migration}"
    if profile.checksum != migration.checksum:
        return f"{migration.path.name} has changed since it was made"
    if profile.baseline < 0 or not profile.steps or any(not step.sweep for step in profile.steps):
        return "nothing was measured"
    return ""
