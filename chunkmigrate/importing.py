"""Importing: another tool's history taken over, and nothing of theirs changed.

Their records are read through a client that can only read. What they say is applied is held against the files
and the entries here, before anything is written; then all of it is marked at once. What a record says is
``foreign``'s to know.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.errors import InvalidName

from chunkmigrate import readonly, server
from chunkmigrate.disorder import ForeignHistoryError
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.ledger import APPLIED, PENDING, Ledger
from chunkmigrate.marking import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.database import Database

    from chunkmigrate.foreign import Applied, Tool
    from chunkmigrate.migration import Migration

# Whatever a connection string makes of dates; those Python has none for come as another type, to be refused.
_PLAIN: CodecOptions[Any] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)

# Where a record says nothing of the time, they come in the order they were made.
_ORDER = [("_id", 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a history says, held against what is here. ``records`` is how many it has.

    ``marks`` are to be put on record; ``known`` are applied here already, and ``withdrawn`` are pending here
    because somebody marked them so, or rolled them back. ``fileless`` are those of the marks that have no
    file here, and ``pending`` the files here it says nothing of, that are not applied.
    """

    records: int
    marks: Sequence[Mark]
    known: Sequence[str]
    withdrawn: Sequence[str]
    fileless: Sequence[str]
    pending: Sequence[str]

    def document(self) -> dict[str, Any]:
        """Return it as plain values and times: see docs/json.md."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        return facts | {"marks": [{"migration": one.migration, "at": one.at} for one in self.marks]}


def found(database: Database[Any], tool: Tool, collection: str, migrations: Sequence[Migration]) -> Findings:
    """Return what the history of ``tool`` says. Reads only.

    Raises `ForeignHistoryError` where there is none, or where it and what is here contradict each other, and
    `ForeignRecordError` for a record that is none.
    """
    documents = _documents(database, collection)
    if not documents:
        raise ForeignHistoryError(
            f"There is no history of {tool.name} in {database.name}.{collection}. If it is called otherwise, "
            "name it with --collection; the database is the URI's, or --database. Nothing was changed."
        )
    applied, entries = tool.applied(documents), Ledger(database).entries()
    files = {one.name: _file(one, tool, migrations) for one in applied}
    theirs = {_name(one, files): one for one in applied}
    statuses = {name: entries[name]["status"] for name in theirs if name in entries}
    _check(tool, statuses)
    fresh = {name: one for name, one in theirs.items() if name not in statuses}
    return Findings(
        records=len(documents),
        marks=[_mark(name, one, files[one.name], tool) for name, one in fresh.items()],
        known=[name for name, status in statuses.items() if status == APPLIED],
        withdrawn=[name for name, status in statuses.items() if status == PENDING],
        fileless=[name for name, one in fresh.items() if files[one.name] is None],
        pending=[
            one.name
            for one in migrations
            if one.name not in theirs and entries.get(one.name, {}).get("status") != APPLIED
        ],
    )


def _documents(database: Database[Any], collection: str) -> list[dict[str, Any]]:
    try:
        with readonly.reading(database) as reader, pymongo.timeout(server.ATTEMPT_SECONDS):
            return [*reader.get_collection(collection, codec_options=_PLAIN).find().sort(_ORDER)]
    except InvalidName as error:
        raise InvalidSettingError(f"--collection {collection}: {error}.") from error


def _file(one: Applied, tool: Tool, migrations: Sequence[Migration]) -> Migration | None:
    """Return the file here that a record is of."""
    fitting = [here for here in migrations if one.name in tool.called(here.name, (here.name, *here.aliases))]
    if len(fitting) > 1:
        names = " and ".join(here.name for here in fitting)
        raise ForeignHistoryError(
            f"{tool.name} has applied {one.name}, and that could be {names}. Rename one of them. Nothing was "
            "changed."
        )
    return fitting[0] if fitting else None


def _name(one: Applied, files: Mapping[str, Migration | None]) -> str:
    here = files[one.name]
    return here.name if here else one.name


def _check(tool: Tool, statuses: Mapping[str, str]) -> None:
    """Refuse what both have had in hand: nobody knows whose word is the last."""
    for name, status in statuses.items():
        if status not in (APPLIED, PENDING):
            raise ForeignHistoryError(
                f"{tool.name} has applied {name}, and here it is {status}. Say which is true with "
                f"`chunkmigrate mark {name} --applied` or --pending, and import again. Nothing was changed."
            )


def _mark(name: str, one: Applied, here: Migration | None, tool: Tool) -> Mark:
    return Mark(
        migration=name,
        applied=True,
        origin=f"imported from {tool.name}",
        checksum=here.checksum if here else None,
        description=here.description if here else "",
        at=one.at,
        record=one.record,
    )
