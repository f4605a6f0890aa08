"""Touching: what a step reads and writes, as far as it says so itself or a few documents tell.

The author's transform is called with some of them, and nothing of its answer is sent. A whole rehearsal is
``dryrun``'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
import pymongo
from pymongo.errors import PyMongoError

from chunkmigrate.backfill import writes_of
from chunkmigrate.differences import statement_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.foresight import Statement
    from chunkmigrate.scan import Scan
    from chunkmigrate.server_updates import ServerUpdate

# Of documents of one kind the first shows what is written; those of other kinds are a matter of luck.
SAMPLED = 20

# A filter that matches next to nothing may take the server for ever, and whoever plans waits for the answer.
LOOK_SECONDS = 3.0

_SETTING = ("$set", "$addFields", "$unset", "$project")


@dataclass(frozen=True, order=True, slots=True)
class Written:
    """What is written to one collection: ``kind`` is update, replace, insert or delete.

    ``fields`` are those an update names; empty where it writes whole documents, or does not say.
    """

    namespace: str
    kind: str
    fields: tuple[str, ...] = ()


def written(backfill: Backfill) -> tuple[Written, ...] | None:
    """Return what the writes for the first documents would touch; None where none of them tells.

    Raises `readonly.Refused` where the author's code writes by itself.
    """
    if backfill.server is not None:
        return (Written(backfill.target.full_name, "update", tuple(sorted(_named(backfill.server)))),)
    found: dict[tuple[str, str], set[str]] = {}
    for statement in _statements(backfill):
        kind, fields = _touched(statement)
        found.setdefault((statement.namespace, kind), set()).update(fields)
    return tuple(sorted(Written(*where, tuple(sorted(fields))) for where, fields in found.items())) or None


def filtered_by(filter_: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields a filter asks about, in order.

    >>> filtered_by({"$or": [{"b": 1}, {"a.c": None}], "b": 2, "$expr": {}})
    ('a.c', 'b')
    """
    names = {name for name in filter_ if not name.startswith("$")}
    for name in ("$and", "$or", "$nor"):
        names.update(*(filtered_by(part) for part in filter_.get(name, ())))
    return tuple(sorted(names))


def _statements(backfill: Backfill) -> Iterator[Statement]:
    for document in _documents(backfill.scan):
        try:
            if backfill.transform:
                answer = backfill.transform(document)
            elif backfill.each_chunk:
                answer = backfill.each_chunk([document])
            else:
                return
            yield from [statement_of(write, backfill.target) for write in writes_of(answer)]
        except (Exception, SystemExit):  # noqa: S112 - a document that fails tells nothing of what is written
            continue


def _documents(scan: Scan) -> Iterator[Any]:
    """Yield the first documents, one at a time, as far as the server finds them in time."""
    projection = None if scan.fields is None else dict.fromkeys(scan.fields, 1) | {"_id": 1}
    with suppress(PyMongoError), pymongo.timeout(LOOK_SECONDS):
        yield from scan.collection.find(scan.filter, projection, limit=SAMPLED, batch_size=1)


def _touched(statement: Statement) -> tuple[str, set[str]]:
    if statement.kind != "update":
        return statement.kind, set()
    change = bson.decode(statement.encoded)["u"]
    if not isinstance(change, list) and not all(name.startswith("$") for name in change):
        return "replace", set()
    return "update", _named(change)


def _named(change: ServerUpdate) -> set[str]:
    """Return the fields an update names: the stages of a pipeline, or operators."""
    if isinstance(change, Mapping):
        return {name for operator, named in change.items() for name in _of_operator(operator, named)}
    return {name for stage in change for name in _of_stage(stage)}


def _of_operator(operator: str, named: Mapping[str, Any]) -> Sequence[str]:
    new = [str(name) for name in named.values()] if operator == "$rename" else []
    return [*named, *new]


def _of_stage(stage: Mapping[str, Any]) -> Sequence[str]:
    found: list[str] = []
    for name in _SETTING:
        named = stage.get(name, ())
        found += [named] if isinstance(named, str) else [*named]
    return found
