"""Writes: a pymongo operation as the encoded statement of an ``update``, ``insert`` or ``delete`` command.

Says what the server could not take before anything is sent. Knows nothing of chunks.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.collation import Collation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bson.codec_options import CodecOptions

    from chunkmigrate.backfill import Write

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


class OversizeError(ValueError):
    """A document of more than 16 MiB was to be written."""


class UnusableError(ValueError):
    """A write of the wrong kind. No value of it is in the sentence."""


def encode(write: Write, options: CodecOptions[Any]) -> tuple[str, bytes]:
    """Return the kind of command and the encoded statement of a write.

    Raises `UnusableError`, or the driver's ``InvalidDocument``, for what the server could not take, and
    `OversizeError` for a document of more than 16 MiB.
    """
    if type(write) is UpdateOne and _OPTIONS(write) == _NO_OPTIONS:
        # By far the most frequent write; the rest would take as long again to find out that it is plain.
        return "update", _checked({"q": write._filter, "u": _operators(write)}, options, "u")  # noqa: SLF001
    if isinstance(write, InsertOne):
        return "insert", _checked(_with_id(write._doc), options)  # noqa: SLF001
    if isinstance(write, DeleteOne | DeleteMany):
        return "delete", bson.encode(_delete(write), codec_options=options)
    if isinstance(write, ReplaceOne):
        return "update", _checked(_replace(write), options, "u")
    return "update", _checked(_update(write, many=isinstance(write, UpdateMany)), options, "u")


# A pymongo operation keeps what it was made from on attributes of these names, since PyMongo 3.0; there
# is no public reader. A test pins them.
_OPTIONS = attrgetter("_upsert", "_array_filters", "_collation", "_hint", "_sort")
_NO_OPTIONS = (None,) * 5


def _operators(write: UpdateOne | UpdateMany) -> Any:
    change: Any = write._doc  # noqa: SLF001
    if isinstance(change, list) or str(next(iter(change), ""))[:1] == "$":
        return change
    message = f"{type(write).__name__} needs update operators such as $set; a whole document is ReplaceOne's"
    raise UnusableError(message)


def _update(write: UpdateOne | UpdateMany, *, many: bool) -> dict[str, Any]:
    statement: dict[str, Any] = {"q": write._filter, "u": _operators(write)}  # noqa: SLF001
    if many:
        statement["multi"] = True
    if write._array_filters is not None:  # noqa: SLF001
        statement["arrayFilters"] = write._array_filters  # noqa: SLF001
    return _with_options(statement, write)


def _replace(write: ReplaceOne[Any]) -> dict[str, Any]:
    change = write._doc  # noqa: SLF001
    if not isinstance(change, RawBSONDocument) and next(iter(change), "").startswith("$"):
        message = "ReplaceOne needs a whole document; update operators such as $set are UpdateOne's"
        raise UnusableError(message)
    return _with_options({"q": write._filter, "u": change}, write)  # noqa: SLF001


def _with_options(statement: dict[str, Any], write: Write) -> dict[str, Any]:
    if getattr(write, "_upsert", None):
        statement["upsert"] = True
    for name in ("collation", "hint", "sort"):
        if (value := getattr(write, f"_{name}", None)) is not None:
            statement[name] = _plain(value)
    return statement


def _delete(write: DeleteOne | DeleteMany) -> dict[str, Any]:
    statement = {"q": write._filter, "limit": 1 if isinstance(write, DeleteOne) else 0}  # noqa: SLF001
    return _with_options(statement, write)


def _plain(value: Any) -> Any:
    return value.document if isinstance(value, Collation) else value


def _with_id(document: Any) -> Mapping[str, Any]:
    """Return the document with an ``_id``: made here, so that a chunk sent twice inserts the same one."""
    if isinstance(document, RawBSONDocument) or "_id" in document:
        return document
    return {"_id": ObjectId(), **document}


def _checked(statement: Mapping[str, Any], options: CodecOptions[Any], part: str | None = None) -> bytes:
    encoded = bson.encode(statement, codec_options=options)
    if len(encoded) > MAX_DOCUMENT_BYTES:
        size = len(encoded) if part is None else _size(statement[part], options)
        if size > MAX_DOCUMENT_BYTES:
            message = f"{size / 1024 / 1024:.1f} MiB are to be written; a MongoDB document may have 16 MiB"
            raise OversizeError(message)
    return encoded


def _size(change: Any, options: CodecOptions[Any]) -> int:
    document = {"": change} if isinstance(change, list) else change
    return len(bson.encode(document, codec_options=options))
