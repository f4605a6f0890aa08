"""Checksum: what a migration's file means, as a text that two versions of it can be compared by.

Comments, formatting and docstrings do not count, nor which Python reads the file: the tree is written down
here and not by ``ast.dump``, whose output changes between versions. What follows from a difference is
``standing``'s and ``selection``'s business.
"""

from __future__ import annotations

import ast
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A checksum that begins otherwise was made in another way, and says nothing beside one of these.
SCHEME = "meaning1:"

# What does not change what a file does: where a name is loaded or stored follows from where it stands, and
# the ``u`` of an old text means nothing any more.
_SAYS_NOTHING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def parsed(source: bytes) -> ast.Module | None:
    """Return the tree of a file; None where Python cannot read it."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def checksum_of(source: bytes, tree: ast.Module | None) -> str:
    """Return the checksum of a file; of its bytes where it has no ``tree``: then nobody knows its meaning.

    >>> one, same, other = b"x = 1  # one", b"x=(1)", b"x = 2"
    >>> checksum_of(one, parsed(one)) == checksum_of(same, parsed(same)) != checksum_of(other, parsed(other))
    True
    """
    digest = hashlib.sha256()
    for part in (b"bytes:", source) if tree is None else _parts(tree):
        digest.update(part)
    return SCHEME + digest.hexdigest()


def comparable(recorded: Any) -> bool:
    """Whether a checksum on record is of this scheme."""
    return isinstance(recorded, str) and recorded.startswith(SCHEME)


def differs(recorded: Any, current: str) -> bool:
    """Whether a file means something else than what is on record; not known is no."""
    return comparable(recorded) and comparable(current) and recorded != current


def _parts(tree: ast.Module) -> Iterator[bytes]:
    """Yield the tree, outermost first; each part says how many follow, so that no two trees read the same.

    Not by recursion: a sum of a thousand terms is a tree a thousand deep.
    """
    waiting: list[Any] = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.AST):
            fields = [*_fields(one)]
            yield b"%s %d;" % (type(one).__name__.encode(), len(fields))
            waiting += [part for name, value in reversed(fields) for part in (value, name)]
        elif isinstance(one, list):
            yield b"list %d;" % len(one)
            waiting += reversed(one)
        else:
            yield _leaf(one)


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yield what a node says. What is empty is left out: later versions of Python have more fields."""
    for name in sorted({*node._fields} - _SAYS_NOTHING):
        value = getattr(node, name, None)
        kept = _kept(node, value) if isinstance(value, list) else value
        if isinstance(node, ast.Constant) or (kept is not None and kept != []):
            yield name, kept


def _kept(node: ast.AST, values: list[Any]) -> list[Any]:
    if isinstance(node, ast.JoinedStr):
        return [*_joined(values)]
    return [value for value in values if not _does_nothing(value)]


def _does_nothing(value: Any) -> bool:
    """Whether it is a statement without effect: ``pass``, a docstring, or a text in place of a comment."""
    return isinstance(value, ast.Pass) or (
        isinstance(value, ast.Expr) and isinstance(value.value, ast.Constant)
    )


def _joined(values: list[Any]) -> Iterator[Any]:
    """Yield the parts of an f-string, neighbouring texts as one: versions cut them in different places."""
    text = ""
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
            continue
        if text:
            yield text
        text = ""
        yield value
    if text:
        yield text


def _leaf(value: Any) -> bytes:
    """Return a constant or a name: its type, its length and itself, which no version writes otherwise."""
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        content = value
    elif isinstance(value, int):  # also True and False, which their type tells apart; ``repr`` has a limit
        content = b"%x" % value
    else:
        content = repr(value).encode()
    return b"%s %d:%s;" % (type(value).__name__.encode(), len(content), content)
