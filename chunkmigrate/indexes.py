"""Indexes: which one the read of a scan uses, how much it looks at in vain, and what would spare that.

For whoever rehearses a migration. It takes a few seconds at most, needs no more than the right to read, and
fails nothing: what the server does not say in time is not known. What is told of a whole collection is an
estimate, by documents taken at random. Whether an index can be used at all is ``hints``' to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pymongo
from bson import Decimal128, ObjectId, Timestamp
from pymongo.errors import PyMongoError

from chunkmigrate.hints import Index, indexes_of, is_in_order, stages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkmigrate.scan import Scan

# An operator waits for the answer. No question may take all that time: the next may be answered at once.
LOOK_SECONDS, ASK_SECONDS = 3.0, 1.0

# Looking at a document costs the server about 0.8 µs (200,000 of 1 KB, in its cache, 0.1 % matching: 155 ms),
# rewriting one about 35: from some forty to one on, most of the work is looking. Where documents have to come
# from the disk it is so much earlier.
MOST_LOOKS = 20

# So many take 8 ms where all are in the server's cache, which is not worth an index; from a disk they take
# seconds, and whoever rehearses has often a small part of what is in production. With ten times as many,
# nothing was said of 50,000 documents of which 10 match.
WORTH_SAYING = 10_000

# A thousand documents tell one in a hundred from one in twenty. Larger ones are read whole to be judged.
SAMPLE_DOCUMENTS = 1_000
SAMPLE_BYTES = 64 * 1024 * 1024

# So many of a sample make it an estimate; fewer are counted, where that can be done in time.
ENOUGH = 30

# What a filter finds by being equal, and in one place of an index. None would find what is missing, too.
_VALUES = (str, int, float, bytes, datetime, UUID, ObjectId, Decimal128, Timestamp)

# The server merges the parts of an index that hold one value each: of a few that is as good as one part.
FEW_VALUES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexUse:
    """How a scan is read: by the index ``name`` on ``keys``; empty where that is not known.

    About ``looked_at`` documents of the collection are looked at for ``matched`` that match; None is not
    known. ``warning`` is a sentence where that is bad, and what would spare it.
    """

    name: str = ""
    keys: tuple[str, ...] = ()
    looked_at: int | None = None
    matched: int | None = None
    warning: str = ""


def index_use(scan: Scan) -> IndexUse:
    """Return how ``scan`` is read, after three seconds at most."""
    with pymongo.timeout(LOOK_SECONDS):
        return _index_use(scan)


def _index_use(scan: Scan) -> IndexUse:
    name, keys = _asked(lambda: _index_read(scan)) or ("", ())
    total = _asked(scan.collection.estimated_document_count)
    matched = total if not scan.filter else _matched(scan, total or 0)
    use = IndexUse(name=name, keys=keys, looked_at=_looked_at(scan, total, matched), matched=matched)
    return replace(use, warning=_warning(scan, use))


def _asked(question: Callable[[], Any]) -> Any:
    """Return the answer; None where there is none in time, or the server refuses it."""
    with suppress(PyMongoError), pymongo.timeout(ASK_SECONDS):
        return question()
    return None


def _index_read(scan: Scan) -> tuple[str, tuple[str, ...]] | None:
    for stage in stages(scan.explained("queryPlanner", 1)):
        if "indexName" in stage:
            return str(stage["indexName"]), tuple(stage["keyPattern"])
        if stage["stage"].startswith("CLUSTERED"):
            return "_id", ("_id",)
    return None


def _matched(scan: Scan, total: int) -> int | None:
    """Return about how many documents match: of a sample if that tells, else counted if that is quick."""
    found, size = _asked(lambda: _sampled(scan, total)) or (0, 0)
    if found >= ENOUGH:
        return round(total * found / size)
    counted: int | None = _asked(lambda: scan.collection.count_documents(scan.filter))
    if counted is not None or not size:
        return counted
    return round(total * found / size)


def _sampled(scan: Scan, total: int) -> tuple[int, int]:
    """Return how many documents of a sample match, and of how many it is."""
    few = SAMPLE_BYTES // max(1, scan.average_size())
    size = max(1, min(SAMPLE_DOCUMENTS, few, total))
    matching: Sequence[Mapping[str, Any]] = [
        {"$sample": {"size": size}},
        {"$match": scan.filter},
        {"$count": "found"},
    ]
    answer = next(iter(scan.collection.aggregate(matching)), None)
    return (int(answer["found"]) if answer else 0), size


def _looked_at(scan: Scan, total: int | None, matched: int | None) -> int | None:
    if scan.hint is not None:
        by_hint: int | None = _asked(lambda: _by_hint(scan, matched))
        return by_hint
    if "_id" in scan.filter:
        counted: int | None = _asked(lambda: scan.collection.count_documents({"_id": scan.filter["_id"]}))
        return counted
    return total


def _by_hint(scan: Scan, matched: int | None) -> int | None:
    """Return how many documents are looked at if it goes on as it begins: more, if the index has not all."""
    read = scan.explained("executionStats", ENOUGH).get("executionStats")
    if matched is None or read is None:
        return None
    each: float = read["totalDocsExamined"] / max(1, read["nReturned"])
    return round(max(1, matched) * each)


def _warning(scan: Scan, use: IndexUse) -> str:
    if use.looked_at is None or use.matched is None or use.looked_at < WORTH_SAYING:
        return ""
    each = use.looked_at // max(1, use.matched)
    if each <= MOST_LOOKS:
        return ""
    said = f"Reading by {use.name or 'an index'} looks at about {use.looked_at:,} documents"
    many = f"about {use.matched:,} match, one in {each:,}" if use.matched else "hardly any match"
    return f"{said}, of which {many}. {_advice(scan)}"


def _advice(scan: Scan) -> str:
    """Say what would spare looking at so many: an index there is, one to make, or neither."""
    fields = sorted(fields_with_values(scan.filter))
    indexes: list[Index] = _asked(lambda: indexes_of(scan)) or []
    helpful = [index for index in indexes if index.keys[0] in fields]
    for index in helpful:
        if not index.partial and _asked(partial(is_in_order, replace(scan, hint=index.name))):
            return f'Its index {index.name} spares that: write scan(..., hint="{index.name}").'
    if not fields:
        return "No index has what this filter matches in _id order: narrow it to a range of _id, if you can."
    name = "".join(f"{field}_1_" for field in fields) + "_id_1"
    advice = (
        f'An index on {", ".join(fields)} and _id spares that: make it, and write scan(..., hint="{name}").'
    )
    names = ", ".join(index.name for index in helpful)
    return f"{advice} What there is ({names}) is not in _id order." if names else advice


def fields_with_values(filter_: Mapping[str, Any]) -> set[str]:
    """Return the fields for which a filter asks for one value or a few: an index has them in ``_id`` order.

    >>> sorted(fields_with_values({"a": 1, "b": {"$exists": False}, "c": {"$gt": 5}, "_id": 7, "$or": []}))
    ['a', 'b']
    """
    return {name for name, asked in filter_.items() if name != "_id" and name[:1] != "$" and _is_value(asked)}


def _is_value(asked: Any) -> bool:
    if not isinstance(asked, Mapping):
        return isinstance(asked, _VALUES)
    few = asked.get("$in", ())
    return asked == {"$exists": False} or (len(asked) == 1 and 0 < len(few) <= FEW_VALUES)
