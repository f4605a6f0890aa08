"""Parts of a profile, asked for: each is answered by a process of its own, which may die or hang.

What a part measures is ``profile_part``'s business, and which ones make a profile ``profiler``'s.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from chunkmigrate.errors import ChunkmigrateError, UnmeasuredError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkmigrate.migration import Migration

MEMRAY = (sys.executable, "-m", "memray")

# Starts the way a run does, with what a run has imported: its memory before the first document is a run's.
_PART = "import chunkmigrate.cli, chunkmigrate.profile_part as part; part.main()"

# A part ends by itself in seconds; one that does not hangs, in the author's code for one.
PART_SECONDS = 120.0

_RAW = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """Asks processes for parts. One that takes longer than ``seconds`` hangs, and is killed."""

    migration: Migration
    uri: str
    database: str
    writers: int
    seconds: float = PART_SECONDS

    def __call__(self, part: str, *, under: Sequence[str] = (), **more: Any) -> dict[str, Any]:
        """Return what a part answers, ``under`` memray if at all. An error there is an error here."""
        asked = {
            "part": part,
            "uri": self.uri,
            "database": self.database,
            "folder": str(self.migration.path.parent),
            "migration": self.migration.name,
            "writers": self.writers,
        }
        command = [*MEMRAY, *under, "-c", _PART] if under else [sys.executable, "-c", _PART]
        given = bson.encode(asked | more)
        try:
            ended = subprocess.run(
                command, input=given, capture_output=True, timeout=self.seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            message = f"One part of the profile took over {self.seconds:.0f} s"
            hint = "does the migration's code hang? No document was changed."
            raise UnmeasuredError(f"{message}: {hint}") from error
        return told(ended)


def told(ended: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """Return what a part answered. Raises the failure it answers with, `UnmeasuredError` where it died."""
    if ended.returncode:
        how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit {ended.returncode}"
        message = (
            f"One part of the profile ended with {how}{last_class(ended.stderr)}. No document was changed."
        )
        raise UnmeasuredError(message)
    try:
        answer: dict[str, Any] = bson.decode(ended.stdout)
    except BSONError as error:
        message = (
            "One part of the profile ended without an answer: does the migration's code end the process?"
        )
        raise UnmeasuredError(f"{message} No document was changed.") from error
    if "error" in answer:
        raise (UsageError if answer["usage"] else ChunkmigrateError)(answer["error"])
    if "sample" in answer:  # its ends are positions: decoding would lose some types
        answer["sample"] = bson.decode(ended.stdout, _RAW)["sample"]
    return answer


def last_class(said: bytes) -> str:
    """Return the class of the exception that ended a process; its text may quote a document."""
    last = said.strip().rpartition(b"\n")[2]
    found = re.match(rb"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Timeout)\b", last)
    return f" ({found[0].decode()})" if found else ""
