"""Read only: which commands leave everything as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from chunkmigrate.readonly import ReadOnly, Refused, is_reading

OUT = RawBSONDocument(bson.encode({"$out": "other"}))

READING = """find getMore count distinct hello isMaster ismaster collStats collstats ping listIndexes
    saslStart saslContinue authenticate endSessions explain killCursors abortTransaction commitTransaction"""
WRITING = """insert update delete findAndModify findandmodify bulkWrite create createIndexes drop dropIndexes
    dropDatabase collMod renameCollection mapReduce eval applyOps createUser dropUser shutdown fsync
    setParameter killSessions killOp unknown"""


@pytest.mark.parametrize("name", READING.split())
def test_reading(name: str) -> None:
    """What reads, and what a client needs to be one, is let through."""
    assert is_reading(name, {name: 1})


@pytest.mark.parametrize("name", [*WRITING.split(), ""])
def test_writing(name: str) -> None:
    """What may write is refused, and so is what nobody knows."""
    assert not is_reading(name, {name: 1})


@pytest.mark.parametrize(
    ("pipeline", "reads"),
    [
        ([], True),
        ([{"$match": {}}, {"$group": {"_id": None}}], True),
        ([{"$match": {"$out": 1}}], True),
        ([{"$out": "other"}], False),
        ([{"$match": {}}, {"$merge": {"into": "other"}}], False),
        ([SON([("$merge", "other")])], False),
        ([OUT], False),
    ],
)
def test_aggregate(pipeline: list[Any], *, reads: bool) -> None:
    """An aggregation reads, unless one of its stages writes; however a stage is given."""
    assert is_reading("aggregate", {"aggregate": "orders", "pipeline": pipeline}) is reads


def test_refused() -> None:
    """What is refused is no ordinary exception: neither driver nor author's code may go on after it."""
    event = cast("Any", SimpleNamespace(command_name="insert", command={"insert": "orders"}))

    with pytest.raises(Refused) as caught:
        ReadOnly().started(event)
    assert caught.value.command == "insert"
    assert not issubclass(Refused, Exception)
