"""Partitions: the ranges of ``_id`` that a step is divided into, for several processes to work on.

They are made once, by whoever has the lease of the migration, and are then records like those of a step that
was never begun: what a process does to one is ``checkpoint``'s and ``step``'s business, and who takes which,
``sharing``'s. What an undivided attempt has done is kept: it becomes the first of them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import checkpoint, records
from chunkmigrate.frontier import Reach
from chunkmigrate.raw import key_of
from chunkmigrate.records import Place, Record
from chunkmigrate.scan import RAW, compared
from chunkmigrate.server import ATTEMPT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

# Enough for fifty pods to end at about the same time; one that is done costs 10 to 20 ms for its lease and
# its records. Half a chunk of documents is the least that is worth that.
MOST = 64
LEAST_DOCUMENTS = 500

# So many documents tell where a range ends, for each of them: one then holds a sixth more or less.
SAMPLES = 40
# What is looked at for that, at most: seconds of the server's time.
MOST_SAMPLED_BYTES = 1 << 30
# What a document costs whatever its size, in bytes that take as long to read.
EACH = 256


def standing(database: Database[Any], place: Place) -> dict[int, bool]:
    """Return whether each partition of the step is done, by number; empty where it is not divided."""
    fields = ("partition", "generation", "slot", "done")
    with pymongo.timeout(ATTEMPT_SECONDS):
        # The last generation's first slot is the one that knows.
        slots = [
            *database[checkpoint.COLLECTION]
            .find(place.divided(), fields)
            .sort([("generation", 1), ("slot", -1)])
        ]
    done = {slot["partition"]: slot["done"] for slot in slots}
    # The first is stored last: without transactions a death may leave some of them, which were never begun.
    return dict(sorted(done.items())) if 1 in done else {}


def ends(scan: Scan, after: Key | None, upto: Key, *, least: int = LEAST_DOCUMENTS) -> list[Key]:
    """Return the last ``_id`` of each range that the documents behind ``after`` are divided into.

    The ranges hold about as many bytes each, by a sample, and ``least`` documents; the last ends at ``upto``.
    """
    with pymongo.timeout(ATTEMPT_SECONDS):
        documents = scan.collection.estimated_document_count()
        size = sample_size(documents, scan.average_size())
        sampled = _sample(scan, after, upto, size)
    left = documents * len(sampled) // max(1, min(size, documents))
    count = max(1, min(MOST, left // least, len(sampled)))
    return [*_cut(sampled, count, upto), upto]


def sample_size(documents: int, average: int) -> int:
    """Return how many of so many documents are looked at, of which one takes ``average`` bytes.

    The server reads all of them, and sorts as many as it is to find, where a twentieth or more is asked for.
    """
    size = max(1, min(MOST * SAMPLES, MOST_SAMPLED_BYTES // max(1, average)))
    everything = documents <= 20 * size
    return max(1, documents // 21) if everything and documents * average > MOST_SAMPLED_BYTES else size


def _sample(scan: Scan, after: Key | None, upto: Key, size: int) -> list[tuple[Key, int]]:
    """Return a sample of the range in order, with the weight of each; ``size`` are taken of all documents."""
    weighed = {"size": {"$bsonSize": scan.measured}}
    inside = {"$and": [compared("$lt", upto), *([compared("$gt", after)] if after else [])]}
    stages: list[dict[str, Any]] = [{"$sample": {"size": size}}, {"$project": weighed}]
    stages += [{"$match": inside}, {"$sort": {"_id": 1}}]
    # An _id may be a document of its own, of any size.
    found = scan.collection.with_options(RAW).aggregate(stages, batchSize=SAMPLES, allowDiskUse=True)
    return [(key_of(one.raw), int(one["size"]) + EACH) for one in found]


def _cut(sampled: Sequence[tuple[Key, int]], count: int, upto: Key) -> Iterator[Key]:
    """Yield where all ranges but the last end."""
    total, last, ended = sum(weight for _, weight in sampled), upto, 0
    for (key, _), reached in zip(sampled, accumulate(weight for _, weight in sampled), strict=True):
        full = min(count - 1, reached * count // total)
        if full > ended and key != last:
            yield key
            last = key
        ended = full


def divide(
    database: Database[Any],
    place: Place,
    record: Record,
    ends_: Sequence[Key],
    *,
    advance: Callable[[ClientSession | None], int],
    session: ClientSession | None,
) -> None:
    """Store what is left of a step as partitions, in the transaction of ``session`` if there is one.

    ``record`` is what an undivided attempt has left, ``ends_`` where the ranges behind that end; ``advance``
    raises the generation of the migration's lease.
    """
    generation = advance(session)
    collection = database[checkpoint.COLLECTION]
    collection.delete_many(place.divided(), session=session)
    parts = [replace(part, divided=generation) for part in _parts(record, ends_)]
    collection.insert_many([*_documents(place, parts)], ordered=True, session=session)
    undivided = checkpoint.mark_id(place.key)
    mark = collection.find_one({"_id": undivided}, session=session)
    if mark and attempted(record) is not None:
        first = checkpoint.mark_id(replace(place, partition=1).key)
        collection.replace_one({"_id": first}, mark | {"_id": first}, upsert=True, session=session)
    collection.delete_many(place.matching(), session=session)
    collection.delete_one({"_id": undivided}, session=session)


def attempted(record: Record) -> Key | None:
    """Return the ``_id`` up to which an undivided attempt is kept together: its last range that is done."""
    return record.islands[-1].through if record.islands else record.reach.position


def _parts(record: Record, ends_: Sequence[Key]) -> Iterator[Record]:
    after = attempted(record)
    if after is not None:
        yield replace(record, upto=after, done=not record.islands)
    for end in ends_:
        yield Record(namespace=record.namespace, upto=end, reach=Reach(after))
        after = end


def _documents(place: Place, parts: Sequence[Record]) -> Iterator[dict[str, Any]]:
    for number, part in reversed([*enumerate(parts, 1)]):
        one = replace(place, partition=number)
        identity = {"_id": f"{one.key}:0:0", "namespace": part.namespace}
        yield identity | one.document() | records.slot_document(0, 0, part)
