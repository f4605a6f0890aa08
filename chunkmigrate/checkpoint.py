"""Checkpoint: the position of one step, moved by the transactions that move the data.

Each writer has a record of its own, updated in the same transaction as the chunk it commits: one record for
all would make every two commits conflict. Every update asks for the generation of its run, so a run whose
lease was taken away cannot write. What a record holds is ``records``' business; which documents lie in a
chunk, and how they are written, is not known here.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from chunkmigrate import records
from chunkmigrate.errors import ResumeError, SupersededError
from chunkmigrate.frontier import Frontier, Reach, Segment
from chunkmigrate.retry import Retry
from chunkmigrate.scan import RAW
from chunkmigrate.server import ATTEMPT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.raw import Key
    from chunkmigrate.records import Deaths, Intent, Place, Record
    from chunkmigrate.scan import Scan
    from chunkmigrate.sizing import Sizes

COLLECTION = "chunkmigrate_checkpoints"

# That no document is at work matters little, and may be the last thing said to a server that is gone.
UNMARK_SECONDS = 2.0


class AlreadyCommittedError(Exception):
    """This chunk was committed before, by a try whose answer never arrived."""


class Checkpoint:
    """The checkpoint of one step, claimed for one attempt.

    ``sizes`` and ``intent`` are stored with the next chunk; whoever runs the step keeps them up to date.
    """

    def __init__(
        self, collection: Collection[Any], key: str, generation: int, record: Record, retry: Retry
    ) -> None:
        self._retry = retry
        self._collection, self._key, self._generation = collection, key, generation
        self._marks = collection.with_options(write_concern=WriteConcern(0))
        self._mark = 0
        self._stamps = count(1)
        self._lock = threading.Lock()
        self.done, self.counts, self.sizes = record.done, record.counts, record.sizes
        self.intent: Intent | None = None
        self.left: Intent | None = record.intent
        self.deaths: Deaths | None = record.deaths
        self._frontier = Frontier(record.upto, record.reach, [*record.islands]) if record.upto else None

    @property
    def position(self) -> Key | None:
        """The ``_id`` up to which every document is done, over all attempts; None at the very start."""
        return self._frontier.reach.position if self._frontier else None

    @property
    def next_number(self) -> int:
        """The number the next chunk of this attempt must have."""
        return self._frontier.reach.number if self._frontier else 0

    def segments(self) -> Iterator[Segment]:
        """Yield what is left to read. Gaps come first; they must be written by one writer, in order."""
        if self._frontier is None or self.done:
            return
        had_islands = bool(self._frontier.islands)
        for segment in self._frontier.segments():
            if had_islands and not segment.gap:
                self._store(self._state(self._frontier.reach, []))
            yield segment

    def intend(self, intent: Intent) -> None:
        """Store what is to be done next, before the first chunk; later intents go with the chunks."""
        self.intent = intent
        self._store(self._state(self._frontier.reach if self._frontier else Reach(), []))

    def mark(self, document: Key | None, used: int = 0, among: int = 1) -> None:
        """Put on record that ``document`` is at work now, at ``used`` bytes of memory; None: no one is.

        It is the first of ``among`` documents of which one is. Not acknowledged: what is handed to the kernel
        gets there even when the process is killed the moment after. None may get lost, and raises nothing of
        the driver's.
        """
        if document is not None:
            self._retry(lambda: self._put(document, used, among, ATTEMPT_SECONDS))
            return
        with suppress(PyMongoError):
            self._put(None, used, among, UNMARK_SECONDS)

    def absolve(self) -> None:
        """Forget which document killed runs: it was survived or set aside, and that is committed."""
        self.deaths = None
        self._store({"deaths": None})

    def _put(self, document: Key | None, used: int, among: int, seconds: float) -> None:
        self._mark += 1
        ours = {"_id": mark_id(self._key), "generation": self._generation, "number": {"$lt": self._mark}}
        now = {"number": self._mark, "document": records.stored(document), "used": used, "among": among}
        with pymongo.timeout(seconds):
            self._marks.update_one(ours, {"$set": now})

    def commit(self, slot: int, chunk: Chunk, session: ClientSession | None) -> None:
        """Store ``chunk`` as done; in the transaction of ``session`` where there is one.

        Raises `AlreadyCommittedError` where an earlier try got through, `SupersededError` where the lease
        was taken away.
        """
        if self._frontier is None:
            raise ValueError(self._key)
        with self._lock:
            reach, ahead = self._frontier.preview(slot, chunk)
            state = self._state(reach, ahead)
        counts = {f"counts.{name}": number for name, number in asdict(chunk.counts).items()}
        update = {"$set": state | {"last": chunk.number}, "$inc": counts}
        self._update(slot, update, session, last={"$lt": chunk.number})

    def verify(self, slot: int, chunk: Chunk, session: ClientSession | None) -> None:
        """Raise what `commit` would, before anything is written."""
        ours = self._ours(slot) | {"last": {"$lt": chunk.number}}
        if not self._collection.find_one(ours, {"_id": 1}, session=session):
            raise self._refusal(slot, session)

    def acknowledge(self, slot: int, chunk: Chunk) -> None:
        """Move the position in memory: the server has confirmed ``chunk``."""
        if self._frontier is None:
            raise ValueError(self._key)
        with self._lock:
            self._frontier.acknowledge(slot, chunk)
            self.counts += chunk.counts

    def save(self, *, done: bool) -> None:
        """Store the learned sizes, and whether the step is complete. No chunk may be in flight."""
        reach = self._frontier.reach if self._frontier else Reach()
        self._store(self._state(reach, [*reach.ahead]) | {"done": done})
        self.done = done

    def _store(self, state: dict[str, Any]) -> None:
        """Store what is not a chunk's, again while that fails in passing: it says the same each time."""

        def store() -> None:
            with pymongo.timeout(ATTEMPT_SECONDS):
                self._update(0, {"$set": state})

        self._retry(store)

    def _state(self, reach: Reach, ahead: list[Any]) -> dict[str, Any]:
        islands = self._frontier.islands if self._frontier else []
        state = records.state(reach, ahead, islands, self.sizes, self.intent)
        return state | {"stamp": next(self._stamps)}  # sizes and intent are those of the latest record

    def _update(
        self, slot: int, update: Mapping[str, Any], session: ClientSession | None = None, **more: Any
    ) -> None:
        if not self._collection.update_one(self._ours(slot) | more, update, session=session).matched_count:
            raise self._refusal(slot, session)

    def _ours(self, slot: int) -> dict[str, Any]:
        return {"_id": f"{self._key}:{slot}:{self._generation}", "fence": self._generation}

    def _refusal(self, slot: int, session: ClientSession | None) -> Exception:
        ours = self._collection.find_one(self._ours(slot), {"_id": 1}, session=session)
        return AlreadyCommittedError() if ours else SupersededError()


