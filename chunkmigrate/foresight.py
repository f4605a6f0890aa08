"""Foresight: what the writes of one document would do to it, found out without a server.

Writes are taken as they would be sent. Where it cannot be told what one does to the document it came from, it
is kept apart, with the reason, and so are those behind it. What an update makes of a document is
``operators``' business, how it is shown ``differences``'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkmigrate.updates import operators, tree
from chunkmigrate.updates.changes import has_dollars
from chunkmigrate.updates.paths import RefusedError, UnclearError
from chunkmigrate.updates.selecting import ElsewhereError, check_id, selects
from chunkmigrate.updates.tree import DOCUMENT, Fields, Mark, Node, Value, expanded, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chunkmigrate.updates.operators import Unclear

# In a whole document the server sets these to the time of writing.
_EMPTY_TIMESTAMP = Value(0x11, bytes(8))

_BEHIND = "it comes behind a write that is not foreseen"


@dataclass(frozen=True, slots=True)
class Statement:
    """One write as it would be sent: ``kind`` is update, insert or delete, ``encoded`` its BSON."""

    namespace: str
    kind: str
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """How a document was read: from which collection, and which fields of it.

    ``collated`` says that the collection compares strings by a collation of its own.
    """

    namespace: str
    fields: tuple[str, ...] | None = None
    collated: bool = False


@dataclass(frozen=True, slots=True)
class Apart:
    """A write that is shown as it is, and why."""

    statement: Statement
    reason: str


@dataclass(frozen=True, slots=True)
class Foresight:
    """What is known of a document before and after its writes; `Mark.MISSING` stands for one that is deleted.

    ``refused`` is the write the server would refuse, and with it all the writes of this document.
    """

    before: Node
    after: Node
    unclear: tuple[Unclear, ...] = ()
    apart: tuple[Apart, ...] = ()
    refused: Apart | None = None


def foresee(document: bytes | memoryview, reading: Reading, statements: Iterable[Statement]) -> Foresight:
    """Return what ``statements`` would do to ``document``.

    It is given as the bytes it was read as: the object a transform was given may have been changed by it.
    """
    before = tree.read(document, reading.fields)
    seen, lost = Foresight(before, before), False
    for statement in statements:
        try:
            seen = _foreseen(seen, statement, reading, lost=lost)
        except ElsewhereError as elsewhere:
            seen = replace(seen, apart=(*seen.apart, Apart(statement, str(elsewhere))))
        except UnclearError as unclear:
            seen, lost = replace(seen, apart=(*seen.apart, Apart(statement, str(unclear)))), True
        except RefusedError as refused:
            return replace(seen, refused=Apart(statement, str(refused)))
    return seen


def beside(before: bytes, after: bytes) -> Foresight:
    """Return what is known where a server has said what becomes of a document; its ``_id`` stays."""
    was, becomes = tree.read(before), tree.read(after)
    if isinstance(was, Fields) and isinstance(becomes, Fields) and becomes["_id"] is Mark.MISSING:
        becomes = replace(becomes, named={"_id": was["_id"], **becomes.named})
    return Foresight(was, becomes)


def _foreseen(seen: Foresight, statement: Statement, reading: Reading, *, lost: bool) -> Foresight:
    if statement.namespace != reading.namespace:
        raise ElsewhereError("it goes to another collection")
    if not lost:
        return _with(seen, statement, collated=reading.collated)
    _with(replace(seen, after=Mark.UNKNOWN), statement, collated=reading.collated)
    raise UnclearError(_BEHIND)


def _with(seen: Foresight, statement: Statement, *, collated: bool) -> Foresight:
    parts = expanded(Value(DOCUMENT, statement.encoded))
    if not isinstance(parts, Fields):
        raise UnclearError("it has a field twice, or very many")
    if statement.kind == "insert":
        return replace(seen, after=_inserted(parts, seen))
    if statement.kind == "delete":
        return replace(seen, after=Mark.MISSING) if _is_found(parts, seen, collated=collated) else seen
    return _updated(seen, parts, collated=collated)


def _inserted(document: Fields, seen: Foresight) -> Node:
    try:
        check_id(document["_id"], _id_of(seen))
    except ElsewhereError:
        raise ElsewhereError("it is a document of its own") from None
    _check_known(seen)
    if seen.after is not Mark.MISSING:
        raise RefusedError("there is a document with this _id")
    return _whole(document, _id_of(seen))


def _is_found(statement: Fields, seen: Foresight, *, collated: bool) -> bool:
    """Whether an update or a delete is about the document; what inserts it if need be is unclear."""
    if statement["collation"] is not Mark.MISSING:
        raise UnclearError("it has a collation")
    filter_ = expanded(statement["q"])
    if not isinstance(filter_, Fields):
        raise UnclearError("its filter has a field twice, or very many")
    check_id(filter_["_id"], _id_of(seen), collated=collated)
    found = seen.after is not Mark.MISSING and selects(filter_, seen.after, collated=collated)
    if not found and statement["upsert"] == value_of(True):  # noqa: FBT003 - a value
        raise UnclearError("it inserts what it does not find")
    return found


def _updated(seen: Foresight, parts: Fields, *, collated: bool) -> Foresight:
    update = parts["u"]
    if not isinstance(update, Value) or update.type != DOCUMENT:
        raise UnclearError("what a pipeline does is not worked out")
    change = expanded(update)
    if not isinstance(change, Fields):
        raise UnclearError("it has a field twice, or very many")
    has_operators = next(iter(change.named), "").startswith("$")
    if has_operators:
        operators.check(update)
    if not _is_found(parts, seen, collated=collated):
        return seen
    _check_known(seen)
    if not has_operators:
        return replace(seen, after=_replaced(change, _id_of(seen)))
    after, unclear = operators.updated(seen.after, update, collated=collated)
    return replace(seen, after=after, unclear=(*seen.unclear, *unclear))


def _check_known(seen: Foresight) -> None:
    if seen.after is Mark.UNKNOWN:
        raise UnclearError(_BEHIND)


def _replaced(new: Fields, document_id: Node) -> Node:
    if new["_id"] is Mark.MISSING:
        return _whole(new, document_id)
    try:
        check_id(new["_id"], document_id)
    except ElsewhereError:
        raise RefusedError("it changes _id, which cannot be changed") from None
    return _whole(new, document_id)


def _id_of(seen: Foresight) -> Node:
    return seen.before["_id"] if isinstance(seen.before, Fields) else Mark.UNKNOWN


def _whole(document: Fields, document_id: Node) -> Fields:
    """Return a document as the server stores it: ``_id`` in front, and the time where that is asked for."""
    if document["_id"] not in (Mark.MISSING, document_id):
        raise UnclearError("its _id is equal, but of another type")
    if any(name.startswith("$") or "." in name or _is_odd(node) for name, node in document.named.items()):
        raise UnclearError("servers differ on names that begin with $ or have a dot")
    others = {name: node for name, node in document.named.items() if name != "_id"}
    filled = {name: Mark.TIMESTAMP if node == _EMPTY_TIMESTAMP else node for name, node in others.items()}
    return Fields({"_id": document_id, **filled})


def _is_odd(node: Node) -> bool:
    return isinstance(node, Value) and has_dollars(node)
