"""Ranged: one update the server makes of all that matches in a range of ``_id``s, or of one document.

Knows the command, what its answer counts, and which refusals a document may be at fault for. How far a range
reaches, and what becomes of a document at fault, is ``serverside``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DocumentTooLarge, OperationFailure

from chunkmigrate import retry, server
from chunkmigrate.discretion import bare_reason
from chunkmigrate.errors import TooLargeError, UsageError, WriteRefusedError
from chunkmigrate.sending import TOO_LARGE, is_nobodys
from chunkmigrate.windows import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

_ANSWER: CodecOptions[Any] = CodecOptions(
    document_class=RawBSONDocument, unicode_decode_error_handler="replace"
)
_UNAUTHORIZED = 13

_THEN = "Everything before it is committed. Correct server= or the document and run again."


@dataclass(frozen=True, slots=True)
class Done:
    """What an update did: how many documents ``matched``, and how many of them it ``modified``."""

    matched: int
    modified: int


@dataclass(frozen=True, slots=True)
class Ranged:
    """The update of a backfill that the server makes alone."""

    scan: Scan
    update: Any

    @classmethod
    def of(cls, backfill: Backfill) -> Ranged:
        """Return that of a backfill with ``server=``."""
        return cls(backfill.scan, backfill.server)

    def check(self) -> None:
        """Raise `UsageError` where the server cannot carry it out, whatever the documents; changes nothing.

        It is explained and not made: the server reads it, and looks for no document. Who may not update may
        not ask this either, and is told nothing.
        """
        command = self._command({"_id": {"$in": []}})
        try:
            with pymongo.timeout(READ_SECONDS):
                self._sent({"explain": command, "verbosity": "queryPlanner"}, None)
        except (BSONError, OverflowError) as error:
            message = f"server= holds what cannot be sent to MongoDB: {error}. Nothing was written."
            raise UsageError(message) from error
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED or retry.is_passing(error):
                return
            message = f"MongoDB cannot do what server= says: {server.reason(error)}. Nothing was written."
            raise UsageError(message) from error

    def apply(self, after: Key | None, through: Key, session: ClientSession | None) -> Done:
        """Update what matches behind ``after``, up to and with ``through``.

        Raises the driver's errors; one of the server's where it refused a document, and without ``session``
        others may be updated then.
        """
        return self._done(self.scan.window(after, through), session)

    def apply_to(self, key: Key, session: ClientSession | None) -> Done:
        """Update the document called ``key``, if it is there and matches."""
        return self._done(self.scan.one(key), session)

    def _done(self, matching: Mapping[str, Any], session: ClientSession | None) -> Done:
        reply = self._sent(self._command(matching), session)
        for refused in reply.get("writeErrors", ()):
            raise OperationFailure(refused.get("errmsg", "no reason given"), refused.get("code"), refused)
        return Done(reply["n"], reply["nModified"])

    def _sent(self, command: dict[str, Any], session: ClientSession | None) -> Mapping[str, Any]:
        # It may hold what only the author's options can encode, and the answer what nobody's can decode.
        encoded = RawBSONDocument(bson.encode(command, codec_options=self.scan.collection.codec_options))
        database = self.scan.collection.database
        answer: Mapping[str, Any] = database.command({**encoded}, codec_options=_ANSWER, session=session)
        return answer

    def _command(self, matching: Mapping[str, Any]) -> dict[str, Any]:
        hint = self.scan.hint or {"_id": 1}
        update = {"q": matching, "u": self.update, "multi": True, "hint": hint}
        return {"update": self.scan.collection.name, "updates": [update]}


def is_a_documents(error: BaseException) -> bool:
    """Whether one of the documents may be at fault, so that the others could be updated without it."""
    return isinstance(error, OperationFailure) and not is_nobodys(error)


def refusal(key: Key, error: Exception) -> DocumentError:
    """Return what is raised for the document called ``key``, which alone was refused with ``error``."""
    reason, code = server.reason(error), getattr(error, "code", None)
    message, discreet = (_sentence(key, why) for why in (reason, bare_reason(error, reason)))
    if code in TOO_LARGE or isinstance(error, DocumentTooLarge):
        return TooLargeError(key.shown(), message, discreet=discreet, then=_THEN)
    return WriteRefusedError(key.shown(), message, code, discreet=discreet, then=_THEN)


def _sentence(key: Key, reason: str) -> str:
    return f"MongoDB refused the update of document _id {key.shown()}: {reason}. It was not changed. {_THEN}"


def round_trip(client: MongoClient[Any]) -> float:
    """Return how many seconds the way to the server and back takes, as the driver keeps measuring it."""
    known = client.topology_description.server_descriptions().values()
    return min((one.round_trip_time or 0.0 for one in known if one.is_writable), default=0.0)
