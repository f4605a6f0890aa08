"""Profiles: what was measured of a migration, as a value and as a file ``profiles/<name>.json``.

The file's form is described in docs/profiling.md. A file that is not of that form, or about something else,
is refused with a sentence. Measuring is ``profiler``'s business, and what to make of it is ``tuning``'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chunkmigrate.errors import ProfileError
from chunkmigrate.plain import in_line
from chunkmigrate.settings import MAX_WRITERS
from chunkmigrate.sizing import MAX_CHUNK_DOCUMENTS

if TYPE_CHECKING:
    from chunkmigrate.migration import Migration

FORMAT = 1
FOLDER = Path("profiles")

STAGES = ("read", "decode", "transform", "encode")

Against: TypeAlias = Literal["encode path", "scratch"]
ENCODE_PATH: Against = "encode path"
SCRATCH: Against = "scratch"


# What is larger is no measurement, but a slip of the hand.
Number: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
Real: TypeAlias = Annotated[float, Meta(ge=0, le=1e15)]
Text: TypeAlias = Annotated[str, Meta(max_length=10_000)]
# A tuning's memory is 15 % above one of these, and must be below what a tuning's file may say.
Memory: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 49)]
# One document in eleven days: no sample has seen a slower one, and a duration from it is beyond all floats.
Pace: TypeAlias = Annotated[float, Meta(ge=1e-6, le=1e15)]


class Sizes(Struct, frozen=True, kw_only=True):
    """Bytes of many documents, or writes."""

    mean: Number
    median: Number
    p95: Number
    max: Number


class Line(Struct, frozen=True, kw_only=True):
    """One line of a function, as memory-profiler saw it; ``increment`` and ``memory`` in bytes."""

    number: Number
    text: Text
    hits: Number
    increment: Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | None
    memory: Number | None


class Function(Struct, frozen=True, kw_only=True):
    """One function of the author's, line by line."""

    name: Text
    file: Text
    lines: tuple[Line, ...]


class Point(Struct, frozen=True, kw_only=True):
    """One rehearsal: inside which budget, in chunks of how many documents, and what it took, in bytes.

    ``held``: it came to its end inside the budget. ``against`` says whether chunks were committed, to a
    scratch collection, or only encoded; only where they were committed is the pace that of a run.
    """

    budget: Memory
    chunk_documents: Annotated[int, Meta(ge=1, le=MAX_CHUNK_DOCUMENTS)]
    chunk_bytes: Number
    page_bytes: Number
    start: Number
    peak: Number
    documents: Number
    documents_per_second: Pace | None
    against: Against
    held: bool


class Seconds(Struct, frozen=True, kw_only=True):
    """Seconds a document takes in each stage, one stage after the other."""

    read: Real
    decode: Real
    transform: Real
    encode: Real

    @property
    def together(self) -> float:
        """All stages."""
        return self.read + self.decode + self.transform + self.encode


class Step(Struct, frozen=True, kw_only=True):
    """What was measured of one step. ``documents`` match, ``size`` bytes are read of them, where known."""

    step: Number
    namespace: Text
    documents: Number | None
    size: Number | None
    sampled: Number
    whole: bool
    sizes: Sizes
    expansion: Real
    writes_per_document: Real
    write_bytes: Sizes
    seconds_per_document: Seconds
    failures: dict[Text, Number]
    sweep: tuple[Point, ...]
    functions: tuple[Function, ...]


class Profile(Struct, frozen=True, kw_only=True):
    """What was measured of one migration. ``baseline`` is what a run starts with, in bytes."""

    format: Number
    migration: Text
    checksum: Text
    version: Text
    at: Text
    writers: Annotated[int, Meta(ge=1, le=MAX_WRITERS)]
    baseline: Memory
    seconds: Real
    steps: tuple[Step, ...]


class _Header(Struct):
    """What tells whether the rest can be read at all."""

    format: int


def path_of(migration: Migration) -> Path:
    """Return where the profile of a migration is kept: beside the folder of migrations."""
    return migration.path.parent.parent / FOLDER / f"{migration.name}.json"


def document(profile: Profile) -> dict[str, Any]:
    """Return a profile as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(profile)
    return plain


def line(profile: Profile) -> str:
    """Return a profile as one line of JSON."""
    return msgspec.json.encode(profile).decode()


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
    changed = f"{migration.path.name} has changed since it was made"
    profile = fitting(path_of(migration), migration.name, migration.checksum, otherwise=changed)
    if profile is None:
        message = f"There is no profile of {migration.name}. Make one with {_make(migration.name)}."
        raise ProfileError(message)
    return profile


def fitting(path: Path, migration: str, checksum: str | None, *, otherwise: str) -> Profile | None:
    """Read the profile in a file, None where there is none; `ProfileError` says why it cannot be used, if so.

    Of a migration of another checksum, where one is known, it says nothing; ``otherwise`` is why.
    """
    profile, reason = read(path, migration), ""
    if profile and profile.migration != migration:
        reason = f"it is a profile of {in_line(profile.migration)}"
    elif profile and checksum and checksum != profile.checksum:
        reason = otherwise
    if reason:
        raise ProfileError(f"{path} cannot be used: {reason}. Make a new one with {_make(migration)}.")
    return profile


def read(path: Path, migration: str) -> Profile | None:
    """Read the profile in a file, None where there is none; `ProfileError` says why it is no profile."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise ProfileError(message) from error
    try:
        return _decoded(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path} is no profile: {error}. Make a new one with {_make(migration)}."
        raise ProfileError(message) from error


def _decoded(content: bytes) -> Profile:
    """Return what a file says. Of another format only that is read: the rest may be spelled otherwise."""
    found = msgspec.json.decode(content, type=_Header).format
    if found != FORMAT:
        message = f"it has the format {found}, and this version of chunkmigrate reads {FORMAT}"
        raise msgspec.ValidationError(message)
    return msgspec.json.decode(content, type=Profile)


def _make(migration: str) -> str:
    return f"`chunkmigrate profile {migration}`"