def documents(database: Database[Any], place: Place) -> int:
    """Return how many documents of a step are done, all of its partitions together. Reads only."""
    ours = {"migration": place.migration, "step": place.step}
    with pymongo.timeout(ATTEMPT_SECONDS):
        return sum(slot["counts"]["read"] for slot in database[COLLECTION].find(ours, {"counts.read": 1}))


def used(database: Database[Any], migration: str) -> int:
    """Return the bytes in use when a run last said what it would do; 0 where it never did. Reads only."""
    latest = {"$match": {"migration": migration, "intent": {"$ne": None}}}
    with pymongo.timeout(ATTEMPT_SECONDS):
        found = database[COLLECTION].aggregate([latest, {"$sort": {"step": -1, "stamp": -1}}, {"$limit": 1}])
        return max((int(slot["intent"]["used"]) for slot in found), default=0)


def intended(database: Database[Any], ours: Mapping[str, Any], generation: int) -> Intent | None:
    """Return what the run of a lease's ``generation`` is to do next; None where it never said. Reads only.

    ``ours`` is what the records of that lease match.
    """
    of_lease = {**ours, "generation": {"$gte": generation}}
    with pymongo.timeout(ATTEMPT_SECONDS):
        slots = [*database[COLLECTION].with_options(RAW).find(of_lease).sort("step", -1)]
    last = [slot for slot in slots if slot["step"] == slots[0]["step"]]
    # A claim takes over what the run before intended; what is stored with a stamp is a run's own.
    if not any(slot["stamp"] for slot in last):
        return None
    record = records.read(last)
    return None if record.done else record.intent


def claim(
    database: Database[Any],
    place: Place,
    scan: Scan,
    *,
    slots: int,
    advance: Callable[[ClientSession | None], int],
    session: ClientSession | None,
    died: bool = False,
    sizes: Sizes | None = None,
    retry: Retry | None = None,
) -> Checkpoint:
    """Take over a step or a partition: read what is left of it, and store that under a new generation.

    ``advance`` raises the lease's generation. ``died``: the attempt before ended without a word. ``sizes``
    are those to start with instead of the ones on record.
    """
    collection, key = database[COLLECTION], place.key
    generation = advance(session)
    record = left(collection, place, scan, died=died, session=session)
    record = replace(record, sizes=sizes or record.sizes)
    identity = {**place.document(), "namespace": scan.namespace}
    # New records first, the one that carries everything before the others: without transactions a death in
    # between leaves two generations, of which the higher is whole.
    fresh = [records.slot_document(slot, generation, record) for slot in range(slots)]
    ids = ({"_id": f"{key}:{slot}:{generation}"} for slot in range(slots))
    collection.insert_many(
        [id_ | identity | slot for id_, slot in zip(ids, fresh, strict=True)], ordered=True, session=session
    )
    collection.delete_many({**place.matching(), "generation": {"$lt": generation}}, session=session)
    unmarked = {"generation": generation, "number": 0, "document": None, "used": 0, "among": 1}
    collection.replace_one({"_id": mark_id(key)}, unmarked, upsert=True, session=session)
    return Checkpoint(collection, key, generation, record, retry or Retry())


def left(
    collection: Collection[Any],
    place: Place,
    scan: Scan,
    *,
    died: bool = False,
    session: ClientSession | None = None,
) -> Record:
    """Return what earlier attempts left, or what a first one starts with. Reads only.

    Raises `ResumeError` where they read another collection.
    """
    stored = collection.with_options(RAW)
    slots = [*stored.find(place.matching(), session=session)]
    record = records.read(slots) if slots else records.fresh(scan)
    if record.namespace != scan.namespace:
        message = (
            f"Step {place.step + 1} of {place.migration} stands at a checkpoint in {record.namespace}, but "
            f"now reads {scan.namespace}. Restore what it read, or give the new migration a new name."
        )
        raise ResumeError(message)
    if not (slots and died) or record.done:
        return record
    mark = stored.find_one({"_id": mark_id(place.key)}, session=session)
    return records.after_death(record, mark)


def mark_id(key: str) -> str:
    """Return where the mark of a `Place` is, whose ``key`` is this one."""
    return f"{key}:at work"
