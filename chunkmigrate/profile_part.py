"""A part of a profile, measured in a process of its own: memory that was used once may never come back.

Reads what to measure as BSON from its standard input, and answers the same way. The process has imported what
a run has, so that it starts with a run's memory, and every client made in it only reads, but for the one that
writes copies. Which parts make a profile is ``profiler``'s business.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import monitoring
from pymongo.errors import PyMongoError

from chunkmigrate import records, server, sessions
from chunkmigrate.errors import AccessDeniedError, ChunkmigrateError, UsageError, WouldWriteError
from chunkmigrate.frontier import Segment
from chunkmigrate.lines import LINE_SECONDS, profiled
from chunkmigrate.memory import Sensor, return_large_buffers
from chunkmigrate.migration import discover, find
from chunkmigrate.pages import PageReader
from chunkmigrate.raw import key_of
from chunkmigrate.readonly import ReadOnly, Refused
from chunkmigrate.rehearsal import NoCheckpoint, Rehearsal
from chunkmigrate.retry import Retry
from chunkmigrate.sampling import representative, sample
from chunkmigrate.scratch import PREFIX, drop, scratch
from chunkmigrate.sizing import LEAST_ROOM, MIB, MIN_PAGE_BYTES, Most
from chunkmigrate.stages import Stages, summary
from chunkmigrate.sweep import Sweep, pace
from chunkmigrate.weighing import HELD_SECONDS, held, in_turn
from chunkmigrate.windows import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key
    from chunkmigrate.rehearsal import Rehearsed
    from chunkmigrate.sampling import Weighed
    from chunkmigrate.scan import Scan

# A rehearsal of 2,000 documents takes a tenth of a second; where the transform is slow it ends with fewer.
REHEARSAL_SECONDS = 4.0

# To copy takes the server as long as to write, and disk.
SCRATCH_BYTES = 64 * MIB

_RAW = CodecOptions(document_class=RawBSONDocument)


def main() -> None:
    """Answer what is asked on the standard input."""
    asked = bson.decode(sys.stdin.buffer.read(), _RAW)
    with _own_output() as answer:
        answer.write(bson.encode(_answered(asked)))


def _own_output() -> BinaryIO:
    """Return the standard output, which from now on is the standard error: an author's code may print."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _answered(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer, or the sentence that says why there is none."""
    try:
        with ExitStack() as stack:
            return _WRITING[asked["part"]](stack, asked) if asked["part"] in _WRITING else _read(stack, asked)
    except Refused as error:
        return _failed(WouldWriteError(asked["migration"], error.command))
    except ChunkmigrateError as error:
        return _failed(error)
    except PyMongoError as error:
        return _failed(_explained(error, asked))


def _failed(error: ChunkmigrateError) -> dict[str, Any]:
    return {"error": str(error), "usage": isinstance(error, UsageError)}


def _explained(error: PyMongoError, asked: Mapping[str, Any]) -> ChunkmigrateError:
    meant = server.explained(error, asked["uri"])
    if asked["part"] in _WRITING and isinstance(meant, AccessDeniedError):
        why = f"--sweep writes copies to collections named {PREFIX}*; without it a profile only reads."
        return AccessDeniedError(f"{meant} {why}")
    return meant


