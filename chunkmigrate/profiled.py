"""What a profile says about a migration: read from a file that anybody may have written, or cut short.

Nothing in it is believed: a file that is not what it should be is a sentence, `UnreadableProfileError`. To
make a profile is another's business, and so is what follows from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from chunkmigrate.errors import UnreadableProfileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

FORMAT = 1

# A profile of a migration with a thousand lines has 200 KiB.
MAX_BYTES = 4 * 1024 * 1024
# What an integer in MongoDB can hold; a larger one is no measurement.
_MAX = float(1 << 63)

PHASES = ("read", "decode", "transform", "encode")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a function; ``increment`` and ``memory`` are bytes, or None where it was not reached."""

    number: int
    text: str
    hits: int
    increment: int | None
    memory: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A function of the author's, line by line."""

    name: str
    file: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Chunks of one size: the most bytes in use with them, and how fast they went."""

    chunk_documents: int
    peak: int
    documents_per_second: float
    against: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfiledStep:
    """One step. ``sizes`` and ``write_bytes`` are bytes a document, ``seconds`` are seconds a document."""

    step: int
    namespace: str
    documents: int | None
    sampled: int
    sizes: dict[str, float]
    expansion: float
    write_bytes: dict[str, float]
    writes_per_document: float
    seconds: dict[str, float]
    sweep: tuple[Trial, ...]
    functions: tuple[Function, ...]

    @property
    def seconds_per_document(self) -> float:
        """What a document takes, all phases together."""
        return sum(self.seconds.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A profile of a migration's file as it was with ``checksum``."""

    migration: str
    checksum: str
    version: str
    at: str
    baseline: int
    seconds: float
    steps: tuple[ProfiledStep, ...]


def read(path: Path) -> Profile | None:
    """Return the profile in a file; None where there is no file. Raises `UnreadableProfileError`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableProfileError(path, error.strerror or type(error).__name__) from error
    if len(content) > MAX_BYTES:
        raise UnreadableProfileError(path, f"it is larger than {MAX_BYTES:,} bytes")
    try:
        return _profile(json.loads(content, parse_constant=_no_number))
    except KeyError as error:
        raise UnreadableProfileError(path, f"{error} is missing in it") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableProfileError(path, f"it is not a profile, or not all of one ({error})") from error


def _profile(found: Any) -> Profile:
    if _is(dict, found)["format"] != FORMAT:
        message = f"its format is not {FORMAT}, the one this version reads"
        raise ValueError(message)
    return Profile(
        migration=_is(str, found["migration"]),
        checksum=_is(str, found["checksum"]),
        version=_is(str, found["version"]),
        at=_is(str, found["at"]),
        baseline=_whole(found["baseline"]),
        seconds=_number(found["seconds"]),
        steps=_each(_step, found["steps"]),
    )


def _step(found: Any) -> ProfiledStep:
    documents = _is(dict, found)["documents"]
    return ProfiledStep(
        step=_whole(found["step"]),
        namespace=_is(str, found["namespace"]),
        documents=None if documents is None else _whole(documents),
        sampled=_whole(found["sampled"]),
        sizes=_numbers(found["sizes"], "mean", "median", "p95", "max"),
        expansion=_number(found["expansion"]),
        write_bytes=_numbers(found["write_bytes"], "mean", "max"),
        writes_per_document=_number(found["writes_per_document"]),
        seconds=_numbers(found["seconds_per_document"], *PHASES),
        sweep=_each(_trial, found["sweep"]),
        functions=_each(_function, found["functions"]),
    )


def _trial(found: Any) -> Trial:
    return Trial(
        chunk_documents=_whole(_is(dict, found)["chunk_documents"]),
        peak=_whole(found["peak"]),
        documents_per_second=_number(found["documents_per_second"]),
        against=_is(str, found["against"]),
    )


def _function(found: Any) -> Function:
    return Function(
        name=_is(str, _is(dict, found)["name"]),
        file=_is(str, found["file"]),
        lines=_each(_line, found["lines"]),
    )


def _line(found: Any) -> Line:
    increment, memory = _is(dict, found)["increment"], found["memory"]
    return Line(
        number=_whole(found["number"]),
        text=_is(str, found["text"]),
        hits=_whole(found["hits"]),
        increment=None if increment is None else int(_number(increment, least=-_MAX)),
        memory=None if memory is None else _whole(memory),
    )


def _each(make: Callable[[Any], T], found: Any) -> tuple[T, ...]:
    return tuple(map(make, _is(list, found)))


def _numbers(found: Any, *names: str) -> dict[str, float]:
    return {name: _number(_is(dict, found)[name]) for name in names}


def _whole(found: Any) -> int:
    return int(_number(found))


def _number(found: Any, *, least: float = 0.0) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found < _MAX:
        message = f"{str(found)[:40]!r} is no number that was measured"
        raise ValueError(message)
    return found


def _is(kind: type[T], found: Any) -> T:
    if not isinstance(found, kind):
        message = f"{str(found)[:40]!r} is no {kind.__name__}"
        raise TypeError(message)
    return found


def _no_number(name: str) -> float:
    message = f"{name} is no number"
    raise ValueError(message)
