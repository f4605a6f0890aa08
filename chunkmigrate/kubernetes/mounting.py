"""Mounting: a migration's module as a ConfigMap, for an image that comes without it.

The module goes, with what it depends on (a run refuses a folder in which that is missing) and what `tune`
settled for it. What it imports has to be in the image.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from chunkmigrate import server, tuned
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import names, rules
from chunkmigrate.units import KI, MI, format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from chunkmigrate.migration import Migration

FOLDER = "/migrations"
MOST_BYTES = MI

# `kubectl apply` keeps what it was given in an annotation, and there is room for a quarter of that.
MOST_APPLIED = 200 * KI


def files(migration: Migration, found: Sequence[Migration]) -> dict[str, str]:
    """Return the text of each file that goes, by its name; `InvalidSettingError` where one cannot."""
    paths = sorted(one.path for one in _needed(migration, found))
    if tuned.path_of(migration).exists():
        paths.append(tuned.path_of(migration))
    texts = {_key(path): _text(path) for path in paths}
    size = sum(len(name) + len(text.encode()) for name, text in texts.items())
    if size > MOST_BYTES:
        raise InvalidSettingError(
            f"{migration.name} cannot be mounted: its files are {format_bytes(size)}, and a ConfigMap may "
            f"hold {format_bytes(MOST_BYTES)}. Put it into the image, and leave --mount out."
        )
    return texts


def name_of(job: str, texts: Mapping[str, str]) -> str:
    """Return the ConfigMap's name. It changes with the files: a pod never finds other ones than its Job's."""
    return f"{job}-{names.digest(*(part for item in sorted(texts.items()) for part in item))}"


def warnings(migration: Migration, texts: Mapping[str, str]) -> list[str]:
    """Return what somebody who mounts these files should know."""
    said = []
    if beside := sorted(_imports(texts) & _beside(migration)):
        said.append(
            f"--mount takes {migration.name} along, and not what it imports from beside its folder "
            f"({', '.join(beside)}): that has to be installed in the image"
        )
    if sum(map(len, texts.values())) > MOST_APPLIED:
        said.append(
            "the ConfigMap is too large for a plain `kubectl apply`: use `kubectl apply --server-side`"
        )
    return said


def _needed(migration: Migration, found: Sequence[Migration]) -> list[Migration]:
    """Return the migration and what it depends on, however far away."""
    by_name = {name: one for one in found for name in (one.name, *one.aliases)}
    needed, waiting = dict[str, "Migration"](), [migration]
    while waiting:
        one = waiting.pop()
        if one.name not in needed:
            needed[one.name] = one
            waiting += [by_name[name] for name in one.dependencies]
    return list(needed.values())


def _key(path: Path) -> str:
    try:
        rules.data_key(path.name)
    except InvalidSettingError as error:
        message = f"{path} cannot be mounted: {error}. Rename it, or put it into the image."
        raise InvalidSettingError(message) from error
    return path.name


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise InvalidSettingError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidSettingError(
            f"{path} cannot be mounted: it is not UTF-8. Put it into the image."
        ) from error
    if server.redacted(text) != text or rules.has_secret(text):
        raise InvalidSettingError(
            f"{path} cannot be mounted: it holds an address with a password, a token or a key, and many may "
            "read a ConfigMap. Take it out, and have the pod find it in a Secret: --env-from-secret "
            "NAME=SECRET/KEY."
        )
    return text


def _imports(texts: Mapping[str, str]) -> set[str]:
    """Return the first names of what the modules import."""
    found: set[str] = set()
    for name, text in texts.items():
        if name.endswith(".py") and re.search(r"^\s*(?:import|from)\s", text, re.MULTILINE):
            try:
                nodes = list(ast.walk(ast.parse(text)))
            except (SyntaxError, ValueError):
                continue  # the run says what is wrong with it
            found |= {
                alias.name.partition(".")[0] for n in nodes if isinstance(n, ast.Import) for alias in n.names
            }
            found |= {str(n.module).partition(".")[0] for n in nodes if isinstance(n, ast.ImportFrom)}
    return found


def _beside(migration: Migration) -> set[str]:
    """Return what can be imported from the folder of the migrations' folder, as a run on this machine can."""
    folder = migration.path.resolve().parent.parent
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    return (modules | packages) - {"chunkmigrate"}
