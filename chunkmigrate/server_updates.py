"""Server updates: what a backfill may ask the server to do alone, judged where it is written.

That is an aggregation pipeline or an update document. Whether the server can carry it out is for the server
to say, and ``ranged``'s to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

ServerUpdate: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Any]

# What MongoDB allows in an update's pipeline; an aggregation takes all of them, too.
STAGES = ("$addFields", "$set", "$project", "$unset", "$replaceRoot", "$replaceWith")

_SHAPES = 'a pipeline such as [{"$set": {...}}] or an update document such as {"$unset": {...}}'


def check(update: Any) -> None:
    """Raise `TypeError` or `ValueError` for what can be no update of many documents."""
    if isinstance(update, Mapping):
        _check_document(update)
    elif isinstance(update, Sequence) and not isinstance(update, str | bytes):
        _check_pipeline(update)
    else:
        message = f"server is {_SHAPES}, not a {type(update).__name__}"
        raise TypeError(message)


def check_alone(*, transform: Any, each_chunk: Any, into: Any, if_unchanged: bool, undo: bool) -> None:
    """Raise `TypeError` or `ValueError` for what has no meaning where no document is read."""
    if transform is not None or each_chunk is not None:
        message = "Backfill takes a function or server=, not both: the server calls no function"
        raise TypeError(message)
    if into is not None:
        message = (
            "server= changes the scanned documents where they are; into= another collection needs a function"
        )
        raise ValueError(message)
    if if_unchanged:
        message = (
            "if_unchanged is for documents that are read before they are written. With server= MongoDB does "
            "both at once, and nobody can edit one in between: leave it out"
        )
        raise ValueError(message)
    if undo:
        message = (
            "undo=True keeps what documents were, and with server= none is read: write a downgrade(db), or "
            "use a function"
        )
        raise ValueError(message)


def _check_document(update: Mapping[str, Any]) -> None:
    plain = [name for name in update if not str(name).startswith("$")]
    if not update or plain:
        found = f"{plain[0]!r} is no operator" if plain else "it is empty"
        message = f"server is {_SHAPES}: {found}"
        raise ValueError(message)


def _check_pipeline(stages: Sequence[Any]) -> None:
    if not stages:
        message = f"server is {_SHAPES}: it is empty"
        raise ValueError(message)
    for stage in stages:
        if not isinstance(stage, Mapping) or len(stage) != 1:
            message = f"a stage of server= has one name, such as {{'$set': {{...}}}}, not {stage!r}"
            raise TypeError(message)
        (name,) = stage
        if name not in STAGES:
            message = f"{name} cannot stand in server=: an update's pipeline has only {', '.join(STAGES)}"
            raise ValueError(message)
