"""Rules of files: what every migration has, and what its name may not share."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.scopes import own
from chunkmigrate.linting.source import literal
from chunkmigrate.linting.values import value_of
from chunkmigrate.linting.writes import is_sending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from chunkmigrate.linting.scopes import Function
    from chunkmigrate.linting.source import Source

# A date alone is nobody's timestamp: several a day are in order.
_DATE_DIGITS = 8


def docstring(source: Source) -> Iterator[Finding]:
    """CM101: no docstring."""
    if not (ast.get_docstring(source.tree) or "").strip():
        what = "has no docstring; its first line is what `chunkmigrate status` shows"
        yield Finding(source.path, 1, "CM101", f"{what}: say there what changes.")


def way_back(source: Source) -> Iterator[Finding]:
    """CM102: neither a ``downgrade`` nor ``undo=True`` in every step."""
    upgrade, module = source.entry("upgrade"), source.module
    if upgrade is None or module.owner("downgrade") or module.starred or _is_undone(source, upgrade):
        return
    what = "has no way back: write downgrade(db), or say undo=True in each Backfill"
    yield Finding(source.path, upgrade.lineno, "CM102", f"{what}, and let upgrade do nothing beside them.")


def _is_undone(source: Source, upgrade: Function) -> bool:
    """Whether all that ``upgrade`` does can be undone, or what it does is not in this file."""
    if not source.steps:
        return _returns(upgrade)
    undone = all(
        step.is_open or ("undo" in step.options and literal(step.options["undo"], step.scope) is not False)
        for step in source.steps
    )
    return undone and not any(
        is_sending(node) for function in source.reachable(upgrade) for node in own(function)
    )


def _returns(function: Function) -> bool:
    return any(
        isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value)
        for node in own(function)
    ) or isinstance(function, ast.Lambda)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def entry(source: Source) -> Iterator[Finding]:
    """CM104: no ``upgrade(db)``, or one that cannot be called so."""
    upgrade, module = source.entry("upgrade"), source.module
    if upgrade is None:
        if "upgrade" not in module.bound and not module.starred:
            what = "has no upgrade(db), so it is no migration"
            yield Finding(source.path, 1, "CM104", f"{what}: write one, or move the file out of this folder.")
    elif isinstance(upgrade, ast.AsyncFunctionDef):
        what = "upgrade is a coroutine, which nobody awaits"
        yield Finding(source.path, upgrade.lineno, "CM104", f"{what}: write def upgrade(db).")
    elif not _takes_one(upgrade.args):
        what = "upgrade cannot be called as upgrade(db)"
        yield Finding(
            source.path, upgrade.lineno, "CM104", f"{what}: it gets the database, and nothing else."
        )


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    return (
        needed <= 1
        and (positional >= 1 or arguments.vararg is not None)
        and None not in arguments.kw_defaults
    )


def timestamp(source: Source, beside: Iterable[Path]) -> Iterator[Finding]:
    """CM103: a file beside it has the same timestamp."""
    own_stamp, known = _stamp(source.path), _dependencies(source)
    for other in beside:
        if own_stamp and _stamp(other) == own_stamp and other.stem not in known:
            what = f"has the timestamp of {other.name}, so the rest of their names decides which is first"
            yield Finding(
                source.path, 1, "CM103", f"{what}: give it one of its own, while nobody has run it."
            )
            return


def _stamp(path: Path) -> str:
    found = re.match(r"\d+(?![0-9A-Za-z])", path.stem.replace("_", "-"))
    return found[0] if found and len(found[0]) != _DATE_DIGITS else ""


def _dependencies(source: Source) -> set[str]:
    found = [source.module.once.get(name) for name in ("dependencies", "depends_on")]
    values = [value_of(node, source.module) for node in found if node is not None]
    return {item for value in values if isinstance(value, list) for item in value if isinstance(item, str)}
