"""Migration: a file with ``upgrade(db)``; made, found, and loaded when its turn comes.

Finding and ordering read the files' text and import nothing, so one broken module cannot stop the others.
Which files are migrations is ``folder``'s to know, their order ``order``'s, and whether one was applied the
ledger's.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate import folder as folder_
from chunkmigrate.backfill import Backfill
from chunkmigrate.checksum import checksum_of, parsed
from chunkmigrate.errors import (
    ChunkmigrateError,
    InvalidModuleError,
    InvalidSettingError,
    UnknownMigrationError,
)
from chunkmigrate.order import ordered
from chunkmigrate.plain import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from pymongo.database import Database

# What `chunkmigrate new` puts before a name.
_TIMESTAMP = re.compile(r"\d{8,14}_")

EXAMPLE = '''"""Say here what changes, in one sentence."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.orders, {"cents": {"$exists": False}}, fields=["price"]), to_cents)


def downgrade(db):
    return Backfill(scan(db.orders, {"cents": {"$exists": True}}, fields=[]), drop_cents)


def to_cents(order):
    return UpdateOne({"_id": order["_id"]}, {"$set": {"cents": round(order["price"] * 100)}})


def drop_cents(order):
    return UpdateOne({"_id": order["_id"]}, {"$unset": {"cents": ""}})
'''


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """A file in the migrations folder. ``name`` is the file's, without ``.py``.

    ``memory`` is what the file itself says its pod needs, where it does. ``follows`` is the one before it in
    its folder. ``function`` is the one of the file that is called: ``downgrade`` to roll back; ``upgrade`` is
    called instead where it is given.
    """

    name: str
    path: Path
    description: str
    checksum: str
    dependencies: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    memory: str = ""
    follows: str = ""
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
        tree = parsed(source)
        checksum = checksum_of(source, tree)
        tree = tree or ast.Module([], [])  # loading it says what is wrong; listing it must still work
        declared = _declared(path, tree)
        return cls(
            name=path.stem,
            path=path,
            description=(ast.get_docstring(tree) or "").partition("\n")[0],
            checksum=checksum,
            dependencies=_dependencies(path, declared),
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
            message = f"{self.path} cannot be imported: {type(error).__name__}: {error}."
            message += " Correct it, or install what it imports."
            raise InvalidModuleError(message) from error
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
    found = [Migration.read(path) for path in folder_.files(folder)]
    folder_.check_aliases(found)
    there = ordered(found)
    before = ["", *(one.name for one in there)]
    return [replace(one, follows=name) for one, name in zip(there, before, strict=False)]


def untimed(name: str) -> str:
    """Return a migration's name without the timestamp it begins with, where it does."""
    return _TIMESTAMP.sub("", name, count=1)


def find(migrations: Sequence[Migration], name: str) -> Migration:
    """Return the one called ``name``, with or without its timestamp, or the only one that contains it."""
    wanted = name.removesuffix(".py").rpartition("/")[2]
    exact = [m for m in migrations if wanted in (m.name, *m.aliases)]
    named = exact or [m for m in migrations if untimed(m.name) == wanted]
    matching = named or [m for m in migrations if wanted and wanted in m.name]
    if len(matching) == 1:
        return matching[0]
    if matching:
        message = f"{name} could be {_listed(matching)}; write more of its name."
    else:
        message = f"There is no migration {name}. There is {_listed(migrations)}."
    raise UnknownMigrationError(message)


def _listed(migrations: Sequence[Migration]) -> str:
    return listed([migration.name for migration in migrations]) or "none in this folder"


# What a migration depends on; the second is what pymongo-migrate's modules call it.
_DEPENDS = ("depends_on", "dependencies")


def _declared(path: Path, tree: ast.Module) -> dict[str, Any]:
    """Return the module's plain assignments that matter here."""
    found: dict[str, Any] = {}
    for node in tree.body:
        for name in _assigned(node):
            try:
                found[name] = _literal(node)
            except (ValueError, TypeError) as error:
                if name in _DEPENDS:
                    raise _unreadable(path, name) from error
    return found


def _assigned(node: ast.stmt) -> list[str]:
    """Return which of the names that matter a statement assigns."""
    targets: list[Any] = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    named = [one.id for one in targets if isinstance(one, ast.Name)]
    return [name for name in named if name in ("name", "memory", *_DEPENDS)]


def _literal(node: ast.stmt) -> Any:
    """Return what a plain assignment assigns; `ValueError` where it is not written out, or is added to."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        raise ValueError
    return ast.literal_eval(node.value)


def _dependencies(path: Path, declared: Mapping[str, Any]) -> tuple[str, ...]:
    found = dict[str, None]()
    for word in _DEPENDS:
        names = declared.get(word) or ()
        if not isinstance(names, list | tuple | set) or not all(isinstance(name, str) for name in names):
            raise _unreadable(path, word)
        found |= dict.fromkeys(names)
    return tuple(found)


def _unreadable(path: Path, word: str) -> InvalidModuleError:
    return InvalidModuleError(
        f"{path} has {word} that cannot be read without running the file. Write the names of migrations out: "
        f'{word} = ["20260105090000_order_prices_in_cents"].'
    )


def _wrong(migration: Migration, what: str) -> InvalidModuleError:
    return InvalidModuleError(f"{migration.path} {what}. A migration looks like this:\n\n{EXAMPLE}")
