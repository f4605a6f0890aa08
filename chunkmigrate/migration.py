"""Migration: a file with ``upgrade(db)``; made, found, ordered, and loaded when its turn comes.

Finding and ordering read the files' text and import nothing, so one broken module cannot stop the others.
Whether a migration was applied is the ledger's to know.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate.backfill import Backfill
from chunkmigrate.errors import (
    ChunkmigrateError,
    InvalidModuleError,
    InvalidSettingError,
    UnknownMigrationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import ModuleType

    from pymongo.database import Database

EXAMPLE = '''"""Say here what changes, in one sentence."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.orders, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def to_cents(order):
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})
'''


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """A file in the migrations folder. ``name`` is the file's, without ``.py``.

    ``memory`` is what the file itself says its pod needs, where it does. ``function`` is the one of the file
    that is called: ``downgrade`` to roll back; ``upgrade`` is called instead where it is given.
    """

    name: str
    path: Path
    description: str
    checksum: str
    dependencies: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    memory: str = ""
    function: str = "upgrade"
    upgrade: Callable[[Database[Any]], Any] | None = None

    @classmethod
    def read(cls, path: Path) -> Migration:
        """Read a file's docstring, declarations and checksum, without running it."""
        try:
            source = path.read_bytes().replace(b"\r\n", b"\n")
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}."
            raise InvalidModuleError(message) from error
        try:
            tree = ast.parse(source, filename=str(path))
        except (SyntaxError, ValueError):
            tree = ast.Module([], [])  # loading it says what is wrong; listing it must still work
        declared = _literals(tree)
        return cls(
            name=path.stem,
            path=path,
            description=(ast.get_docstring(tree) or "").partition("\n")[0],
            checksum=f"sha256:{hashlib.sha256(source).hexdigest()}",
            dependencies=tuple(map(str, declared.get("dependencies") or ())),
            aliases=(str(declared["name"]),) if declared.get("name") else (),
            memory=str(declared.get("memory") or ""),
        )

    def module(self) -> ModuleType:
        """Import the file, anew each time; `InvalidModuleError` where that fails."""
        # Migrations import the project they belong to, which lies beside their folder.
        beside = str(self.path.resolve().parent.parent)
        if beside not in sys.path:
            sys.path.insert(0, beside)
        spec = importlib.util.spec_from_file_location(f"chunkmigrate_migration_{self.name}", self.path)
        if spec is None or spec.loader is None:
            raise _wrong(self, "cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # a dataclass in it looks its own module up
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            raise _wrong(self, f"cannot be imported: {type(error).__name__}: {error}{where}") from error
        return module

    def load(self) -> Callable[[Database[Any]], Any]:
        """Import the file and return its ``upgrade``; `InvalidModuleError` where it has none."""
        name = self.function
        upgrade = self.upgrade or getattr(self.module(), name, None)
        if not callable(upgrade):
            raise _wrong(self, f"has no function {name}(db)")
        try:
            inspect.signature(upgrade).bind(None)
        except TypeError as error:
            message = f"has {name}{inspect.signature(upgrade)}, which cannot be called as {name}(db)"
            raise _wrong(self, message) from error
        except ValueError:
            pass  # a builtin has no signature to look at
        return upgrade

    def steps(self, database: Database[Any]) -> list[Backfill]:
        """Call ``upgrade(db)`` and return what is to be done: none where it acted by itself."""
        upgrade = self.load()
        try:
            answer = upgrade(database)
        except (ChunkmigrateError, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as error:
            what = f"{self.function}(db) of {self.name} raised {type(error).__name__}"
            raise ChunkmigrateError(f"{what}: {error}", discreet=f"{what}.") from error
        if answer is None:
            return []
        steps = answer if isinstance(answer, list | tuple) else [answer]
        for step in steps:
            if not isinstance(step, Backfill):
                what = (
                    f"a {type(answer).__name__}" if step is answer else f"a list with a {type(step).__name__}"
                )
                where = f"returned {what} from {self.function}(db)"
                raise _wrong(self, f"{where}; return a Backfill, a list of them, or None")
        return list(steps)


def create(folder: Path, name: str) -> Path:
    """Write a migration that runs as it stands, called by its time and ``name``; return its path."""
    slug = "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
    if not slug:
        message = f"{name!r} has no letter or digit to make a file name of."
        raise InvalidSettingError(message)
    path = folder / f"{datetime.now(UTC):%Y%m%d%H%M%S}_{slug}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(EXAMPLE, "utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise InvalidSettingError(message) from error
    return path


def discover(folder: Path) -> list[Migration]:
    """Return the migrations of a folder in the order they are applied: by name, dependencies first."""
    if not folder.is_dir():
        message = (
            f"There is no folder {folder} with migrations. "
            "Make one with `chunkmigrate new NAME`, or name it with --dir."
        )
        raise InvalidSettingError(message)
    found = [
        Migration.read(path)
        for path in sorted(folder.glob("*.py"))
        if path.is_file() and not path.name.startswith("_")
    ]
    return _ordered(found)


def find(migrations: Sequence[Migration], name: str) -> Migration:
    """Return the migration called ``name``, or the only one whose name contains it."""
    wanted = name.removesuffix(".py").rpartition("/")[2]
    exact = [m for m in migrations if wanted in (m.name, *m.aliases)]
    matching = exact or [m for m in migrations if wanted and wanted in m.name]
    if len(matching) == 1:
        return matching[0]
    if matching:
        message = f"{name} could be {_listed(matching)}; write more of its name."
    else:
        message = f"There is no migration {name}. There is {_listed(migrations)}."
    raise UnknownMigrationError(message)


def _listed(migrations: Sequence[Migration]) -> str:
    names = [migration.name for migration in migrations]
    shown = ", ".join(names[:8])
    return (
        (shown + (f" and {len(names) - 8} more" if len(names) > 8 else ""))
        if names
        else "none in this folder"
    )


def _literals(tree: ast.Module) -> dict[str, Any]:
    """Return the module's plain assignments that matter here: pymongo-migrate's, and ``memory``."""
    found: dict[str, Any] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id in ("name", "dependencies", "memory"):
            try:
                found[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            except ValueError:
                continue
    return found


def _ordered(found: Sequence[Migration]) -> list[Migration]:
    waiting, placed = list(found), list[Migration]()
    known = {name for migration in found for name in (migration.name, *migration.aliases)}
    while waiting:
        done = {name for migration in placed for name in (migration.name, *migration.aliases)}
        following = next((m for m in waiting if done.issuperset(m.dependencies)), None)
        if following is None:
            raise _unplaceable(waiting, known)
        waiting.remove(following)
        placed.append(following)
    return placed


def _unplaceable(waiting: Sequence[Migration], known: set[str]) -> InvalidModuleError:
    for migration in waiting:
        for dependency in migration.dependencies:
            if dependency not in known:
                return InvalidModuleError(
                    f"{migration.path} depends on {dependency}, which is not in its folder."
                )
    return InvalidModuleError(f"{_listed(waiting)} depend on each other in a circle.")


def _wrong(migration: Migration, what: str) -> InvalidModuleError:
    return InvalidModuleError(f"{migration.path} {what}. A migration looks like this:\n\n{EXAMPLE}")
