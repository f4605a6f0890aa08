"""Verification: whether a migration's own ``verify(db)`` finds the data as they should be, and what it says.

It is called with a client that can only read, in a run as well as alone, and its answer is put on record with
the run and with the migration. When it is asked is ``runner``'s and ``verifying``'s business.
"""

from __future__ import annotations

import ast
import inspect
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import readonly, server
from chunkmigrate.errors import (
    ChunkmigrateError,
    InvalidModuleError,
    VerificationError,
    VerificationWritesError,
)
from chunkmigrate.ledger import MIGRATIONS, RUNS
from chunkmigrate.retry import is_passing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from chunkmigrate.migration import Migration

# A probe gives up after a minute; counting a large collection may take longer.
ALIVE_SECONDS = 5.0

EXAMPLE = """def verify(db):
    left = db.orders.count_documents({"cents": {"$exists": False}})
    return True if left == 0 else f"{left} orders have no cents"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What a verification found, in how many ``seconds``.

    ``sentence`` says what is wrong, ``discreet`` the same without what an exception may quote; both are empty
    where it passed. ``cause`` is that exception.
    """

    passed: bool
    seconds: float
    sentence: str = ""
    discreet: str = ""
    cause: Exception | None = None

    def document(self) -> dict[str, Any]:
        """Return what is stored."""
        facts = {"passed": self.passed, "sentence": self.sentence, "seconds": round(self.seconds, 3)}
        return facts | {"at": datetime.now(UTC)}


def has_one(migration: Migration) -> bool:
    """Whether the migration's file has a ``verify``, without running it."""
    try:
        tree = ast.parse(migration.path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False  # loading it says what is wrong
    return any("verify" in _bound(node) for node in tree.body)


def concluded(migration: Migration, database: Database[Any], run: Any, alive: Callable[[], Any]) -> None:
    """Verify what ``run`` has done, where the migration has a verification; put on record what came of it.

    ``alive`` is called every few seconds meanwhile: whoever watches a run takes silence for a hang. Raises
    `VerificationError` where it fails, and what `ask` raises.
    """
    if not has_one(migration):
        return
    with _heard(alive):
        found = ask(migration, database)
    record(database, migration.name, found, run)
    if not found.passed:
        raise failure(migration.name, found)


def ask(migration: Migration, database: Database[Any]) -> Verified:
    """Call ``verify(db)`` and return what it found.

    Raises `InvalidModuleError` for an answer that is none, `VerificationWritesError` where it would write,
    and the driver's errors where the server could not be asked.
    """
    verify, began = _loaded(migration), time.monotonic()
    try:
        with readonly.reading(database) as reader:
            answer = verify(reader)
    except readonly.Refused as error:
        raise VerificationWritesError(migration.name, error.command) from error
    except (ChunkmigrateError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        if is_passing(error):
            raise
        return _raised(error, time.monotonic() - began)
    return _read(migration, answer, time.monotonic() - began)


def _loaded(migration: Migration) -> Callable[[Database[Any]], Any]:
    verify: Callable[[Database[Any]], Any] | None = getattr(migration.module(), "verify", None)
    if not callable(verify):
        raise InvalidModuleError(f"{migration.path} has no function verify(db), such as:\n\n{EXAMPLE}")
    try:
        inspect.signature(verify).bind(None)
    except TypeError as error:
        what = f"has verify{inspect.signature(verify)}, which cannot be called as verify(db)"
        raise InvalidModuleError(f"{migration.path} {what}. It looks like this:\n\n{EXAMPLE}") from error
    return verify


def record(database: Database[Any], migration: str, found: Verified, run: Any = None) -> None:
    """Put on record with the migration, and with ``run`` where one asked, what was found."""
    change = {"$set": {"verification": found.document()}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        if run is not None:
            database[RUNS].update_one({"_id": run}, change)
        # The entry of a run that was overtaken is another's.
        ours = {"_id": migration} | ({} if run is None else {"run": run})
        database[MIGRATIONS].update_one(ours, change)


def failure(name: str, found: Verified) -> VerificationError:
    """Return the error of a run whose verification failed."""
    message, discreet = (
        f"The verification of {name} failed: {what} Its changes are committed, and it is not recorded as "
        f"applied. Correct the data or its verify(db) and look again with `chunkmigrate verify {name}`; then "
        f"`chunkmigrate run {name}` verifies once more, without repeating a step that is finished."
        for what in (found.sentence, found.discreet)
    )
    error = VerificationError(message, discreet=discreet)
    error.__cause__ = found.cause
    return error


@contextmanager
def _heard(alive: Callable[[], Any]) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(ALIVE_SECONDS):
            alive()

    thread = threading.Thread(target=tell, name="verification", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _read(migration: Migration, answer: Any, seconds: float) -> Verified:
    if answer is True:
        return Verified(passed=True, seconds=seconds)
    if answer is False:
        return _failed("verify(db) returned False.", seconds)
    if isinstance(answer, str) and answer.strip():
        sentence = " ".join(answer.split())
        return _failed(sentence if sentence[-1] in ".!?" else f"{sentence}.", seconds)
    what = "an empty text" if isinstance(answer, str) else f"a {type(answer).__name__}"
    raise InvalidModuleError(
        f"{migration.path} returned {what} from verify(db); return True, or a sentence that says what is "
        f"wrong (or False), such as:\n\n{EXAMPLE}"
    )


def _failed(sentence: str, seconds: float) -> Verified:
    return Verified(passed=False, seconds=seconds, sentence=sentence, discreet=sentence)


def _raised(error: BaseException, seconds: float) -> Verified:
    discreet, said = f"verify(db) raised {type(error).__name__}", f": {error}" if str(error) else ""
    return Verified(
        passed=False,
        seconds=seconds,
        sentence=f"{discreet}{said}.",
        discreet=f"{discreet}.",
        cause=error if isinstance(error, Exception) else None,
    )


def _bound(node: ast.stmt) -> set[str]:
    """Return the names a statement of a module binds."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name for alias in node.names}
        case ast.Assign():
            return {target.id for target in node.targets if isinstance(target, ast.Name)}
        case _:
            return set()
