"""Changed: which files git knows to have changed since a revision, or does not know at all."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from chunkmigrate.errors import InvalidSettingError

if TYPE_CHECKING:
    from pathlib import Path


def changed(folder: Path, revision: str) -> set[Path]:
    """Return the files in ``folder`` that differ from ``revision`` or are new, resolved; none that is gone.

    Raises `InvalidSettingError` where there is no git, no repository, or no such revision.
    """
    # A revision may not be taken for an option.
    commit = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    ).strip()
    if not commit:
        message = f"--since {revision}: git knows no such revision of {folder.resolve()}."
        raise InvalidSettingError(message)
    differing = _git(folder, "diff", "--name-only", "--relative", "--diff-filter=d", "-z", commit, "--", ".")
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    return {(folder / name).resolve() for name in (differing + new).split("\0") if name}


def _git(folder: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        message = "--since asks git what has changed, and there is no git on PATH."
        raise InvalidSettingError(message)
    done = subprocess.run([git, *arguments], cwd=folder, capture_output=True, check=False)
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode and (said or arguments[0] != "rev-parse"):
        message = f"--since asks git what has changed in {folder.resolve()}: {said or 'it failed'}"
        raise InvalidSettingError(message)
    return done.stdout.decode("utf-8", "surrogateescape")
