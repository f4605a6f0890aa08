"""Records: what a step leaves in the database, and how it is spelled there.

One document for each writer (a slot); together they say how far a step is, how large its chunks were, what
was being worked on, and which document killed a run. When to write them is ``checkpoint``'s business.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from operator import add, sub
from typing import TYPE_CHECKING, Any

from chunkmigrate import raw, sizing
from chunkmigrate.frontier import Range, Reach, merged
from chunkmigrate.sizing import Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bson.raw_bson import RawBSONDocument

    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

# What the records of a step have that is not divided, those of earlier versions included.
_UNDIVIDED: Mapping[str, Any] = {"$not": {"$gt": 0}}

# One death may be chance, two a coincidence: a document is given up when it was at work in three.
DEATHS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where records belong: to a step of a migration, or to one of its partitions, which count from 1.

    A step that is not divided is partition 0.
    """

    migration: str
    step: int
    partition: int = 0

    @property
    def key(self) -> str:
        """What the names of its records begin with."""
        return f"{self.migration}:{self.step}" + (f"/{self.partition}" if self.partition else "")

    def matching(self) -> dict[str, Any]:
        """Return what its records match, and no others."""
        return {"migration": self.migration, "step": self.step, "partition": self.partition or _UNDIVIDED}

    def divided(self) -> dict[str, Any]:
        """Return what the records of all partitions of its step match."""
        return {"migration": self.migration, "step": self.step, "partition": {"$gt": 0}}

    def document(self) -> dict[str, Any]:
        """Return what is stored with each of its records."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Documents and writes, over all attempts.

    ``read`` counts the documents that are done, ``written`` those with a write, ``quarantined`` those that
    were set aside; ``changed`` is how often a document was read again because somebody had edited it.
    """

    read: int = 0
    written: int = 0
    writes: int = 0
    quarantined: int = 0
    changed: int = 0

    @property
    def skipped(self) -> int:
        """Documents that needed no write."""
        return self.read - self.written - self.quarantined

    def __add__(self, other: Counts) -> Counts:
        """Add field by field."""
        return self._with(other, add)

    def __sub__(self, other: Counts) -> Counts:
        """Subtract field by field."""
        return self._with(other, sub)

    def _with(self, other: Counts, operation: Callable[[int, int], int]) -> Counts:
        theirs = asdict(other)
        return Counts(**{name: operation(mine, theirs[name]) for name, mine in asdict(self).items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What a run is about to do, on record before it does it: nothing else is left of a run that is killed.

    The documents behind ``after``, up to ``through`` where that is known; ``used`` and ``budget`` in bytes.
    """

    after: Key | None
    through: Key | None
    used: int
    budget: int


@dataclass(frozen=True, slots=True)
class Deaths:
    """How many runs in a row were killed while ``document`` alone was at work, and at how many bytes.

    With ``among`` above 1 it is not known yet which document it was: one of so many, ``document`` the first.
    """

    document: Key
    count: int
    used: int = 0
    among: int = 1

    @property
    def doomed(self) -> bool:
        """Whether the document is to be given up."""
        return self.count >= DEATHS


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What the slots of one step say together. ``progressed``: the last attempt committed something.

    ``divided`` is the generation of the migration's lease under which a partition was made.
    """

    namespace: str
    done: bool = False
    upto: Key | None = None
    reach: Reach = field(default_factory=Reach)
    islands: tuple[Range, ...] = ()
    counts: Counts = field(default_factory=Counts)
    sizes: Sizes | None = None
    intent: Intent | None = None
    deaths: Deaths | None = None
    progressed: bool = False
    divided: int = 0


def undivided(migration: str) -> dict[str, Any]:
    """Return what the records of all steps match that are not divided."""
    return {"migration": migration, "partition": _UNDIVIDED}


def fresh(scan: Scan) -> Record:
    """Return the record of a step that was never begun. Its upper bound is fixed here, once."""
    return Record(namespace=scan.namespace, upto=scan.upper_bound())


def read(slots: Sequence[RawBSONDocument]) -> Record:
    """Add up what is stored. Chunks are counted from 0 again: ranges ahead of a hole become islands."""
    generation = max(slot["generation"] for slot in slots)
    current = sorted((s for s in slots if s["generation"] == generation), key=lambda slot: slot["slot"])
    first, reach = current[0], merged([_reach(slot) for slot in current])
    latest = max(current, key=lambda slot: slot["stamp"])
    return Record(
        namespace=first["namespace"],
        done=bool(first["done"]),
        upto=key(first["upto"]),
        reach=Reach(reach.position),
        islands=(*_ranges(first["islands"]), *reach.ahead),
        counts=sum((_counts(slot["counts"]) for slot in current), Counts()),
        sizes=_sizes(latest["sizes"]),
        intent=_intent(latest["intent"]),
        deaths=_deaths(first["deaths"]),
        progressed=any(slot["last"] >= 0 for slot in current),
        divided=first.get("divided", 0),
    )


def after_death(record: Record, mark: Mapping[str, Any] | None) -> Record:
    """Return the record a run starts with whose predecessor was killed: smaller sizes, one death more."""
    sizes = record.sizes and sizing.after_death(record.sizes, progressed=record.progressed)
    document = key(mark["document"]) if mark else None
    if mark is None or document is None:
        return replace(record, sizes=sizes)
    if mark["among"] > 1:
        return replace(record, sizes=sizes, deaths=Deaths(document, 0, mark["used"], mark["among"]))
    before = record.deaths.count if record.deaths and record.deaths.document == document else 0
    return replace(record, sizes=sizes, deaths=Deaths(document, before + 1, mark["used"]))


def slot_document(slot: int, generation: int, record: Record) -> dict[str, Any]:
    """Return the record of one writer at the start of an attempt; the first one carries what was counted."""
    return {
        "slot": slot,
        "generation": generation,
        "fence": generation,
        "divided": record.divided,
        "done": record.done,
        "upto": stored(record.upto),
        "last": -1,
        "stamp": 0,
        **state(record.reach, [], record.islands, record.sizes, record.intent),
        "counts": asdict(record.counts if slot == 0 else Counts()),
        "deaths": _deaths_document(record.deaths),
    }


def state(
    reach: Reach,
    ahead: Sequence[Range],
    islands: Sequence[Range],
    sizes: Sizes | None,
    intent: Intent | None,
) -> dict[str, Any]:
    """Return what changes with every chunk."""
    return {
        "number": reach.number,
        "position": stored(reach.position),
        "ahead": [*map(_range, ahead)],
        "islands": [*map(_range, islands)],
        "sizes": sizes and asdict(sizes),
        "intent": intent and _intent_document(intent),
    }


def stored(key_: Key | None) -> RawBSONDocument | None:
    """Return a key as it is stored."""
    return None if key_ is None else key_.document()


def key(document: RawBSONDocument | None) -> Key | None:
    """Return a stored key."""
    return None if document is None else raw.key_of(document.raw)


def _range(done: Range) -> dict[str, Any]:
    return {"number": done.number, "after": stored(done.after), "through": done.through.document()}


def _ranges(documents: Sequence[RawBSONDocument]) -> tuple[Range, ...]:
    return tuple(
        Range(done["number"], key(done["after"]), raw.key_of(done["through"].raw)) for done in documents
    )


def _reach(slot: RawBSONDocument) -> Reach:
    return Reach(key(slot["position"]), slot["number"], _ranges(slot["ahead"]))


def _counts(document: RawBSONDocument) -> Counts:
    return Counts(**{name: document[name] for name in asdict(Counts())})


def _sizes(document: RawBSONDocument | None) -> Sizes | None:
    return None if document is None else Sizes(**{name: document[name] for name in sizing.STORED})


def _intent(document: RawBSONDocument | None) -> Intent | None:
    if document is None:
        return None
    return Intent(
        after=key(document["after"]),
        through=key(document["through"]),
        used=document["used"],
        budget=document["budget"],
    )


def _intent_document(intent: Intent) -> dict[str, Any]:
    ends = {"after": stored(intent.after), "through": stored(intent.through)}
    return ends | {"used": intent.used, "budget": intent.budget}


def _deaths(document: RawBSONDocument | None) -> Deaths | None:
    if document is None:
        return None
    return Deaths(
        raw.key_of(document["document"].raw), *(document[name] for name in ("count", "used", "among"))
    )


def _deaths_document(deaths: Deaths | None) -> dict[str, Any] | None:
    if deaths is None:
        return None
    stored_ = {"count": deaths.count, "used": deaths.used, "among": deaths.among}
    return stored_ | {"document": deaths.document.document()}
