"""The lease's record: one document per migration, and each change of it one update on the server's clock.

A step that several processes share has one for each of its partitions, too. It is kept for ever, so that no
generation is ever given twice. What it says is known to ``lease_reading``. When to ask, to renew and to give
up is ``lease``'s business; what an operator may do with it is ``control``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from bson import MaxKey
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from chunkmigrate.lease_reading import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.holder import Holder
    from chunkmigrate.lease_reading import LeaseRecord

COLLECTION = "chunkmigrate_leases"

# Whatever a connection string makes of dates; those beyond the year 9999 come as another type, and are none.
_DATES: CodecOptions[Any] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)

# What a lease is called: the migration, or the document of a `records.Place` for one of its partitions.
Name: TypeAlias = str | Mapping[str, Any]

# What tells a record from what becomes of it, even where it is a date Python has none for, or none at all.
_STAMP = {"$convert": {"input": "$renewed", "to": "long", "onError": None, "onNull": None}}
_NEXT = {"$add": [{"$cond": [{"$isNumber": "$generation"}, "$generation", 0]}, 1]}

_NOBODY: dict[str, Any] = {"generation": 0, "holder": None, "released": True, "asked": None, "former": None}
_PASSED: dict[str, Any] = {
    "generation": _NEXT,
    "holder": None,
    **dict.fromkeys(("renewed", "since", "until"), "$$NOW"),
    "released": True,
    "former": None,
}


def collection_of(database: Database[Any]) -> Collection[Any]:
    """Return the collection of the records."""
    return database.get_collection(COLLECTION, codec_options=_DATES)


def look(database: Database[Any], name: Name) -> LeaseRecord | None:
    """Return the record; None where there never was one. Reads only."""
    return next(found(database, {"_id": name}), None)


def found(database: Database[Any], matching: Mapping[str, Any]) -> Iterator[LeaseRecord]:
    """Yield the records that match, as they are now. Reads only."""
    now = {"$set": {"now": "$$NOW", "stamp": _STAMP}}
    return map(read, collection_of(database).aggregate([{"$match": matching}, now]))


def present(database: Database[Any], name: Name) -> LeaseRecord:
    """Return the record, which is made where there is none: nobody's.

    It is not made where it is claimed, for an upsert may not ask for the server's time.
    """
    while (record := look(database, name)) is None:
        with suppress(DuplicateKeyError):  # made by somebody else in this moment
            collection_of(database).update_one({"_id": name}, {"$setOnInsert": _NOBODY}, upsert=True)
    return record


def claim(
    collection: Collection[Any],
    name: Name,
    holder: Holder,
    seconds: float,
    *,
    over: LeaseRecord | None = None,
    session: ClientSession | None = None,
) -> LeaseRecord | None:
    """Take the lease if it is free, or still as ``over`` shows it; None where somebody else has it."""
    free = [*_free(over), {"$eq": ["$holder.token", holder.token]}]
    claimed = {
        "generation": _NEXT,
        "holder": {"$literal": holder.document()},
        "since": "$$NOW",
        "released": False,
        "former": _former(holder.token),
    }
    ours = {"_id": name, "$expr": {"$or": free}}
    return _updated(collection, ours, claimed | _renewed(seconds), session)


def renew(
    collection: Collection[Any],
    name: Name,
    token: str,
    seconds: float,
    *,
    advance: bool = False,
    session: ClientSession | None = None,
) -> LeaseRecord | None:
    """Renew the lease, and raise its generation with ``advance``; None where it is not ours any more.

    One that has run out is renewed as well while nobody else took it.
    """
    raised = {"generation": _NEXT} if advance else {}
    return _updated(collection, _ours(name, token), raised | _renewed(seconds), session)


def release(collection: Collection[Any], name: Name, token: str) -> None:
    """Give the lease back; who held it stays on record."""
    over = {"until": "$$NOW", "released": True}
    collection.update_one(_ours(name, token), [{"$set": over}])


def revoke(
    collection: Collection[Any], name: Name, token: str, session: ClientSession | None
) -> LeaseRecord | None:
    """Take the lease from whom ``token`` names, under a new generation; None where it is not theirs now."""
    nobody = {
        "generation": _NEXT,
        "holder": None,
        "until": "$$NOW",
        "released": True,
        "former": _former(""),
    }
    return _updated(collection, _ours(name, token), nobody, session)


def pass_over(
    collection: Collection[Any], migration: str, *, over: LeaseRecord, session: ClientSession | None
) -> LeaseRecord | None:
    """Raise the generation of a lease that is free, or still as ``over`` shows it, and leave it nobody's.

    None where somebody else has it.
    """
    ours = {"_id": migration, "$expr": {"$or": _free(over)}}
    return _updated(collection, ours, _PASSED, session)


def pass_over_partitions(collection: Collection[Any], migration: str, session: ClientSession | None) -> None:
    """Take the leases of all partitions of a migration from whoever has not given theirs back.

    One that has run out is renewed by its holder while nobody else took it: who only was frozen would go on.
    """
    unreturned = {**of_partitions(migration), "released": False}
    collection.update_many(unreturned, [{"$set": _PASSED}], session=session)


def of_partitions(migration: str) -> dict[str, Any]:
    """Return what the records of a migration's partitions match: a range of ``_id``s, in which they lie."""
    first = {"migration": migration}
    return {"_id": {"$gt": first, "$lt": first | {"step": MaxKey()}}}


def _free(over: LeaseRecord | None) -> list[Any]:
    """Return what a lease matches that nobody has, or that is still as ``over`` shows it."""
    free: list[Any] = [{"$lte": ["$until", "$$NOW"]}, {"$eq": ["$released", True]}]
    if over:
        same: list[Any] = [{"$eq": [_STAMP, over.stamp]}]
        same += [{"$eq": ["$holder.token", over.token]}] if over.holder else []
        free.append({"$and": same})
    return free


def _ours(name: Name, token: str) -> dict[str, Any]:
    return {"_id": name, "holder.token": token, "released": False}


def _renewed(seconds: float) -> dict[str, Any]:
    return {"renewed": "$$NOW", "until": {"$add": ["$$NOW", round(seconds * 1000)]}}


def _former(token: str) -> dict[str, Any]:
    """Return who is to be told of after a change of hands: the holder, unless it gave the lease back.

    Somebody an operator took it from is told of by the next holder. So is one that a claim found whose
    answer never arrived and which is made again: then the lease is already the claimant's (``token``).
    """
    untold = [{"$not": ["$holder"]}, {"$eq": ["$holder.token", {"$literal": token}]}]
    branches = [
        {"case": {"$and": ["$released", "$holder"]}, "then": None},
        {"case": {"$or": untold}, "then": {"$ifNull": ["$former", None]}},
    ]
    holder = {"holder": "$holder", "since": "$since", "renewed": "$renewed"}
    return {"$switch": {"branches": branches, "default": holder}}


def _updated(
    collection: Collection[Any],
    ours: Mapping[str, Any],
    values: Mapping[str, Any],
    session: ClientSession | None,
) -> LeaseRecord | None:
    updated = collection.find_one_and_update(
        ours, [{"$set": values}], return_document=ReturnDocument.AFTER, session=session
    )
    return None if updated is None else read(updated)
