"""Foreign: what the history of another migration tool says is applied. Pure: documents in, `Applied` out.

Each tool's records are read as that tool reads them itself; one that it could not have written is refused, by
name. How they get here, and what becomes of them, is ``importing``'s business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from chunkmigrate.disorder import ForeignRecordError
from chunkmigrate.plain import in_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Document = Mapping[str, Any]

PYMONGO_MIGRATE, MIGRATE_MONGO = "pymongo-migrate", "migrate-mongo"
MONGODB_MIGRATIONS, BEANIE = "mongodb-migrations", "beanie"

# Its own pattern: a file it does not match has never been run by it, whatever number it begins with.
_DATED = re.compile(r"(\d+)[_a-z]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """A migration another tool has applied: ``name`` as a file's here would be, without its ending.

    ``at`` is when, where that is on record; ``record`` is the record, as it is.
    """

    name: str
    at: datetime | None
    record: Document


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A tool: where it keeps its history, how that is read, and which of a file's names it calls it by."""

    name: str
    collection: str
    read: Callable[[Sequence[Document]], Iterable[Applied]]
    called: Callable[[str, Sequence[str]], Sequence[str]]

    def applied(self, documents: Sequence[Document]) -> list[Applied]:
        """Return what is applied, in the order of the records; of several records of one, the last.

        Raises `ForeignRecordError` for a record that is none of this tool's.
        """
        return [*{one.name: one for one in self.read(documents)}.values()]


def _pymongo_migrate(documents: Sequence[Document]) -> Iterator[Applied]:
    """One record each, which stays when it is downgraded: then it has no date."""
    for document in documents:
        name, at = _text(document, "name"), _date(document, "applied")
        if at is not None:
            yield Applied(name=name, at=at, record=document)


def _migrate_mongo(documents: Sequence[Document]) -> Iterator[Applied]:
    """One record for each time a file was applied; `down` deletes it. Files may end in .js, .mjs or .ts."""
    for document in documents:
        name, at = _stem(_text(document, "fileName")), _needed_date(document, "appliedAt")
        yield Applied(name=name, at=at, record=document)


def _mongodb_migrations(documents: Sequence[Document]) -> Iterator[Applied]:
    """One record each, called by the number its file begins with; a downgrade deletes it."""
    for document in documents:
        number = _text(document, "migration_datetime")
        if not number.isdigit():
            raise _malformed(document, "migration_datetime", "is no number of a migration's file")
        yield Applied(name=number, at=_date(document, "created_at"), record=document)


def _beanie(documents: Sequence[Document]) -> Iterator[Applied]:
    """One record for each move of a pointer: up by applying what it names, down by rolling back all above."""
    _check_pointer(documents)
    applied: dict[str, Document] = {}
    for document in documents:
        name = _text(document, "name")
        applied = {one: kept for one, kept in applied.items() if one <= name}
        applied.setdefault(name, document)
    now = next((document["name"] for document in documents if document["is_current"]), "")
    for name, document in applied.items():
        if name <= now:
            yield Applied(name=_stem(name), at=_date(document, "ts"), record=document)


def _check_pointer(documents: Sequence[Document]) -> None:
    current = [document for document in documents if _flag(document, "is_current")]
    if len(current) > 1:
        what = "is true of another record, too: only one migration can be the current"
        raise _malformed(current[-1], "is_current", what)


def _by_its_names(_stem: str, names: Sequence[str]) -> Sequence[str]:
    return names


def _by_its_file(stem: str, _names: Sequence[str]) -> Sequence[str]:
    return [stem]


def _by_its_number(stem: str, _names: Sequence[str]) -> Sequence[str]:
    dated = _DATED.fullmatch(stem)
    return [dated[1]] if dated else []


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(name=PYMONGO_MIGRATE, collection="pymongo_migrate", read=_pymongo_migrate, called=_by_its_names),
        Tool(name=MIGRATE_MONGO, collection="changelog", read=_migrate_mongo, called=_by_its_file),
        Tool(
            name=MONGODB_MIGRATIONS,
            collection="database_migrations",
            read=_mongodb_migrations,
            called=_by_its_number,
        ),
        Tool(name=BEANIE, collection="migrations_log", read=_beanie, called=_by_its_file),
    )
}


def _stem(file: str) -> str:
    return PurePosixPath(file).stem or file


def _text(document: Document, field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not value.strip():
        raise _malformed(document, field, _kind(document, field, "a name"))
    return value


def _flag(document: Document, field: str) -> bool:
    value = document.get(field)
    if not isinstance(value, bool):
        raise _malformed(document, field, _kind(document, field, "true or false"))
    return value


def _date(document: Document, field: str) -> datetime | None:
    """Return a date, None where there is none; those without a zone are taken for UTC, as they are stored."""
    value = document.get(field)
    if value is not None and not isinstance(value, datetime):
        raise _malformed(document, field, _kind(document, field, "a date"))
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _needed_date(document: Document, field: str) -> datetime:
    at = _date(document, field)
    if at is None:
        raise _malformed(document, field, _kind(document, field, "a date"))
    return at


def _kind(document: Document, field: str, wanted: str) -> str:
    if field not in document:
        return f"is missing, and should be {wanted}"
    return f"is a {type(document[field]).__name__}, and should be {wanted}"


def _malformed(document: Document, field: str, what: str) -> ForeignRecordError:
    return ForeignRecordError(in_line(repr(document.get("_id"))), field, what)
