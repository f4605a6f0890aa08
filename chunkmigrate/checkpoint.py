"""Checkpoint: the position and learned sizes of one step, stored in the migrated database.

Each writer has a record of its own (a slot), updated in the same transaction as the chunk it commits:
one record for all would make every two commits conflict. Reading the slots together gives the position.
Every update asks for the generation of its run, so a run that was taken over cannot write. Which
documents lie in a chunk, and how they are written, is not known here.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate import raw
from chunkmigrate.errors import ResumeError, SupersededError
from chunkmigrate.frontier import Frontier, Range, Reach, Segment, merged
from chunkmigrate.scan import RAW
from chunkmigrate.sizing import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bson.raw_bson import RawBSONDocument
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

COLLECTION = "chunkmigrate_checkpoints"


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Documents read, documents with a write, and writes, over all attempts."""

    read: int = 0
    written: int = 0
    writes: int = 0

    @property
    def skipped(self) -> int:
        """Documents that needed no write."""
        return self.read - self.written

    def __add__(self, other: Counts) -> Counts:
        """Add field by field."""
        return Counts(
            read=self.read + other.read,
            written=self.written + other.written,
            writes=self.writes + other.writes,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What the slots of one step say together."""

    generation: int
    namespace: str
    done: bool
    upto: Key | None
    reach: Reach
    islands: tuple[Range, ...]
    counts: Counts
    sizes: Sizes | None


class Checkpoint:
    """The checkpoint of one step, claimed for one run."""

    def __init__(self, collection: Collection[Any], key: str, record: Record) -> None:
        self._collection, self._key = collection, key
        self._generation = record.generation
        self._lock = threading.Lock()
        self.done, self.counts, self.sizes = record.done, record.counts, record.sizes
        self._frontier = Frontier(record.upto, record.reach, [*record.islands]) if record.upto else None

    @property
    def position(self) -> Key | None:
        """The ``_id`` up to which every document is done, over all attempts; None at the very start."""
        return self._frontier.reach.position if self._frontier else None

    @property
    def next_number(self) -> int:
        """The number the next chunk of this run must have."""
        return self._frontier.reach.number if self._frontier else 0

    def segments(self) -> Iterator[Segment]:
        """Yield what is left to read. Gaps come first; they must be written by one writer, in order."""
        if self._frontier is None or self.done:
            return
        had_islands = bool(self._frontier.islands)
        for segment in self._frontier.segments():
            if had_islands and not segment.gap:
                self._update(0, {"$set": self._state(self._frontier.reach, [])})
            yield segment

    def commit(self, slot: int, chunk: Chunk, session: ClientSession | None) -> None:
        """Store ``chunk`` as done; in the transaction of ``session`` where there is one."""
        if self._frontier is None:
            raise ValueError(self._key)
        with self._lock:
            reach, ahead = self._frontier.preview(slot, chunk)
            state = self._state(reach, ahead)
        counts = {"counts.read": chunk.read, "counts.written": chunk.written, "counts.writes": chunk.writes}
        self._update(slot, {"$set": state, "$inc": counts}, session)

    def acknowledge(self, slot: int, chunk: Chunk) -> None:
        """Move the position in memory: the server has confirmed ``chunk``."""
        if self._frontier is None:
            raise ValueError(self._key)
        with self._lock:
            self._frontier.acknowledge(slot, chunk)
            self.counts += Counts(read=chunk.read, written=chunk.written, writes=chunk.writes)

    def save(self, sizes: Sizes, *, done: bool) -> None:
        """Store the learned sizes, and whether the step is complete. No chunk may be in flight."""
        reach = self._frontier.reach if self._frontier else Reach()
        state = self._state(reach, [*reach.ahead])
        self._update(0, {"$set": state | {"sizes": asdict(sizes), "done": done}})
        self.done = done

    def _state(self, reach: Reach, ahead: list[Range]) -> dict[str, Any]:
        state = {"number": reach.number, "position": _stored(reach.position), "ahead": [*map(_range, ahead)]}
        islands = self._frontier.islands if self._frontier else []
        return state | {"islands": [*map(_range, islands)], "at": datetime.now(UTC)}

    def _update(self, slot: int, update: Mapping[str, Any], session: ClientSession | None = None) -> None:
        ours = {"_id": f"{self._key}:{slot}:{self._generation}"}
        if not self._collection.update_one(ours, update, session=session).matched_count:
            raise SupersededError


def claim(
    database: Database[Any],
    migration: str,
    step: int,
    scan: Scan,
    *,
    slots: int,
    session: ClientSession | None,
) -> Checkpoint:
    """Take over a step: read what every earlier attempt left, and store it under a new generation."""
    collection, key = database[COLLECTION], f"{migration}:{step}"
    left = [*collection.with_options(RAW).find({"migration": migration, "step": step}, session=session)]
    record = _record(left) if left else _fresh(scan)
    if record.namespace != scan.namespace:
        message = (
            f"Step {step + 1} of {migration} stands at a checkpoint in {record.namespace}, but now reads "
            f"{scan.namespace}. Restore what it read, or give the new migration a new name."
        )
        raise ResumeError(message)
    identity = {"migration": migration, "step": step, "namespace": scan.namespace}
    # New records first, the one that carries everything before the others: without transactions a death in
    # between leaves two generations, of which the higher is whole.
    collection.insert_many(
        [identity | _slot(key, slot, record) for slot in range(slots)], ordered=True, session=session
    )
    former = {"migration": migration, "step": step, "generation": {"$lt": record.generation}}
    collection.delete_many(former, session=session)
    return Checkpoint(collection, key, record)


def _fresh(scan: Scan) -> Record:
    return Record(
        generation=1,
        namespace=scan.namespace,
        done=False,
        upto=scan.upper_bound(),
        reach=Reach(),
        islands=(),
        counts=Counts(),
        sizes=None,
    )


def _record(left: list[RawBSONDocument]) -> Record:
    """Add the slots up. Chunks are counted from 0 again: ranges ahead of a hole become islands."""
    generation = max(slot["generation"] for slot in left)
    slots = sorted((s for s in left if s["generation"] == generation), key=lambda slot: slot["slot"])
    first, reach = slots[0], merged([_reach(slot) for slot in slots])
    sizes = first.get("sizes")
    return Record(
        generation=generation + 1,
        namespace=first["namespace"],
        done=bool(first.get("done")),
        upto=_key(first["upto"]),
        reach=Reach(reach.position),
        islands=(*_ranges(first["islands"]), *reach.ahead),
        counts=sum((_counts(slot["counts"]) for slot in slots), Counts()),
        sizes=Sizes(chunk_bytes=sizes["chunk_bytes"], page_bytes=sizes["page_bytes"]) if sizes else None,
    )


def _slot(key: str, slot: int, record: Record) -> dict[str, Any]:
    counts = record.counts if slot == 0 else Counts()
    sizes = record.sizes
    return {
        "_id": f"{key}:{slot}:{record.generation}",
        "slot": slot,
        "generation": record.generation,
        "done": record.done,
        "upto": _stored(record.upto),
        "number": 0,
        "position": _stored(record.reach.position),
        "ahead": [],
        "islands": [*map(_range, record.islands)],
        "counts": asdict(counts),
        "sizes": asdict(sizes) if sizes else None,
    }


def _stored(key: Key | None) -> RawBSONDocument | None:
    return None if key is None else key.document()


def _key(stored: RawBSONDocument | None) -> Key | None:
    return None if stored is None else raw.key_of(stored.raw)


def _range(done: Range) -> dict[str, Any]:
    return {"number": done.number, "after": _stored(done.after), "through": done.through.document()}


def _ranges(stored: list[RawBSONDocument]) -> tuple[Range, ...]:
    return tuple(
        Range(done["number"], _key(done["after"]), raw.key_of(done["through"].raw)) for done in stored
    )


def _reach(slot: RawBSONDocument) -> Reach:
    return Reach(_key(slot["position"]), slot["number"], _ranges(slot["ahead"]))


def _counts(stored: RawBSONDocument) -> Counts:
    return Counts(read=stored["read"], written=stored["written"], writes=stored["writes"])
