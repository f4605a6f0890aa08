"""Testing: what an author needs to test a migration.

`Migrate` applies one to documents, on a database of the test's own, with the engine, the memory sensor and
the transactions of a run: what it does to them, whether it may be done twice, whether it may be interrupted,
and whether it fits into so much memory. It knows no pytest: the fixtures are ``pytest_chunkmigrate``'s, and
any other way to run tests may use what they use.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from chunkmigrate import confined, contents, limits, server
from chunkmigrate.contents import Contents
from chunkmigrate.errors import UsageError
from chunkmigrate.interruption import Interruption, chunks_of
from chunkmigrate.ledger import APPLIED, ROLLED_BACK, Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import Migration, discover, find
from chunkmigrate.rollback import way_back
from chunkmigrate.runner import Run
from chunkmigrate.settings import WRITERS
from chunkmigrate.telemetry import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

    from chunkmigrate.outcome import Outcome, Progress
    from chunkmigrate.records import Counts

Upgrade: TypeAlias = Callable[["Database[Any]"], Any]
MigrationLike: TypeAlias = str | Path | ModuleType | Upgrade
ByCollection: TypeAlias = Mapping[str, Iterable[Mapping[str, Any]]]

# Enough to see what is wrong; the rest is counted.
SHOWN = 3

_NOT_IDEMPOTENT = "Let its filter leave out what is done, or compute from fields that it does not write."
_KEPT = "Does it keep something from one document to the next? The process that goes on does not have it."
_NOT_BACK = "Let downgrade(db) take back all that upgrade(db) does; or Backfill(..., undo=True), without one."


def load(path: str | Path) -> ModuleType:
    """Import the migration at ``path``: a name that begins with a number is beyond an import statement.

    Raises `InvalidModuleError` where it cannot be imported.
    """
    return Migration.read(Path(path)).module()


@contextmanager
def server_uri() -> Iterator[str]:
    """Yield the URI of a server: the one ``MONGODB_URI`` names, or else an embedded one, for this block.

    Raises `EmbeddedServerError` where there is neither.
    """
    if uri := os.environ.get("MONGODB_URI"):
        yield uri
        return
    from chunkmigrate.mongod import embedded

    with embedded() as uri:
        yield uri


@contextmanager
def own_database(uri: str) -> Iterator[Database[Any]]:
    """Yield a database nobody else has, empty; it is dropped afterwards. No other is touched."""
    with server.connect(uri) as client:
        database = server.database(client, f"chunkmigrate_test_{uuid4().hex}")
        try:
            yield database
        finally:
            client.drop_database(database.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Migrated:
    """What a migration did (``counts``) and left.

    ``start`` and ``peak`` are the bytes its process had resident before the first document, and at most; None
    where it ran in the test's own process, which holds much besides.
    """

    counts: Counts
    contents: Contents = field(repr=False)
    start: int | None = None
    peak: int | None = None

    def found(self, collection: str) -> list[dict[str, Any]]:
        """Return the documents of a collection afterwards, in ``_id`` order; none where there is none."""
        return self.contents.documents(collection)


@dataclass(frozen=True, slots=True)
class Migrate:
    """Applies migrations to ``database``, which must be the test's own: all in it may be dropped.

    A migration is given as its name in ``folder``, as its path, its module, or a function ``upgrade(db)``.
    Its file is loaded anew for every run, as a process does; a function is called as it is. ``uri`` is the
    server of ``database``.

    ``documents`` are what collections hold at first, by name: ``{"orders": [{"_id": 1}]}``; what is not
    named there stays as it is. Each call starts from the beginning, whatever was applied before. What fails
    raises what a run raises.
    """

    database: Database[Any]
    folder: Path
    uri: str

    def __post_init__(self) -> None:
        """Refuse a database that may be somebody's."""
        if "test" not in self.database.name:
            message = (
                f"The database {self.database.name} does not say in its name that it is for a test, and "
                "all that is in it may be dropped. Use one of its own: chunkmigrate.testing.own_database."
            )
            raise UsageError(message)

    def __call__(
        self, migration: MigrationLike, documents: ByCollection | None = None, *, memory: str | None = None
    ) -> Migrated:
        """Apply ``migration`` to ``documents``.

        With ``memory``, such as ``"64Mi"``, by the command line in a process of its own, which may not have
        more: `AssertionError` where it needs more. Failures are `ChunkmigrateError`, with their sentence.
        """
        __tracebackhide__ = True
        chosen = self._chosen(migration)
        self._put(documents)
        return self._applied(chosen) if memory is None else self._confined(chosen, memory)

    def twice(
        self,
        migration: MigrationLike,
        documents: ByCollection | None = None,
        *,
        ignoring: Collection[str] = (),
    ) -> Migrated:
        """Apply ``migration`` two times, as where its records were lost; return what the first one left.

        Raises `AssertionError` where the second one changed anything but the fields in ``ignoring``.
        """
        __tracebackhide__ = True
        chosen = self._chosen(migration)
        self._put(documents)
        first, again = self._applied(chosen), self._applied(chosen)
        what = f"{chosen.name} is not idempotent: applied a second time, it changed what the first had left"
        _compare(first, again, ignoring, what, _NOT_IDEMPOTENT)
        return first

    def interrupted(
        self,
        migration: MigrationLike,
        documents: ByCollection | None = None,
        *,
        after: int = 1,
        ignoring: Collection[str] = (),
    ) -> Migrated:
        """Stop ``migration`` ``after`` so many documents, as SIGTERM does, and go on; return what it left.

        Raises `AssertionError` where that is not what it leaves when nobody stops it, but for the fields in
        ``ignoring``; and where there was nothing to interrupt.
        """
        __tracebackhide__ = True
        chosen, interruption = self._chosen(migration), Interruption(after)
        self._put(documents)
        before = Contents.of(self.database)
        whole = self._applied(chosen)
        before.put_back(self.database)
        watched, most = interruption.of(chosen), chunks_of(after)
        stopped = self._run(watched, interruption.committed, stopped=interruption.is_asked, most=most)
        if stopped.counts.read >= whole.counts.read:
            raise AssertionError(
                f"{chosen.name} has no more than {stopped.counts.read:,} documents to read, so there is "
                "nothing to interrupt. Give it more of them, or let after= be less."
            )
        resumed = self._migrated(self._run(chosen))
        what = f"{chosen.name}, interrupted after {after:,} and resumed, left other data than in one go"
        _compare(whole, resumed, ignoring, what, _KEPT)
        return replace(resumed, counts=stopped.counts + resumed.counts)

    def back(
        self,
        migration: MigrationLike,
        documents: ByCollection | None = None,
        *,
        ignoring: Collection[str] = (),
    ) -> Migrated:
        """Apply ``migration`` and roll it back, by its ``downgrade`` or its undo; return what that left.

        Raises `AssertionError` where that is not what there was before, but for the fields in ``ignoring``,
        and `NoWayBackError` where it has no way back.
        """
        __tracebackhide__ = True
        chosen = self._chosen(migration)
        self._put(documents)
        before = Contents.of(self.database)
        applied = self._applied(chosen)
        direction, back = way_back(chosen, self.database, Ledger(self.database).entry(chosen.name))
        left = self._migrated(self._run(back, direction=direction))
        what = f"{chosen.name}, applied and rolled back, left other data than there were"
        _compare(replace(applied, contents=before), left, ignoring, what, _NOT_BACK)
        return left

    def _chosen(self, migration: MigrationLike) -> Migration:
        match migration:
            case str():
                return find(discover(self.folder), migration)
            case Path():
                return Migration.read(migration)
            case ModuleType():
                return Migration.read(Path(inspect.getfile(migration)))
            case _:
                return _given(migration)

    def _put(self, documents: ByCollection | None) -> None:
        for collection, given in _checked(documents or {}).items():
            self.database[collection].delete_many({})
            # Copied, because the driver adds an _id to what it inserts.
            contents.insert(self.database, collection, map(dict, given))

    def _applied(self, migration: Migration) -> Migrated:
        """Apply a migration from the beginning, in this process."""
        __tracebackhide__ = True
        contents.forget(self.database)
        return self._migrated(self._run(migration))

    def _confined(self, migration: Migration, memory: str) -> Migrated:
        __tracebackhide__ = True
        if migration.upgrade:
            message = (
                f"memory= applies a migration in a process of its own, and {migration.name}(db) is a "
                "function of this one: give the migration's name, its path or its module."
            )
            raise UsageError(message)
        contents.forget(self.database)
        ran = confined.run(migration, self.database, self.uri, memory, limits.available())
        left = Contents.of(self.database)
        return Migrated(counts=ran.counts, contents=left, start=ran.start, peak=ran.peak)

    def _run(
        self, migration: Migration, told: Callable[[Progress], None] = lambda _: None, **how: Any
    ) -> Outcome:
        run = Run(migration, self.database, Sensor(), writers=WRITERS, **how)
        for progress in run:
            told(progress)
        return run.outcome

    def _migrated(self, outcome: Outcome) -> Migrated:
        __tracebackhide__ = True
        if outcome.status not in (APPLIED, ROLLED_BACK):
            raise AssertionError(sentence(outcome))
        return Migrated(counts=outcome.counts, contents=Contents.of(self.database))


def _given(upgrade: Upgrade) -> Migration:
    name = getattr(upgrade, "__name__", type(upgrade).__name__)
    return Migration(name=name, path=Path(name), description="", checksum="", upgrade=upgrade)


def _checked(documents: ByCollection) -> ByCollection:
    if isinstance(documents, Mapping) and not any(isinstance(one, Mapping) for one in documents.values()):
        return documents
    message = 'documents are lists of them by collection, such as {"orders": [{"_id": 1}, {"_id": 2}]}'
    raise TypeError(message)


def _compare(expected: Migrated, found: Migrated, ignoring: Collection[str], what: str, advice: str) -> None:
    __tracebackhide__ = True
    differences = expected.contents.differences(found.contents, ignoring)
    if shown := [*islice(differences, SHOWN)]:
        more = sum(1 for _ in differences)
        rest = [f"and {more:,} more"] if more else []
        raise AssertionError("\n  ".join([f"{what}:", *shown, *rest]) + f"\n{advice}")
