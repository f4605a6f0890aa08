"""Rules of servers: what is known of a migration once there is a server that has its documents.

Only reads are sent, and nothing of the file is run: what its text tells of a scan is asked about.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bson
from bson.errors import BSONError
from pymongo.errors import InvalidName

from chunkmigrate import indexes, server
from chunkmigrate.errors import UnusableIndexError
from chunkmigrate.ledger import PENDING, Ledger
from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.repeats import grown, stays
from chunkmigrate.linting.scopes import own
from chunkmigrate.linting.values import Unknown, is_known, value_of
from chunkmigrate.linting.writes import write_of, written
from chunkmigrate.scan import scan
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.linting.source import Read, Source, Step
    from chunkmigrate.scan import Scan

# Reading all of such a document costs next to nothing: a position of its own in a page takes as much.
SMALL_BYTES = 512


def asked(source: Source, found: Iterable[Finding], database: Database[Any]) -> Iterator[Finding]:
    """Yield what was ``found``, weighed by how large documents are, and what the server adds to it."""
    sizes = {step.read.call.lineno: step.read for step in source.steps if step.read is not None}
    for finding in found:
        read = sizes.get(finding.line) if finding.code == "CM304" else None
        yield from [finding] if read is None else _weighed(finding, read, database)
    if not _is_ahead(source, database):
        return
    if not _makes_indexes(source):
        for step in source.ahead:
            yield from _unhelped(source, step.read, database) if step.read is not None else ()
    if not server.has_transactions(database.client):
        yield from _twice(source)


def _is_ahead(source: Source, database: Database[Any]) -> bool:
    """Whether a migration has not been run yet: what one has migrated its filter does not match any more."""
    entry = Ledger(database).entries().get(source.path.stem)
    return entry is None or entry["status"] == PENDING


def _makes_indexes(source: Source) -> bool:
    """Whether ``upgrade`` makes indexes of its own: those its scans are read by are not there yet."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("create_index", "create_indexes")
        for function in source.acting
        for node in own(function)
    )


def _weighed(finding: Finding, read: Read, database: Database[Any]) -> list[Finding]:
    """Return the finding with how large documents are; nothing where they are small."""
    collection = _collection(read, database)
    size = 0 if collection is None else scan(collection).average_size()
    if not size:
        return [finding]
    large = f"{finding.message.rstrip('.')}. A document has {format_bytes(size)} on average."
    return [replace(finding, message=large)] if size > SMALL_BYTES else []


def _unhelped(source: Source, read: Read, database: Database[Any]) -> Iterator[Finding]:
    """CM401: a filter without an index, or an index that cannot be read by."""
    described = _scan_of(read, database)
    if described is None or not described.collection.estimated_document_count():
        return
    try:
        described.check()
        warning = indexes.index_use(described).warning
    except UnusableIndexError as error:
        warning = str(error)
    if warning:
        yield Finding(source.path, read.call.lineno, "CM401", warning)


def _scan_of(read: Read, database: Database[Any]) -> Scan | None:
    """Return the scan that a call describes, where its text tells all that an index is chosen by."""
    collection = _collection(read, database)
    if collection is None or read.is_open or not isinstance(read.filter, dict) or not is_known(read.filter):
        return None
    if not isinstance(read.hint, str | None) or not _is_sendable(read.filter):
        return None
    return scan(collection, read.filter, hint=read.hint)


def _collection(read: Read, database: Database[Any]) -> Collection[Any] | None:
    with suppress(InvalidName):
        return None if read.collection is None else database[read.collection]
    return None


def _is_sendable(filter_: dict[str, Any]) -> bool:
    """Whether a filter is BSON: a number of twenty digits stands in a file, but never in a collection."""
    with suppress(BSONError, OverflowError):
        return bool(bson.encode(filter_))
    return False


def _twice(source: Source) -> Iterator[Finding]:
    """CM402: what a chunk that is repeated would change further."""
    for step in source.ahead:
        if (pipeline := step.options.get("server")) is not None:
            field = _repeats(source, step, value_of(pipeline, step.scope))
            if field:
                yield Finding(source.path, step.call.lineno, "CM402", _repeating(field))
        if step.function is None:
            continue
        for function in source.reachable(step.function):
            for node in own(function):
                write = write_of(node, source.scopes[function])
                field = "" if write is None or write.sent else _repeats(source, step, write.what)
                if write is not None and field:
                    yield Finding(source.path, write.line, "CM402", _repeating(field))


def _repeats(source: Source, step: Step, what: Any) -> str:
    documents = step.documents(source.scopes)
    field, fields = grown(what, documents), written(what)
    filter_ = step.read.filter if step.read is not None else Unknown(step.call, step.scope)
    return field if field and fields and stays([filter_], fields, documents) else ""


def _repeating(field: str) -> str:
    return (
        f"changes {field} again each time it is done, and this server is standalone: after a kill the "
        "documents of a chunk may be migrated twice. Use a replica set, or let the filter leave out what is "
        "done."
    )
