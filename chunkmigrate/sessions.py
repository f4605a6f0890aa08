"""Sessions: one for a run itself and one for each of its writers, open as long as the run is.

They are known by name before anything is written in them, so that the next run can end what a dead one left
open. What is done in them is others' business.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from chunkmigrate import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession


@contextmanager
def opened(client: MongoClient[Any], writers: int) -> Iterator[list[ClientSession | None]]:
    """Open ``writers`` sessions and one; as many None where the server has no transactions."""
    if not server.has_transactions(client):
        yield [None] * (writers + 1)
        return
    with ExitStack() as stack:
        sessions = [client.start_session(causal_consistency=False) for _ in range(writers + 1)]
        yield [stack.enter_context(session) for session in sessions]


def names(sessions: list[ClientSession | None]) -> list[Any]:
    """Return what the server knows the sessions by."""
    return [session.session_id for session in sessions if session]
