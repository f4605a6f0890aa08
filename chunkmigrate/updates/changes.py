"""Changes: an update with operators as the list of what it changes, in the order the server goes by.

What a change makes of a document is ``operators``' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cmp_to_key
from itertools import pairwise
from typing import TYPE_CHECKING

from chunkmigrate.updates.paths import Path, RefusedError, UnclearError, dotted
from chunkmigrate.updates.tree import (
    ARRAY,
    DOCUMENT,
    REFERENCE,
    STRING,
    Fields,
    Value,
    expanded,
    inside,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one operator, such as ``$inc`` of ``path`` by ``operand``.

    For ``$rename`` the path is the new one, and the operand the old one.
    """

    operator: str
    path: Path
    operand: Value

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path that is changed."""
        if self.operator == "$rename":
            return self.path, _split(str(self.operand.decoded()))
        return (self.path,)


def changes_of(operators: Value) -> list[Change]:
    """Return what an update changes.

    Raises `RefusedError` where the server refuses it whatever the document is, and `UnclearError` where it
    cannot be told what it means.
    """
    changes = sorted(_changes(operators), key=cmp_to_key(_in_order))
    # In order, a path is followed at once by those inside it.
    for one, other in pairwise(sorted(path for change in changes for path in change.paths)):
        if one == other[: len(one)]:
            raise RefusedError(f"{dotted(one)} and {dotted(other)} cannot be changed in one update")
    return changes


def plain(path: Path) -> Path:
    """Return a path up to its first name that is none: positional, or empty."""
    odd = (index for index, name in enumerate(path) if not name or name.startswith("$"))
    return path[: next(odd, len(path))]


def has_dollars(value: Value, allowed: frozenset[str] = REFERENCE) -> bool:
    """Whether the name of a field begins with a dollar: what becomes of those differs between servers.

    Those ``allowed`` are left out; further inside, those of a reference.
    """
    if value.type not in (DOCUMENT, ARRAY):
        return False
    return any(
        (name.startswith("$") and name not in allowed) or has_dollars(held) for name, held in inside(value)
    )


def _changes(operators: Value) -> Iterator[Change]:
    by_operator = expanded(operators)
    if not isinstance(by_operator, Fields):
        raise UnclearError("a field of it is there twice")
    for operator, operands in by_operator.named.items():
        by_path = expanded(operands)
        if not isinstance(by_path, Fields) or not by_path.named:
            raise UnclearError(f"servers differ on {operator} without fields")
        for path, operand in by_path.named.items():
            if isinstance(operand, Value):
                yield _change(operator, path, operand)


def _change(operator: str, path: str, operand: Value) -> Change:
    if operator != "$rename":
        return Change(operator, _split(path), operand)
    if operand.type != STRING:
        raise RefusedError("$rename takes the new name, a string")
    return Change(operator, _split(str(operand.decoded())), value_of(path))


def _split(path: str) -> Path:
    return tuple(path.split("."))


def _in_order(one: Change, other: Change) -> int:
    """Compare as the server does, which appends new fields in this order: 2 comes before 10."""
    for mine, theirs in zip(one.path, other.path, strict=False):
        if mine != theirs:
            if _is_number(mine) and _is_number(theirs):
                return int(mine) - int(theirs)
            return 1 if mine.encode() > theirs.encode() else -1
    return len(one.path) - len(other.path)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and (name == "0" or name[0] != "0")
