"""Scenes: a slow `$inc` over numbered documents, and something that goes wrong in the middle of it."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.acceptance.conftest import CommandLine
from tests.faults.attempts import Attempt, ended, finish, running
from tests.faults.kinds import NAME
from tests.faults.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo import MongoClient
    from pymongo.database import Database

# 20 µs of work a document: a run then takes some two seconds, and has a middle.
SLOW = '''"""Add one to every n, slowly."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    sum(range(1_500))
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})
'''
DOCUMENTS = 20_000
FIRST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A project, and the database it migrates. ``cli`` may take another way to the server than ``db``."""

    cli: CommandLine
    db: Database[Any]
    documents: int = DOCUMENTS

    def prepare(self, source: str = SLOW) -> None:
        """Write the migration, and the documents it is for."""
        self.cli.write(source, NAME)
        self.db.c.insert_many({"_id": n, "pad": "x" * (n % 90)} for n in range(self.documents))

    def through(self, uri: Callable[[str], str]) -> Scene:
        """The same with another connection string for the command line."""
        return replace(self, cli=CommandLine(self.cli.folder, uri(self.cli.uri)))

    @contextmanager
    def midway(self) -> Iterator[subprocess.Popen[str]]:
        """Start a run, and enter the block when its first documents are migrated."""
        with running(self.cli) as process:
            until(self._begun(process), FIRST_SECONDS, "the first migrated document")
            yield process

    def hurt(self, fault: Callable[[], object]) -> Attempt:
        """Run, do ``fault`` midway, and return how the run ended."""
        with self.midway() as process:
            fault()
            return ended(process)

    def finish(self) -> None:
        """Run until it is done, and see that every document was migrated once."""
        finish(self.cli)
        self.check()

    def check(self) -> None:
        """See that every document is there, and was migrated once."""
        wrong = [document["_id"] for document in self.db.c.find({"n": {"$ne": 1}}, {"_id": 1})]
        assert not wrong, f"{len(wrong)} documents not migrated exactly once, such as {wrong[:5]}"
        assert self.db.c.count_documents({}) == self.documents

    def _begun(self, process: subprocess.Popen[str]) -> Callable[[], bool]:
        def begun() -> bool:
            assert process.poll() is None, f"ended before the fault: {ended(process)}"
            return self.db.c.find_one({"_id": 0, "n": 1}) is not None

        return begun


def scene(folder: Path, uri: str, client: MongoClient[Any]) -> Scene:
    """A scene in a database of its own on that server."""
    name = f"scene_{random.randbytes(6).hex()}"
    base, _, options = uri.partition("/?")
    folder.mkdir(parents=True, exist_ok=True)
    return Scene(CommandLine(folder, f"{base}/{name}?{options}"), client[name])
