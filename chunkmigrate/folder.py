"""Folder: what lies in a folder of migrations: which files are some, which are refused, which are told of.

None that could be meant as a migration is passed over in silence. What is in a file is ``migration``'s
business.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from chunkmigrate.disorder import SameNameError
from chunkmigrate.errors import InvalidModuleError, InvalidSettingError
from chunkmigrate.plain import in_line, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from chunkmigrate.migration import Migration

# What tells a migration from a helper, a test or a package's __init__, without running it.
_UPGRADE = re.compile(rb"^(async[ \t]+)?def[ \t]+upgrade\b|^upgrade[ \t]*=", re.MULTILINE)

# Folders of Python's and of tests, where nobody looks for a migration.
_NOBODYS = frozenset({"tests", "__pycache__"})
_TESTS = re.compile(r"conftest|test_.*|.*_test")


def files(folder: Path) -> list[Path]:
    """Return the files of a folder that are migrations, by name.

    Raises `InvalidSettingError` where there is no folder, `InvalidModuleError` for what can only be meant as
    a migration and is none that could be run.
    """
    try:
        return _files(sorted(folder.iterdir()))
    except (FileNotFoundError, NotADirectoryError) as error:
        message = (
            f"There is no folder {folder} with migrations. "
            "Make one with `chunkmigrate new NAME`, or name it with --dir."
        )
        raise InvalidSettingError(message) from error
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror}."
        raise InvalidSettingError(message) from error


def is_migration(path: Path) -> bool:
    """Whether a file is a migration, by its name; of a test's, by what is in it."""
    if path.suffix != ".py" or _is_nobodys(path.name) or not path.is_file():
        return False
    return not _TESTS.fullmatch(path.stem) or _defines_upgrade(path)


def leftovers(folder: Path) -> str:
    """Return a sentence about files that look like migrations and are not run, where there are some."""
    names = [path.name for path in sorted(folder.iterdir()) if _is_leftover(path)]
    if not names:
        return ""
    return (
        f"{folder} has files that look like migrations and are not run: {listed(names)}. "
        "A migration is called NAME.py. Rename them, or move them away."
    )


def check_aliases(found: Sequence[Migration]) -> None:
    """Raise `SameNameError` where two migrations can be called by one name."""
    _check_names((name, one.path) for one in found for name in {one.name, *one.aliases})


def _files(there: Sequence[Path]) -> list[Path]:
    for path in there:
        _check(path)
    found = [path for path in there if is_migration(path)]
    packages = [path for path in there if (path / "__init__.py").exists()]
    _check_names([*((path.stem, path) for path in found), *((path.name, path) for path in packages)])
    for path in there:
        if path.is_dir() and not _is_nobodys(path.name):
            _check_inside(path)
    return found


def _check(path: Path) -> None:
    """Refuse what is called like a migration and cannot be one."""
    if path.suffix.lower() != ".py" or _is_nobodys(path.name):
        return
    if path.is_dir():
        raise _refused(path, "is a folder", "A migration is a file; rename the folder")
    if path.is_symlink() and not path.exists():
        raise _refused(path, "is a link to a file that is not there", "Restore that file, or remove the link")
    if not path.is_file():
        raise _refused(path, "is no regular file", "A migration is one; move this away")
    if path.suffix != ".py":
        raise _refused(path, "does not end in .py", f"Rename it to {in_line(path.stem)}.py")
    if not _is_valid(path.stem):
        raise _refused(path, "has a name no migration can have", "Use letters, digits, _ and - alone")


def _check_inside(folder: Path) -> None:
    """Refuse a migration in a folder of its own: it would never be run."""
    for path in sorted(folder.rglob("*.[pP][yY]")):
        nobodys = any(map(_is_nobodys, path.relative_to(folder).parts[:-1])) or _TESTS.fullmatch(path.stem)
        if not nobodys and _defines_upgrade(path):
            where = in_line(str(folder.parent))
            raise _refused(path, "is a migration in a folder of its own", f"Move it into {where}")


def _is_nobodys(name: str) -> bool:
    return name.startswith((".", "_")) or name in _NOBODYS


def _is_leftover(path: Path) -> bool:
    """Whether a file looks like a migration and is none: by its name, or by what is in it."""
    if path.is_dir() or is_migration(path):
        return False
    if path.suffix.lower() == ".py":
        return _defines_upgrade(path)
    return path.name[0] != "." and any(suffix.lower().startswith(".py") for suffix in path.suffixes)


def _is_valid(name: str) -> bool:
    return all(one.isalnum() or one in "_-" for one in unicodedata.normalize("NFC", name))


def _check_names(named: Iterable[tuple[str, Path]]) -> None:
    """Raise `SameNameError` for two files of one name; not every machine tells upper from lower case."""
    seen = dict[str, "Path"]()
    for name, path in named:
        before = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), path)
        if before != path:
            raise SameNameError(in_line(name), in_line(str(before)), in_line(str(path)))


def _defines_upgrade(path: Path) -> bool:
    try:
        return _UPGRADE.search(path.read_bytes()) is not None
    except OSError:
        return False


def _refused(path: Path, what: str, instead: str) -> InvalidModuleError:
    return InvalidModuleError(f"{in_line(str(path))} {what}. {instead}.")
