"""The sweep: chunks of several sizes committed to copies of a sample, one size after the other, in turn.

A machine's speed drifts by a factor within minutes, so that only what alternates can be compared. Which
documents are copied, and what is made of the pace, is others' business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from chunkmigrate.errors import ChunkTooMuchError
from chunkmigrate.frontier import Segment
from chunkmigrate.rehearsal import NoCheckpoint, Rehearsal
from chunkmigrate.scan import Scan
from chunkmigrate.sizing import Most

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.client_session import ClientSession

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.memory import Sensor
    from chunkmigrate.raw import Key
    from chunkmigrate.rehearsal import Rehearsed
    from chunkmigrate.scratch import Scratch

# One pass is two chunks of a thousand, and noise: the median of a few is not. Copying takes longer than that.
SWEEP_SECONDS = 10.0
MOST_ROUNDS = 9
# A pass whose transform is slow, or that waits for a lock, ends after so long with what it has.
PASS_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One pass over the copies: seconds in all, and seconds of commits added up, however they overlapped."""

    documents: int
    chunks: int
    seconds: float
    committing: float
    result: Rehearsed


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """One sweep of one step: the documents called ``keys`` are copied to ``place`` anew for each pass."""

    backfill: Backfill
    place: Scratch
    keys: Sequence[Key]
    sensor: Sensor
    sessions: Sequence[ClientSession | None]
    clock: Callable[[], float] = time.monotonic

    def passes(self, chunks: Sequence[int]) -> dict[int, list[Pass]]:
        """Commit the copies in chunks of so many documents, one pass of each in turn while there is time.

        Each gets one pass at the least. A size that is too much for the server is left out.
        """
        taken: dict[int, list[Pass]] = {documents: [] for documents in chunks}
        until = self.clock() + SWEEP_SECONDS
        for number in range(MOST_ROUNDS):
            for documents in tuple(taken):
                if number and self.clock() >= until:
                    return taken
                try:
                    taken[documents].append(self._pass(documents))
                except ChunkTooMuchError:
                    del taken[documents]
        return taken

    def _pass(self, documents: int) -> Pass:
        self.place.fill(self.keys)
        copied = replace(self.backfill, scan=Scan(self.place.copies, {}, self.backfill.scan.fields))
        upto, until = copied.scan.upper_bound(), self.clock() + PASS_SECONDS
        rehearsal = Rehearsal(
            copied,
            NoCheckpoint([Segment(None, upto)] if upto else [], self.place.commit),
            self.sensor,
            writers=len(self.sessions),
            client=self.place,
            sessions=self.sessions,
            most=Most(chunk_documents=documents),
            stopped=lambda: self.clock() >= until,
        )
        results = list(rehearsal)
        return Pass(
            documents=sum(one.read for one in results),
            chunks=len(results),
            seconds=rehearsal.result.seconds,
            committing=sum(one.seconds for one in results),
            result=rehearsal.result,
        )


def pace(some: Sequence[Pass], writers: int) -> float | None:
    """Return the documents a second of a long run, at the median of passes; None where none came to one."""
    return median(steady(one, writers) for one in some) or None


def steady(one: Pass, writers: int) -> float:
    """Return the documents a second that a long run would reach, from a pass over a few chunks.

    A pass begins with a chunk that is built while nothing is written, and ends with one that is written while
    nothing is built. In a long run the two go on beside each other, and the slower one sets the pace. It is
    never taken for faster than all writers and the building beside them could make the pass.
    """
    if not one.documents or not one.chunks:
        return 0.0
    building = (one.seconds - one.committing / one.chunks) / one.documents
    committing = one.committing / writers / one.documents
    least = one.seconds / (writers + 1) / one.documents
    return 1 / max(building, committing, least)
