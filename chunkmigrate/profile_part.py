"""A part of a profile, measured in a process of its own: memory that was used once may never come back.

``python -c "import chunkmigrate.cli; ..."`` reads what to measure as BSON from its standard input and answers
the same way. The process has imported what a run has, so that it starts with a run's memory. Which parts make
a profile is ``profiler``'s business.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from chunkmigrate import records, server, sessions
from chunkmigrate.errors import ChunkmigrateError, UsageError, WouldWriteError
from chunkmigrate.frontier import Segment
from chunkmigrate.lines import profiled
from chunkmigrate.memory import Sensor, return_large_buffers
from chunkmigrate.migration import discover, find
from chunkmigrate.pages import PageReader
from chunkmigrate.readonly import ReadOnly, Refused
from chunkmigrate.rehearsal import NoCheckpoint, Rehearsal
from chunkmigrate.sampling import representative, sample
from chunkmigrate.scan import Scan
from chunkmigrate.scratch import scratch
from chunkmigrate.sizing import LEAST_ROOM, MIB, MIN_PAGE_BYTES, Most
from chunkmigrate.stages import Stages, summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.pipeline import ChunkResult
    from chunkmigrate.raw import Key
    from chunkmigrate.rehearsal import Rehearsed
    from chunkmigrate.sampling import Weighed

# A rehearsal that writes is repeated until it has lasted so long: two chunks alone are noise.
WRITING_SECONDS = 1.0
MOST_PASSES = 20
# To copy takes longer than to write, where documents are large.
COPYING_SECONDS = 4.0

# To copy takes the server as long as to write, and disk.
SCRATCH_BYTES = 64 * MIB

_RAW = CodecOptions(document_class=RawBSONDocument)


def main() -> None:
    """Answer what is asked on the standard input."""
    asked = bson.decode(sys.stdin.buffer.read(), _RAW)
    answer = _own_output()
    with answer:
        answer.write(bson.encode(_answered(asked)))


def _own_output() -> BinaryIO:
    """Return the standard output, which from now on is the standard error: an author's code may print."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _answered(asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _PARTS[asked["part"]](asked)
    except Refused as error:
        return {"error": str(WouldWriteError(asked["migration"], error.command)), "usage": True}
    except ChunkmigrateError as error:
        return {"error": str(error), "usage": isinstance(error, UsageError)}


