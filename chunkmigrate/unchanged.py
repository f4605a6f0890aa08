"""Unchanged: whether documents still are what was read of them.

Asked inside the transaction that writes them: what is the same there stays the same until it commits, because
the server lets no two transactions change one document. So nobody's edit is overwritten, whatever types and
paths were read: the bytes are compared, and the scan's filter has to match still. What becomes of a document
that is not the same any more is ``transforming``'s business.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from chunkmigrate import raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.client_session import ClientSession

    from chunkmigrate.chunks import Chunk
    from chunkmigrate.raw import Key
    from chunkmigrate.scan import Scan

# Of what is read again, so much is held at a time.
AGAIN_BYTES = 1024 * 1024
AGAIN_DOCUMENTS = 1_000


def print_of(document: bytes | memoryview) -> bytes:
    """Return sixteen bytes that tell one document from another."""
    return blake2b(document, digest_size=16).digest()


def changed(scan: Scan, chunk: Chunk, session: ClientSession) -> dict[int, bytes | None]:
    """Return what became of the documents of ``chunk`` that are not what they were, by their numbers.

    None stands for a document that is gone, or that the filter does not match any more. Where the writes of
    a chunk are those of all its documents together and one of them changed, all are returned.
    """
    numbers = {print_[0]: number for number, print_ in enumerate(chunk.prints) if print_}
    if not numbers:
        return {}
    fresh: dict[int, bytes | None] = dict.fromkeys(numbers.values())
    for document in _again(scan, chunk, [*numbers], session):
        number = numbers.get(raw.key_of(document))
        if number is None:
            continue
        if not chunk.joined and print_of(document) == _print(chunk, number):
            del fresh[number]
        else:
            fresh[number] = bytes(document)
    return fresh if not chunk.joined or _any_changed(chunk, fresh) else {}


def _any_changed(chunk: Chunk, fresh: dict[int, bytes | None]) -> bool:
    return any(
        document is None or print_of(document) != _print(chunk, number) for number, document in fresh.items()
    )


def _print(chunk: Chunk, number: int) -> bytes:
    print_ = chunk.prints[number]
    return print_[1] if print_ else b""


def _again(scan: Scan, chunk: Chunk, keys: list[Key], session: ClientSession) -> Iterator[memoryview]:
    """Yield the documents called ``keys``, so many at a time as had `AGAIN_BYTES` when they were read.

    Only those: one that was set aside because it does not fit into memory must not be read here.
    """
    few = AGAIN_BYTES * chunk.read // max(1, chunk.bytes_read)
    limit = max(1, min(AGAIN_DOCUMENTS, few))
    while keys:
        page = scan.among(keys[:limit], session=session)
        yield from page
        # The server cuts a reply at 16 MiB. Keys are in the order of their _ids, as the documents are: what
        # lies behind the last document was not asked yet, unless there is none at all. An _id may be equal to
        # a key and yet another one: where somebody has replaced 1 by 1.0.
        last = next((key for key in map(raw.key_of, reversed([*page])) if key in keys), None)
        keys = keys[keys.index(last) + 1 if last else limit :]
