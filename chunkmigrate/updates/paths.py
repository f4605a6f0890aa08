"""Paths: what lies at ``a.b.3`` of a tree, put there and taken away, as MongoDB's updates walk it.

Knows nothing of update operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from chunkmigrate.updates.tree import NULL, Fields, Items, Mark, Node, expanded

if TYPE_CHECKING:
    from collections.abc import Sequence

Path: TypeAlias = "tuple[str, ...]"

# Behind its end the server fills an array with nulls, up to 1,500,000 of them.
MOST_NULLS = 1_000


class RefusedError(Exception):
    """The server refuses the write."""


class UnclearError(Exception):
    """What the server would do cannot be told from here."""


class BlockedError(RefusedError):
    """On the way there is a value that has nothing inside."""


def find(node: Node, path: Path) -> Node:
    """Return what lies at ``path``, or the mark of what does not; `BlockedError` where nothing ever can."""
    for index, name in enumerate(path):
        inside = expanded(node)
        if isinstance(inside, Fields):
            node = inside[name]
        elif isinstance(inside, Items):
            place = _place(inside, name, path[:index])
            node = inside.nodes[place] if place < len(inside.nodes) else Mark.MISSING
        elif inside in (Mark.MISSING, Mark.UNKNOWN):
            return inside
        else:
            raise _blocked(name, path[:index])
    return node


def put(node: Node, path: Path, new: Node, *, at: int = 0) -> Node:
    """Return the tree with ``new`` at ``path``; what is missing on the way is created, as documents.

    Where the way itself is not known, neither is what comes of it.
    """
    if at == len(path):
        return new
    inside, name = expanded(node), path[at]
    if inside is Mark.MISSING:
        inside = Fields({})
    if isinstance(inside, Fields):
        return inside.with_field(name, put(inside[name], path, new, at=at + 1))
    if isinstance(inside, Items):
        place = _place(inside, name, path[:at])
        nodes = [*inside.nodes, *[NULL] * (place - len(inside.nodes))]
        before = nodes[place] if place < len(nodes) else Mark.MISSING
        nodes[place : place + 1] = [put(before, path, new, at=at + 1)]
        return Items(tuple(nodes))
    if inside is Mark.UNKNOWN:
        return inside
    raise _blocked(name, path[:at])


def remove(node: Node, path: Path) -> Node:
    """Return the tree without what is at ``path``; in an array null stays in its place."""
    *parents, name = path
    inside = expanded(find(node, tuple(parents)))
    if isinstance(inside, Fields):
        return put(node, tuple(parents), inside.with_field(name, Mark.MISSING))
    if isinstance(inside, Items) and find(inside, (name,)) is not Mark.MISSING:
        return put(node, path, NULL)
    return node


def obscured(node: Node, path: Path) -> Node:
    """Return the tree where nothing is known of what is at ``path``, nor of what would be created for it."""
    inside = expanded(node)
    if path and isinstance(inside, Fields):
        return inside.with_field(path[0], obscured(inside[path[0]], path[1:]))
    if path and isinstance(inside, Items) and path[0] in map(str, range(len(inside.nodes))):
        return put(inside, path[:1], obscured(find(inside, path[:1]), path[1:]))
    return Mark.UNKNOWN


def crosses_array(node: Node, path: Path) -> bool:
    """Whether an array lies on the way to ``path``."""
    for name in path:
        inside = expanded(node)
        if isinstance(inside, Items):
            return True
        node = inside[name] if isinstance(inside, Fields) else Mark.MISSING
    return False


def dotted(path: Sequence[str]) -> str:
    """Return a path as MongoDB spells it."""
    return ".".join(path)


def _place(array: Items, name: str, path: Path) -> int:
    """Return which item of an array is meant by ``name``."""
    if not (name.isascii() and name.isdigit()):
        raise _blocked(name, path)
    if name != "0" and name.startswith("0"):
        raise UnclearError(f"servers differ on which item of {dotted(path)} {name} is")
    place = int(name[:9])
    if place > len(array.nodes) + MOST_NULLS or len(name) > 9:
        raise UnclearError(f"{dotted(path)} has {len(array.nodes):,} items, far fewer than {name}")
    return place


def _blocked(name: str, path: Path) -> BlockedError:
    return BlockedError(f"there is no {name} inside {dotted(path)}, which is not a document")
