"""An application that edits documents while they are migrated.

Each edit has a number of its own, so of each document it is known which edits it had and in which order, and
it says itself what the migration read of it.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.attempts import finish
from tests.faults.kinds import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

DOCUMENTS = 4_000

# 0.1 ms of work a document: a chunk of a thousand is read a tenth of a second before it is written.
SOURCE = '''"""Turn values into texts."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=["value"]), to_text, if_unchanged=True)


def to_text(document):
    sum(range(6_000))
    change = {"value": f"text of {document['value']}", "read": document["value"]}
    return UpdateOne({"_id": document["_id"]}, {"$set": change, "$inc": {"n": 1}})
'''


class LiveWriter:
    """Edits documents at random, one after the other; ``log`` has each document's values in order."""

    def __init__(self, db: Database[Any], chance: random.Random) -> None:
        self._db, self._chance = db, chance
        self._ended = threading.Event()
        self.log: list[list[int]] = [[-1 - number] for number in range(DOCUMENTS)]

    def insert(self) -> None:
        self._db.c.insert_many({"_id": n, "value": values[0]} for n, values in enumerate(self.log))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._edit)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _edit(self) -> None:
        value = 0
        while not self._ended.is_set():
            value += 1
            number = self._chance.randrange(DOCUMENTS)
            self._db.c.update_one({"_id": number}, {"$set": {"value": value}})
            self.log[number].append(value)


@pytest.mark.parametrize("writers", [1, 4])
def test_no_edit_is_overwritten(cli: CommandLine, db: Database[Any], writers: int) -> None:
    """With `if_unchanged` no edit of an application is overwritten: each document ends with its last edit,
    as a text if that came before its migration and as it is if it came after. A document that is edited over
    and over again while it is migrated may end in quarantine, as it is.
    """
    live = LiveWriter(db, random.Random(writers))
    live.insert()
    cli.write(SOURCE, NAME)
    with live.at_work():
        finish(cli, "--writers", str(writers), most=1)

    kept = {document["document"]: document["reason"] for document in db.chunkmigrate_quarantine.find()}
    found = list(db.c.find())
    before = [document for document in found if judged(document, live.log[document["_id"]], kept)]
    edited = [document for document in before if len(live.log[document["_id"]]) > 1]
    assert len(found) == DOCUMENTS
    assert len(kept) <= DOCUMENTS // 100, f"{len(kept)} documents were given up"
    assert min(len(edited), len(found) - len(before)) > DOCUMENTS // 100, "the writer was not at work"


def judged(document: dict[str, Any], edits: list[int], kept: dict[int, str]) -> bool:
    """See that a document is as it must be after these edits; whether it was migrated after the last one."""
    last = edits[-1]
    if kept.get(document["_id"]) == "conflict":
        assert document == {"_id": document["_id"], "value": last}, f"{document} was given up, and written"
        return False
    assert document.get("n") == 1, f"{document} was not migrated once"
    assert document["read"] in edits, f"{document} has read what never was"
    if document["value"] == last:
        return False
    assert document["value"] == f"text of {last}", f"{document} lost its last edit, {last}"
    assert document["read"] == last, f"{document} was written with another value than it read"
    return True