def _counted(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many steps there are, and what a run starts with."""
    with ExitStack() as stack:
        steps = _steps(stack, asked)
        return {"steps": len(steps), "rss": Sensor().rss_start}


def _measured(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample, what it says of the documents, and the author's functions line by line."""
    with ExitStack() as stack:
        backfill = _steps(stack, asked)[asked["step"]]
        chosen, stages = sample(backfill.scan, asked["size"]), Stages()
        spread = chosen.long + chosen.short
        stages.measure(backfill, spread)
        tables = profiled(backfill, _documents(backfill, spread)) if spread else ()
        census = chosen.census
        return {
            "namespace": backfill.scan.namespace,
            "stretches": [*map(_stored, chosen.all)],
            "spread": len(spread),
            "documents": census.documents if census else backfill.scan.count(),
            "size": census.size if census else None,
            "sampled": stages.documents,
            "whole": chosen.whole,
            "sizes": stages.sizes(),
            "expansion": stages.expansion(),
            "writes": len(stages.statements),
            "write_bytes": summary(stages.statements),
            "seconds_per_document": stages.seconds(),
            "failures": stages.failures,
            "functions": [asdict(table) for table in tables],
        }


def _rehearsed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a rehearsal takes inside a budget; with writes to a scratch collection, where so asked."""
    return_large_buffers()
    with ExitStack() as stack:
        backfill = _steps(stack, asked)[asked["step"]]
        sensor = Sensor(memory=asked["budget"])
        if sensor.budget.size < sensor.rss_start + LEAST_ROOM:
            return {"needs": sensor.rss_start + LEAST_ROOM}
        how = {"writers": asked["writers"], "most": Most(chunk_documents=asked["chunk_documents"])}
        if asked["writes"]:
            return _written(stack, asked, backfill, sensor, how)
        stretches = [*map(_segment, asked["stretches"])]
        rehearsal = Rehearsal(backfill, NoCheckpoint(stretches), sensor, **how)
        results = list(rehearsal)
        return _point(rehearsal.result, rehearsal.result.seconds, results)


def _written(
    stack: ExitStack, asked: Mapping[str, Any], backfill: Backfill, sensor: Sensor, how: Mapping[str, Any]
) -> dict[str, Any]:
    """Rehearse on copies of the sample, which lie together and are written; again until it lasted a while."""
    client = stack.enter_context(server.connect(asked["uri"]))
    writing = backfill.scan.on(server.database(client, asked["database"]))
    opened = stack.enter_context(sessions.opened(client, asked["writers"]))
    place, keys = stack.enter_context(scratch(writing)), _copied(backfill, asked)
    seconds, results = 0.0, list[Any]()
    passes, began = 0, time.monotonic()
    while seconds < WRITING_SECONDS and passes < MOST_PASSES and time.monotonic() - began < COPYING_SECONDS:
        place.fill(keys)
        copied = replace(backfill, scan=Scan(place.copies, {}, backfill.scan.fields))
        stretch = Segment(None, copied.scan.upper_bound() or keys[-1])
        checkpoint = NoCheckpoint([stretch], place.commit)
        rehearsal = Rehearsal(copied, checkpoint, sensor, client=place, sessions=opened[1:], **how)
        results += rehearsal
        seconds += rehearsal.result.seconds
        passes += 1
        if rehearsal.result.stopped_by:
            break
    return _point(rehearsal.result, seconds, results, passes)


def _copied(backfill: Backfill, asked: Mapping[str, Any]) -> list[Key]:
    """Choose which documents are copied: such that they are like all, and not too many bytes."""
    stretches, spread = [*map(_segment, asked["stretches"])], asked["spread"]
    weighed = [[*_weighed(backfill.scan, stretch)] for stretch in stretches]
    near, large = [*chain(*weighed[:spread])], [*chain(*weighed[spread:])]
    keys = representative(near, large, asked["mean"]) if asked["mean"] else [key for key, _ in near]
    most = max(1, SCRATCH_BYTES // max(1, backfill.scan.average_size()))
    return keys[:: max(1, -(-len(keys) // most))]


def _point(
    result: Rehearsed, seconds: float, results: Sequence[ChunkResult], passes: int = 1
) -> dict[str, Any]:
    return {
        "start": result.start,
        "peak": result.peak,
        "stopped_by": result.stopped_by,
        "needs": result.needs,
        "chunk_bytes": result.sizes.chunk_bytes,
        "page_bytes": result.sizes.page_bytes,
        "seconds": seconds,
        "passes": passes,
        "documents": sum(one.read for one in results),
        "chunks": len(results),
        "committing": sum(one.seconds for one in results),
    }


def _steps(stack: ExitStack, asked: Mapping[str, Any]) -> list[Backfill]:
    migration = find(discover(Path(asked["folder"])), asked["migration"])
    client = stack.enter_context(server.connect(asked["uri"], listeners=[ReadOnly()]))
    return migration.steps(server.database(client, asked["database"]))


def _documents(backfill: Backfill, stretches: Sequence[Segment]) -> Iterator[Any]:
    options = backfill.scan.collection.codec_options
    for stretch in stretches:
        reader, after = PageReader(backfill.scan, stretch.upto), stretch.after
        while page := reader.read(after, 1, measured=True):
            after = page.through
            yield page.alone(0, options)


def _weighed(scan: Scan, stretch: Segment) -> Iterator[Weighed]:
    reader, after = PageReader(scan, stretch.upto), stretch.after
    while page := reader.read(after, MIN_PAGE_BYTES, measured=True):
        yield from ((page.key(index), len(page.document(index))) for index in range(len(page)))
        after = page.through


def _stored(stretch: Segment) -> dict[str, Any]:
    return {"after": records.stored(stretch.after), "upto": records.stored(stretch.upto)}


def _segment(stored: Mapping[str, Any]) -> Segment:
    upto = records.key(stored["upto"])
    if upto is None:
        raise ValueError(stored)
    return Segment(records.key(stored["after"]), upto)


_PARTS = {"counted": _counted, "measured": _measured, "rehearsed": _rehearsed}
