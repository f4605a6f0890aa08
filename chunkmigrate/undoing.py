"""Undoing: what a step of a run has to do with undo: whether it keeps, restores, or neither.

Which documents, and how, is ``keeping``'s and ``restoring``'s business.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pymongo

from chunkmigrate import checkpoint, server, sizing, undo
from chunkmigrate.direction import UNDO
from chunkmigrate.errors import UsageError
from chunkmigrate.images import Room
from chunkmigrate.keeping import Keeping
from chunkmigrate.raw import MalformedError
from chunkmigrate.restoring import Restoring
from chunkmigrate.sizing import Most

if TYPE_CHECKING:
    from chunkmigrate.backfill import Backfill
    from chunkmigrate.context import Context
    from chunkmigrate.raw import Key
    from chunkmigrate.sending import Sender

_STANDALONE = (
    "undo=True needs transactions, and this server is standalone: a kill between a write and what is kept to "
    "undo it would leave one without the other. Use a replica set (one member is enough)."
)


def keeps(context: Context, backfill: Backfill) -> bool:
    """Whether what a step writes over is kept: never on the way back."""
    return backfill.undo and not context.direction.is_down


def check_server(context: Context, backfill: Backfill) -> None:
    """Raise `UsageError` where undo is asked for and the server has no transactions."""
    if context.sessions[0] is None and (keeps(context, backfill) or context.direction is UNDO):
        raise UsageError(_STANDALONE)


def settle(context: Context, step: int, backfill: Backfill) -> None:
    """Put on record whether a step keeps all it changes, before it changes anything.

    Raises `UsageError` where it has begun without: what it has changed so far is known to nobody any more.
    """
    if context.direction.is_down:
        return
    if not backfill.undo:
        undo.unmark(context.database, context.migration, step)
        return
    # In this order: others that share the step put their mark before they do anything.
    if _has_begun(context, step) and step not in undo.marked(context.database, context.migration):
        message = (
            f"Step {step + 1} of {context.migration} began without undo=True, and what it has changed so far "
            "was not kept. Take undo=True out to finish it; it cannot be undone."
        )
        raise UsageError(message)
    undo.mark(context.database, context.migration, step, context.lease.generation)


def _has_begun(context: Context, step: int) -> bool:
    """Whether anybody has done anything of a step, whichever part of it."""
    done = {"migration": context.migration, "step": step, "counts.read": {"$gt": 0}}
    with pymongo.timeout(server.ATTEMPT_SECONDS):
        return context.database[checkpoint.COLLECTION].find_one(done, {"_id": 1}) is not None


def sender(context: Context, backfill: Backfill) -> Sender | None:
    """Return what sends the writes of a step; None where nothing is to be done but that."""
    client = context.database.client
    if context.direction is UNDO:
        return Restoring(client=client, run=context.run, room=_room(context))
    if not keeps(context, backfill):
        return None
    return Keeping(
        client=client,
        database=context.database.name,
        migration=context.migration,
        generation=context.lease.generation,
        room=_room(context),
    )


def most(context: Context, backfill: Backfill) -> Most | None:
    """Return the largest sizes of a step: half as many bytes where as much again is held beside a chunk."""
    if not (keeps(context, backfill) or context.direction is UNDO):
        return context.most
    given = context.most or Most()
    top = sizing.ceiling(_headroom(context), context.writers).chunk_bytes
    return Most(
        chunk_bytes=min(given.chunk_bytes, top // 2),
        page_bytes=given.page_bytes,
        chunk_documents=given.chunk_documents,
    )


def shown(context: Context, position: Key) -> str:
    """Return where a step stands, as people read it: of a record of undo, the document it is about."""
    with suppress(MalformedError):
        if context.direction is UNDO:
            return undo.shown(position.value)
    return position.shown()


def _room(context: Context) -> Room:
    return Room.of(_headroom(context), context.writers, context.sensor.read)


def _headroom(context: Context) -> int:
    return sizing.headroom(context.sensor.rss_start, context.sensor.budget.size)
