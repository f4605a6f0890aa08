"""What is foreseen of a write is what a real server then does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient, UpdateOne

from chunkmigrate.differences import reading_of
from chunkmigrate.foresight import Foresight, Reading, Statement, foresee
from chunkmigrate.scan import RAW, scan
from chunkmigrate.updates.tree import DOCUMENT, Fields, Items, Mark, Node, Value, expanded
from chunkmigrate.writes import encode
from tests.integration.random_updates import Maker
from tests.integration.test_scan import MIXED_IDS

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.backfill import Write

OPTIONS = CodecOptions[dict[str, Any]]()
FIELD = {"insert": "documents", "update": "updates", "delete": "deletes"}
ROUNDS = 400


def agrees(known: Node, stored: Node) -> bool:
    """Whether what is known of a value is so; of what is not known anything is."""
    if known is Mark.UNKNOWN:
        return True
    if known is Mark.DATE or known is Mark.TIMESTAMP:
        return isinstance(stored, Value) and stored.type == {Mark.DATE: 0x09, Mark.TIMESTAMP: 0x11}[known]
    if isinstance(known, Fields) and isinstance(fields := expanded(stored), Fields):
        names = ([n for n in side.named if known[n] is not Mark.UNKNOWN] for side in (known, fields))
        mine, theirs = names if known.in_order else map(sorted, names)
        same = known.rest is Mark.UNKNOWN or mine == theirs
        return same and all(agrees(known[name], fields[name]) for name in known.named)
    if isinstance(known, Items) and isinstance(items := expanded(stored), Items):
        return len(known.nodes) == len(items.nodes) and all(map(agrees, known.nodes, items.nodes))
    return known == stored or (is_nan(known) and is_nan(stored))


def is_nan(node: Node) -> bool:
    return isinstance(node, Value) and node.type == 0x01 and node.decoded() != node.decoded()


def statements(writes: list[Write], namespace: str) -> list[Statement]:
    return [Statement(namespace, *encode(write, OPTIONS)) for write in writes]


def sent(collection: Collection[Any], given: list[Statement]) -> str:
    """Send statements in order, until one is refused; return what the server says of that one."""
    for one in given:
        document = bson.decode(one.encoded, RAW)
        command = {one.kind: collection.name, FIELD[one.kind]: [document]}
        for error in collection.database.command(command).get("writeErrors", ()):
            return str(error["errmsg"])
    return ""


def stored(collection: Collection[Any], id_: Any) -> Node:
    found = collection.with_options(RAW).find_one({"_id": id_})
    return Value(DOCUMENT, found.raw) if found else Mark.MISSING


def foreseen(
    collection: Collection[Any], id_: Any, fields: Any, writes: list[Write]
) -> tuple[Foresight, str]:
    """What is known beforehand of the writes of one document, and what the server then says."""
    key_page = scan(collection, {"_id": id_}, fields=fields)
    upto = key_page.upper_bound()
    assert upto is not None
    [read] = (bytes(document) for document in key_page.last(upto))
    given = statements(writes, collection.full_name)
    return foresee(read, Reading(collection.full_name, fields), given), sent(collection, given)


@pytest.mark.parametrize("seed", range(5))
def test_random(db: Database[Any], seed: int) -> None:
    """Whatever is said to be known of random writes to random documents is so on the server."""
    make, told = Maker(seed), Counter[str]()
    for id_ in range(ROUNDS):
        document, fields = make.document(id_), make.fields_read()
        writes = [make.write(document) for _ in range(make.random.choice([1, 1, 1, 2, 3]))]
        db.c.insert_one(document)

        known, refusal = foreseen(db.c, id_, fields, writes)

        case = f"{document} read as {fields}, {writes}: {known}, {refusal or stored(db.c, id_)}"
        if known.refused:
            told["refused"] += 1
            assert refusal, case
        elif refusal or known.apart:
            told["unclear"] += 1
            assert known.unclear or known.apart, case
        else:
            told["known" if not known.unclear else "partly known"] += 1
            assert agrees(known.after, stored(db.c, id_)), case
    assert told["known"] > ROUNDS / 8
    assert told["refused"] > ROUNDS / 8
    assert told["unclear"] > ROUNDS / 50
    assert told["partly known"] > ROUNDS / 50


@pytest.mark.parametrize("id_", MIXED_IDS, ids=repr)
def test_ids(db: Database[Any], id_: Any) -> None:
    """A write that names the `_id` of its document is foreseen whatever its type, or said not to be."""
    db.c.insert_one({"_id": id_, "n": 1})

    known, refusal = foreseen(db.c, id_, ("n",), [UpdateOne({"_id": id_}, {"$inc": {"n": 1}})])

    assert not refusal
    assert agrees(known.after, stored(db.c, id_)) is not bool(known.apart)


def test_reading(db: Database[Any]) -> None:
    """Whether strings have an order of their own is asked of the collection, and feared if nobody says."""
    db.create_collection("fr", collation={"locale": "fr"})
    with MongoClient[dict[str, Any]]("127.0.0.1:1", serverSelectionTimeoutMS=1) as nobody:
        unknown = reading_of(scan(nobody["x"]["c"]))

    assert not reading_of(scan(db.c, fields=["a"])).collated
    assert reading_of(scan(db.fr)).collated
    assert unknown == Reading("x.c", None, collated=True)


def test_collation(db: Database[Any]) -> None:
    """With a collation, what is said to be known is so all the same."""
    db.create_collection("fr", collation={"locale": "fr", "strength": 1})
    db.fr.insert_one({"_id": "a", "s": "b", "n": 1, "set": ["x"]})
    update = {"$min": {"s": "A"}, "$max": {"n": 2}, "$addToSet": {"set": "X"}}
    read = bson.encode(db.fr.find_one() or {})
    [given] = statements([UpdateOne({"_id": "a"}, update)], db.fr.full_name)

    known = foresee(read, reading_of(scan(db.fr)), [given])

    assert not sent(db.fr, [given])
    assert agrees(known.after, stored(db.fr, "a"))
    assert {unclear.change.operator for unclear in known.unclear} == {"$min", "$addToSet"}