def _read(stack: ExitStack, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of a part that only reads: the steps share the seconds one of them would take."""
    steps = _steps(stack, asked)
    share = 1 / max(1, len(_reading(steps)))
    return _READING[asked["part"]](steps, {**asked, "share": share})


def _counted(steps: Sequence[Backfill], _asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many steps there are, which of them read documents, and what a run starts with."""
    return {"steps": len(steps), "reading": _reading(steps), "rss": Sensor(grouped=False).rss_start}


def _reading(steps: Sequence[Backfill]) -> list[int]:
    return [number for number, backfill in enumerate(steps) if backfill.server is None]


def _measured(steps: Sequence[Backfill], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample, what it says of the documents, and the author's functions line by line."""
    return_large_buffers()
    backfill, share = steps[asked["step"]], asked["share"]
    chosen, stages = sample(backfill.scan, asked["size"], share=share), Stages(share=share)
    census = chosen.census
    stages.measure(backfill, chosen.long + chosen.short)
    ahead, seconds = held(backfill.scan, stages.pieces, seconds=share * HELD_SECONDS), share * LINE_SECONDS
    tables = profiled(backfill, _documents(backfill, ahead, seconds), seconds=seconds) if ahead else ()
    stretches = {"long": chosen.long, "large": chosen.large, "short": chosen.short}
    return {
        "sample": {kind: [*map(_stored, some)] for kind, some in stretches.items()},
        "namespace": backfill.scan.namespace,
        "documents": census.documents if census else backfill.scan.count(),
        "size": census.size if census else None,
        "sampled": stages.documents,
        "whole": chosen.whole,
        "sizes": stages.sizes(_largest(backfill.scan, census.keys if census else ())),
        "expansion": stages.expansion(),
        "writes": len(stages.statements),
        "write_bytes": summary(stages.statements),
        "seconds_per_document": stages.seconds(),
        "failures": stages.failures,
        "functions": [asdict(table) for table in tables],
    }


def _rehearsed(steps: Sequence[Backfill], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a rehearsal takes inside a budget, and its pace, with writes that go nowhere."""
    return_large_buffers()
    sensor = Sensor(memory=asked["budget"], grouped=False)
    if sensor.budget.size < sensor.rss_start + LEAST_ROOM:
        return {"needs": sensor.rss_start + LEAST_ROOM}
    stretches = [*chain(*map(_segments, asked["sample"].values()))]
    rehearsal = Rehearsal(
        steps[asked["step"]],
        NoCheckpoint(stretches),
        sensor,
        writers=asked["writers"],
        most=Most(chunk_documents=asked["chunk_documents"]),
        stopped=_after(asked["share"] * REHEARSAL_SECONDS),
    )
    for _ in rehearsal:
        pass
    result = rehearsal.result
    return {"pace": result.counts.read / result.seconds or None, **_point(result)}


def _swept(stack: ExitStack, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what chunks of several sizes take, committed to copies of the sample."""
    database = _writing(stack, asked)
    backfill = _steps(stack, asked)[asked["step"]]
    return_large_buffers()
    opened = stack.enter_context(sessions.opened(database.client, asked["writers"]))
    sweep = Sweep(
        backfill=backfill,
        place=stack.enter_context(scratch(backfill.scan.on(database), asked["scratch"])),
        keys=_copied(backfill, asked),
        sensor=Sensor(memory=asked["budget"], grouped=False),
        sessions=opened[1:],
    )
    return {
        "points": [
            {"chunk_documents": documents, "pace": pace(some, asked["writers"]), **_point(some[-1].result)}
            for documents, some in sweep.passes(asked["chunks"]).items()
        ]
    }


def _cleared(stack: ExitStack, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what a part that was killed has left behind."""
    drop(_writing(stack, asked), asked["scratch"])
    return {}


def _writing(stack: ExitStack, asked: Mapping[str, Any]) -> Database[Any]:
    """Return the database through a client that may write: to be asked for before any other."""
    return server.database(stack.enter_context(server.connect(asked["uri"])), asked["database"])


def _steps(stack: ExitStack, asked: Mapping[str, Any]) -> list[Backfill]:
    # Whatever client is made from here on, by the author's own code, too, has this listener.
    monitoring.register(ReadOnly())
    migration = find(discover(Path(asked["folder"])), asked["migration"])
    client = stack.enter_context(server.connect(asked["uri"]))
    return migration.steps(server.database(client, asked["database"]))


def _copied(backfill: Backfill, asked: Mapping[str, Any]) -> list[Key]:
    """Choose which documents are copied: such that they are like all, and not too many bytes."""
    weighed = {
        kind: [*chain(*(_weighed(backfill.scan, one) for one in _segments(some)))]
        for kind, some in asked["sample"].items()
    }
    near = weighed["long"] + weighed["short"]
    keys = [key for key, _ in near]
    if asked["mean"]:
        keys = representative(near, weighed["large"], asked["mean"])
    most = max(1, SCRATCH_BYTES // max(1, backfill.scan.average_size()))
    return keys[:: max(1, -(-len(keys) // most))]


def _point(result: Rehearsed) -> dict[str, Any]:
    return {
        "start": result.start,
        "peak": result.peak,
        "stopped_by": result.stopped_by,
        "needs": result.needs,
        "chunk_bytes": result.sizes.chunk_bytes,
        "page_bytes": result.sizes.page_bytes,
        "documents": result.counts.read,
    }


def _largest(scan: Scan, keys: Sequence[Key]) -> int:
    """Return the bytes of the largest of these documents, as it is read."""
    with pymongo.timeout(READ_SECONDS):
        return max(
            (len(document) for key in keys for document in Retry()(partial(scan.last, key))), default=0
        )


def _documents(backfill: Backfill, pieces: Sequence[Sequence[bytes]], seconds: float) -> Iterator[Any]:
    """Yield documents that are BSON: each piece has its part of the time there is for lines."""
    options = backfill.scan.collection.codec_options
    for place, until in in_turn([*map(len, pieces)], seconds, time.monotonic):
        for document in pieces[place]:
            if time.monotonic() >= until:
                break
            try:
                decoded = bson.decode(document, options)
            except bson.errors.BSONError:
                continue
            yield decoded


def _weighed(scan: Scan, stretch: Segment) -> Iterator[Weighed]:
    for page in _pages(scan, stretch):
        yield from ((key_of(document), len(document)) for document in page)


def _pages(scan: Scan, stretch: Segment) -> Iterator[Page]:
    yield from PageReader(scan, stretch.upto).pages(stretch.after, MIN_PAGE_BYTES, measured=True)


def _after(seconds: float) -> Any:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _stored(stretch: Segment) -> dict[str, Any]:
    return {"after": records.stored(stretch.after), "upto": records.stored(stretch.upto)}


def _segments(stored: Sequence[Mapping[str, Any]]) -> Iterator[Segment]:
    for stretch in stored:
        yield Segment(records.key(stretch["after"]), key_of(stretch["upto"].raw))


_READING = {"counted": _counted, "measured": _measured, "rehearsed": _rehearsed}
_WRITING = {"swept": _swept, "cleared": _cleared}
