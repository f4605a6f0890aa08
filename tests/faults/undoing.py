"""There and back: a migration with undo, and its rollback, both killed on the way while somebody edits."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkmigrate import raw
from chunkmigrate.earlier import fields_of
from chunkmigrate.scan import RAW
from tests.faults.attempts import finish, killed
from tests.faults.kinds import KINDS, NAME
from tests.faults.oracle import OWN, insert

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine
    from tests.faults.kinds import Kind

# What the server writes by itself cannot be undone.
UNDONE = tuple(kind for kind in KINDS if "server=" not in kind.source)

# No kind of migration knows this field.
MINE = "mine"

_UNDO = """

from functools import partial

import chunkmigrate

Backfill = partial(chunkmigrate.Backfill, undo=True)
"""


@dataclass(slots=True)
class Editor:
    """Writes into a field of its own, of documents chosen at random, until it is told that it is over."""

    db: Database[Any]
    ids: list[Any]
    chance: random.Random
    edits: dict[bytes, int] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def edit(self) -> None:
        number = 0
        while not self.over.wait(0.002):
            number += 1
            id_ = self.chance.choice(self.ids)
            update = {"$set": {MINE: number}}
            before = self.db.c.with_options(RAW).find_one_and_update({"_id": id_}, update)
            if before is not None:
                self.edits[raw.key_of(before.raw).value] = number


@contextmanager
def editing(db: Database[Any], chance: random.Random) -> Iterator[Editor]:
    editor = Editor(db, db.c.distinct("_id"), chance)
    thread = threading.Thread(target=editor.edit)
    thread.start()
    try:
        yield editor
    finally:
        editor.over.set()
        thread.join()


def there_and_back(
    cli: CommandLine, db: Database[Any], kind: Kind, chance: random.Random, *, kills: int, documents: int
) -> int:
    """Kill a migration and its rollback so often, and see that every byte is as it was, but for the edits.

    The migration is half done when it is rolled back, or complete, by chance. Return the runs it took.
    """
    cli.write(kind.source + _UNDO, NAME)
    db.client.drop_database(db.name)
    insert(db, kind.seed(chance, documents))
    before = stored(db)
    attempts = 0
    with editing(db, chance) as editor:
        while attempts < kills and killed(cli, chance):
            attempts += 1
        if chance.random() < 0.5:
            finish(cli, most=1)
        back = 0
        while back < kills and killed(cli, chance, verb="rollback"):
            back += 1
        finish(cli, most=1, verb="rollback")
    after = stored(db)
    edits = {key: number for key, (_, number) in after.get("c", {}).items() if number is not None}
    assert edits == editor.edits, f"edits were lost: {len(edits)} of {len(editor.edits)} are there"
    _compare(before, after)
    assert not [*db.chunkmigrate_undo.find()]
    return attempts + back + 2


def stored(db: Database[Any]) -> dict[str, dict[bytes, tuple[bytes, int | None]]]:
    """Every document byte for byte without the editor's field, and what that has, by collection and _id."""
    names = [name for name in db.list_collection_names() if not name.startswith(OWN)]
    found = {
        name: {_key(d.raw): _split(bytes(d.raw)) for d in db[name].with_options(RAW).find()} for name in names
    }
    return {name: documents for name, documents in found.items() if documents}


def _key(document: Any) -> bytes:
    return raw.key_of(document).value


def _split(document: bytes) -> tuple[bytes, int | None]:
    fields = fields_of(document)
    mine = fields.pop(MINE.encode(), None)
    rest = b"".join(value[:1] + name + b"\0" + value[1:] for name, value in fields.items())
    return raw.enclosed(rest), mine and int.from_bytes(mine[1:], "little")


def _compare(before: Any, after: Any) -> None:
    assert before.keys() == after.keys()
    for name in before:
        was, is_ = ({key: one[0] for key, one in side[name].items()} for side in (before, after))
        wrong = [key for key in was | is_ if was.get(key) != is_.get(key)]
        assert not wrong, f"{len(wrong)} documents of {name} are not what they were, such as {wrong[:3]}"
