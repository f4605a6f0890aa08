"""Backfill: what a migration returns, and how a transform's answer becomes writes.

Neither reads nor writes: it holds the author's two ends and checks what comes out of the transform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from chunkmigrate import server_updates

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from chunkmigrate.scan import Scan
    from chunkmigrate.server_updates import ServerUpdate

Write: TypeAlias = UpdateOne | UpdateMany | ReplaceOne[Any] | InsertOne[Any] | DeleteOne | DeleteMany
Writes: TypeAlias = Write | Iterable[Write] | None


class NotAWriteError(TypeError):
    """A transform answered with something that is no write."""


WRITES = (UpdateOne, UpdateMany, ReplaceOne, InsertOne, DeleteOne, DeleteMany)


@dataclass(frozen=True, slots=True, init=False)
class Backfill:
    """One step of a migration: read what ``scan`` describes, write what the transform answers.

    ``transform`` gets one decoded document and returns a write, an iterable of writes, or None when the
    document needs nothing. Where one lookup must serve many documents, ``each_chunk`` gets a list of
    them instead. Writes go to the scanned collection, to ``into``, or where an operation's own
    ``namespace`` says.

    ``on_error`` says what becomes of a document that cannot be migrated: it stops the run (``"stop"``), or is
    kept in quarantine with the reason (``"quarantine"``), at most ``quarantine_limit`` of them. With
    ``if_unchanged`` a document is written only while the fields that were read are what they were; else it is
    read and transformed again. ``throttle`` is asked between chunks, at most once a second: while it answers
    something true (or a text, which is shown), the run pauses. With ``undo`` what is written over is kept, in
    the transaction that writes, so that `chunkmigrate rollback` needs no ``downgrade``.

    With ``server``, an aggregation pipeline or an update document, there is no function: MongoDB updates what
    the scan matches by itself, one range of ``_id``s after another, and no document is read.
    """

    scan: Scan
    transform: Callable[[Any], Writes] | None
    each_chunk: Callable[[Sequence[Any]], Writes] | None
    into: Collection[Any] | None
    on_error: str
    quarantine_limit: int
    if_unchanged: bool
    throttle: Callable[[], Any] | None
    server: ServerUpdate | None
    undo: bool

    def __init__(
        self,
        scan: Scan,
        transform: Callable[[Any], Writes] | None = None,
        *,
        each_chunk: Callable[[Sequence[Any]], Writes] | None = None,
        into: Collection[Any] | None = None,
        on_error: Literal["stop", "quarantine"] = "stop",
        quarantine_limit: int = 1_000,
        if_unchanged: bool = False,
        throttle: Callable[[], Any] | None = None,
        server: ServerUpdate | None = None,
        undo: bool = False,
    ) -> None:
        _check_source(scan)
        if server is None:
            _check_function(transform, each_chunk)
        else:
            server_updates.check(server)
            server_updates.check_alone(
                transform=transform, each_chunk=each_chunk, into=into, if_unchanged=if_unchanged, undo=undo
            )
        _check_options(on_error, quarantine_limit, throttle)
        for name, value in (
            ("scan", scan),
            ("transform", transform),
            ("each_chunk", each_chunk),
            ("into", into),
            ("on_error", on_error),
            ("quarantine_limit", quarantine_limit),
            ("if_unchanged", if_unchanged),
            ("throttle", throttle),
            ("server", server),
            ("undo", undo),
        ):
            object.__setattr__(self, name, value)

    @property
    def target(self) -> Collection[Any]:
        """The collection written to where an operation names none."""
        return self.scan.collection if self.into is None else self.into


def _check_source(scan: Any) -> None:
    # Asked of the class: a collection has every attribute, as a collection inside it.
    if not hasattr(type(scan), "upper_bound"):
        message = f"Backfill reads what scan(...) describes, not a {type(scan).__name__}"
        raise TypeError(message)


def _check_function(transform: Any, each_chunk: Any) -> None:
    if not callable(each_chunk if transform is None else transform):
        message = "Backfill needs a function: Backfill(scan(...), fn) or Backfill(scan(...), each_chunk=fn)"
        raise TypeError(message)
    if transform is not None and each_chunk is not None:
        message = "Backfill takes a transform or each_chunk, not both"
        raise TypeError(message)


def _check_options(on_error: Any, limit: Any, throttle: Any) -> None:
    if on_error not in ("stop", "quarantine"):
        message = f'on_error is "stop" or "quarantine", not {on_error!r}'
        raise ValueError(message)
    if type(limit) is not int or limit < 1:
        message = f"quarantine_limit is a number of documents, 1 or more, not {limit!r}"
        raise ValueError(message)
    if throttle is not None and not callable(throttle):
        message = f"throttle is a function without arguments, not a {type(throttle).__name__}"
        raise TypeError(message)


def writes_of(answer: Any) -> Iterator[Write]:
    """Yield the writes of a transform's answer; `NotAWriteError` says what it was where it is none."""
    if answer is None:
        return
    if isinstance(answer, WRITES):
        yield answer
        return
    if not isinstance(answer, Iterable) or isinstance(answer, dict | str | bytes):
        raise NotAWriteError(_not_a_write(answer))
    for write in answer:
        if not isinstance(write, WRITES):
            raise NotAWriteError(_not_a_write(write))
        yield write


def _not_a_write(answer: Any) -> str:
    return (
        f"returned a {type(answer).__name__}, which is no write; return UpdateOne(...) or another pymongo "
        "operation, an iterable of them, or None"
    )
