"""Poison: documents that cannot be migrated, in four ways, and how each is put right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson.raw_bson import RawBSONDocument

from tests.faults.kinds import NAME

if TYPE_CHECKING:
    from collections.abc import Collection

    from pymongo.database import Database

MIB = 1024 * 1024
DOCUMENTS = 3_000

SOURCE = '''"""Add one to every n."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=["poison", "text"]), add_one, on_error="{on_error}")


def add_one(document):
    poison = document.get("poison")
    if poison == "raises":
        raise ValueError("no")
    grown = {{"$set": {{"more": "x" * (9 * 1024 * 1024)}}}} if poison == "grows" else {{}}
    return UpdateOne({{"_id": document["_id"]}}, {{"$inc": {{"n": 1}}}} | grown)
'''


@dataclass(frozen=True, slots=True)
class Poison:
    """One way of being impossible: what the document has, the repair, and what is kept and shown of it."""

    name: str
    fields: dict[str, Any]
    repair: dict[str, Any]
    kept: str
    shown: str


# The text of a document that the driver cannot decode: it is no UTF-8.
BROKEN = b"\x02text\x00\x03\x00\x00\x00\xff\xfe\x00"

POISONS = (
    Poison(
        "raises",
        {"poison": "raises"},
        {"$unset": {"poison": 1}},
        "add_one raised ValueError: no",
        rf"add_one raised ValueError\. .* It was raised in migrations/{NAME}\.py, line 13\.",
    ),
    Poison(
        "undecodable",
        {},
        {"$set": {"text": "mended"}},
        "cannot be decoded: 'utf-8' codec",
        "cannot be decoded: InvalidBSON",
    ),
    Poison(
        "grows",
        {"poison": "grows", "much": "x" * (8 * MIB)},
        {"$unset": {"much": 1}},
        "16 ?MB|16 MiB|16777216",
        "16 MiB",
    ),
    Poison("refused", {"sealed": True}, {"$unset": {"sealed": 1}}, "failed validation", "failed validation"),
)
REFUSING = {"$or": [{"sealed": {"$ne": True}}, {"n": {"$exists": False}}]}


def prepare(db: Database[Any], poison: Poison, poisoned: Collection[int]) -> None:
    """Store the documents, those with the ``poisoned`` numbers being poison."""
    db.c.insert_many(_document(number, poison if number in poisoned else None) for number in range(DOCUMENTS))
    db.command("collMod", "c", validator=REFUSING)


def repair(db: Database[Any], poison: Poison, number: int) -> None:
    """Put one document right."""
    db.c.update_one({"_id": number}, poison.repair)


def _document(number: int, poison: Poison | None) -> Any:
    if poison is None:
        return {"_id": number}
    if poison.name == "undecodable":
        element = b"\x10_id\x00" + number.to_bytes(4, "little") + BROKEN
        return RawBSONDocument((len(element) + 5).to_bytes(4, "little") + element + b"\x00")
    return {"_id": number} | poison.fields
