"""Transforming: documents become writes in a chunk, or go where documents go that cannot.

Calls the author's code, encodes what it answers at once, so that no more than one document is ever held as
objects, and names the document where something is wrong with it. When a chunk is full is ``building``'s
business, whether a document that fails stops the run ``quarantine``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
from bson.errors import BSONError
from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from chunkmigrate.backfill import NotAWriteError, writes_of
from chunkmigrate.errors import (
    ConflictError,
    DocumentError,
    TooLargeError,
    TransformError,
    UndecodableError,
)
from chunkmigrate.retry import Retry, is_passing
from chunkmigrate.unchanged import print_of
from chunkmigrate.writes import OversizeError, UnusableError, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkmigrate.backfill import Backfill, Write, Writes
    from chunkmigrate.chunks import Chunk
    from chunkmigrate.quarantine import Quarantine
    from chunkmigrate.raw import Key

# How often a document is read and transformed again because somebody edited it in between.
CHANGED_TRIES = 3

_SAFE = "Nothing of this chunk was written; everything before it is committed."
_THEN = f"{_SAFE} Correct the migration and run again."


class Transformer:
    """Turns the documents of one step into writes."""

    def __init__(self, backfill: Backfill, quarantine: Quarantine, retry: Retry | None = None) -> None:
        self._retry = retry or Retry()
        self.joined = backfill.each_chunk is not None
        self._transform: Callable[[Any], Writes] = backfill.transform or backfill.each_chunk  # type: ignore[assignment]
        self._target = backfill.target.full_name
        self._options = backfill.target.codec_options
        self._decoding = backfill.scan.collection.codec_options
        self._quarantine = quarantine

    def add(self, chunk: Chunk, document: Any, again: Callable[[], Any] | None = None) -> None:
        """Add one decoded document to the end of ``chunk``; ``again`` decodes it once more."""
        document_id = document["_id"]
        chunk.close(document_id, self._one(chunk, chunk.read, document_id, document, again))

    def add_joined(self, chunk: Chunk, documents: Sequence[Any], stored: Sequence[bytes]) -> None:
        """Add documents that are transformed together, and what they were decoded from, to ``chunk``."""
        numbers = range(chunk.read, chunk.read + len(documents))
        for document in documents:
            chunk.close(document["_id"], 0)
        chunk.written += self._together(chunk, numbers, stored, documents)

    def set_aside(self, chunk: Chunk, document: Key, error: DocumentError) -> None:
        """Add a document that is not to be transformed at all to the end of ``chunk``."""
        self._quarantine.take(chunk, chunk.read, document, error)
        chunk.close(document, 0)

    def refuse(self, chunk: Chunk, number: int, error: DocumentError) -> None:
        """Take back the writes of a document of ``chunk``, because the server refuses them."""
        chunk.written -= chunk.drop(number) > 0
        self._quarantine.take(chunk, number, chunk.owner(number), error)

    def mend(self, chunk: Chunk, fresh: dict[int, bytes | None]) -> None:
        """Transform documents again that somebody has edited: ``fresh`` is what they are now, by number."""
        if self.joined:
            self._mend_joined(chunk, fresh)
            return
        for number, document in fresh.items():
            chunk.written -= chunk.drop(number) > 0
            if self._is_still_wanted(chunk, number, document):
                chunk.written += self._one_again(chunk, number, document or b"") > 0

    def _mend_joined(self, chunk: Chunk, fresh: dict[int, bytes | None]) -> None:
        for number in range(chunk.read):
            chunk.drop(number)
        wanted = [number for number in fresh if self._is_still_wanted(chunk, number, fresh[number])]
        stored = [fresh[number] or b"" for number in wanted]
        chunk.written = self._together(chunk, wanted, stored) if wanted else 0

    def _together(
        self, chunk: Chunk, numbers: Sequence[int], stored: Sequence[bytes], documents: Sequence[Any] = ()
    ) -> int:
        """Add the writes of documents, of halves of them where the whole fails; return how many have any.

        For another try they are decoded again: the function may have changed what it was given.
        """
        first = chunk.owner(numbers[0])
        again: Callable[[], Any] = lambda: [*map(self._decoded, map(chunk.owner, numbers), stored)]  # noqa: E731
        try:
            writes = self._patiently(chunk, numbers[0], first, documents or again(), again)
            return len(numbers) if writes else 0
        except DocumentError as error:
            chunk.drop(numbers[0])
            if len(numbers) == 1:
                self._quarantine.take(chunk, numbers[0], first, error)
                return 0
        half = len(numbers) // 2
        return self._together(chunk, numbers[:half], stored[:half]) + self._together(
            chunk, numbers[half:], stored[half:]
        )

    def _is_still_wanted(self, chunk: Chunk, number: int, document: bytes | None) -> bool:
        """Note what a document is now; whether it is to be transformed again."""
        before, chunk.prints[number] = chunk.prints[number], None
        if before is None or document is None:
            chunk.changed += document is None
            return False
        digest = print_of(document)
        if digest != before[1]:
            chunk.changed += 1
            chunk.tries[number] += 1
        if chunk.tries[number] > CHANGED_TRIES:
            self._quarantine.take(chunk, number, chunk.owner(number), self._conflict(chunk.owner(number)))
            return False
        chunk.prints[number] = (before[0], digest)
        return True

    def _one_again(self, chunk: Chunk, number: int, stored: bytes) -> int:
        document_id = chunk.owner(number)
        again: Callable[[], Any] = lambda: self._decoded(document_id, stored)  # noqa: E731
        try:
            document = again()
        except DocumentError as error:
            self._quarantine.take(chunk, number, document_id, error)
            return 0
        return self._one(chunk, number, document_id, document, again)

    def _decoded(self, document_id: Any, stored: bytes) -> Any:
        try:
            return bson.decode(stored, self._decoding)
        except BSONError as error:
            raise UndecodableError.of(document_id, repr(document_id), error) from error

    def _one(
        self, chunk: Chunk, number: int, document_id: Any, document: Any, again: Callable[[], Any] | None
    ) -> int:
        """Add the writes of one document; return how many there are."""
        try:
            return self._patiently(chunk, number, document_id, document, again or (lambda: document))
        except DocumentError as error:
            chunk.drop(number)
            self._quarantine.take(chunk, number, document_id, error)
            return 0

    def _patiently(
        self, chunk: Chunk, number: int, document_id: Any, given: Any, again: Callable[[], Any]
    ) -> int:
        """Add the writes of what is ``given``, again where their author's lookup met an election.

        That is no fault of the document. For another try it is decoded again: a function that has taken out
        of it what it moves elsewhere would find nothing the second time.
        """
        try:
            return self._tried(chunk, number, document_id, given)
        except PyMongoError:
            return self._retry(lambda: self._tried(chunk, number, document_id, again()))

    def _tried(self, chunk: Chunk, number: int, document_id: Any, given: Any) -> int:
        """Add the writes of what is given; none of them where that raises a passing failure."""
        try:
            return self._write(chunk, number, document_id, self._answer(given, document_id))
        except PyMongoError:
            chunk.drop(number)
            raise

    def _answer(self, given: Any, document_id: Any) -> Writes:
        try:
            return self._transform(given)
        except (Exception, SystemExit) as error:
            if is_passing(error):
                raise
            raise self._raised(document_id, error) from error

    def _write(self, chunk: Chunk, number: int, document_id: Any, answer: Writes) -> int:
        if type(answer) is UpdateOne:
            self._add(chunk, number, document_id, answer)
            return 1
        writes = 0
        for write in self._writes(document_id, answer):
            self._add(chunk, number, document_id, write)
            writes += 1
        return writes

    def _writes(self, document_id: Any, answer: Writes) -> Iterator[Write]:
        """Yield the writes of an answer; where it is a generator, this is when the author's code runs."""
        try:
            yield from writes_of(answer)
        except NotAWriteError as error:
            raise self._blamed(document_id, str(error)) from error
        except (Exception, SystemExit) as error:
            if is_passing(error):
                raise
            raise self._raised(document_id, error) from error

    def _add(self, chunk: Chunk, number: int, document_id: Any, write: Write) -> None:
        try:
            kind, statement = encode(write, self._options)
        except OversizeError as error:
            what = f"The write for document _id {document_id!r} is too large: {error}."
            raise TooLargeError(document_id, f"{what} Nothing of its chunk was written.") from error
        except Exception as error:
            kind = type(error).__name__
            known = str(error) if isinstance(error, UnusableError) else kind
            what = "answered with a write that cannot be sent"
            raise self._blamed(document_id, f"{what}: {error}", f"{what}: {known}") from error
        chunk.add(write._namespace or self._target, kind, statement, number)  # noqa: SLF001

    def _raised(self, document_id: Any, error: BaseException) -> TransformError:
        kind = f"raised {type(error).__name__}"
        return self._blamed(document_id, f"{kind}: {error}", kind)

    def _blamed(self, document_id: Any, what: str, discreet: str | None = None) -> TransformError:
        """Return what is raised where the author's code did ``what``; ``discreet`` is that without values."""
        message, discreet = (self._sentence(document_id, did) for did in (what, discreet or what))
        return TransformError(document_id, message, discreet=discreet, then=_THEN)

    def _sentence(self, document_id: Any, what: str) -> str:
        name = getattr(self._transform, "__name__", "transform")
        return f"{name} {what.rstrip('.')}. It was given document _id {document_id!r}. {_THEN}"

    def _conflict(self, document_id: Any) -> ConflictError:
        message = (
            f"Document _id {document_id!r} was edited by somebody else {CHANGED_TRIES + 1} times between "
            "being read and being written. It is as they left it; `chunkmigrate quarantine retry` tries it "
            "again."
        )
        return ConflictError(document_id, message)
