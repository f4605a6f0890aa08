"""Scan: a resumable read of one collection, in ``_id`` order.

A scan describes what to read; it holds no cursor. Every page is one short ``find`` of its own, bounded
by two keys, so a read can stop anywhere and go on years later. Iterating a scan yields decoded documents
with flat memory. What a page is and how many documents it should have is ``pages``' business, how long a
read may take and what happens then is ``windows``'; writing is nobody's here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import ConnectionFailure, OperationFailure

from chunkmigrate.pages import Page, PageReader
from chunkmigrate.raw import enclosed, one_of
from chunkmigrate.retry import Retry
from chunkmigrate.windows import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

    from chunkmigrate.raw import Key

RAW = CodecOptions(document_class=RawBSONDocument)

PLAIN_PAGE_BYTES = 1 << 20

# Whoever counts waits for the answer.
COUNT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Scan:
    """What to read: made by `scan`."""

    collection: Collection[Any]
    filter: Mapping[str, Any]
    fields: tuple[str, ...] | None
    hint: str | None = None

    def __iter__(self) -> Iterator[Any]:
        """Yield the documents decoded, one at a time, in ``_id`` order."""
        Retry()(self.check)
        upto = Retry()(self.upper_bound)
        if upto is None:
            return
        for page in PageReader(self, upto).pages(None, PLAIN_PAGE_BYTES, measured=False):
            yield from page.decoded(self.collection.codec_options)

    def on(self, database: Database[Any]) -> Scan:
        """Return the same scan of another client's database."""
        name, options = self.collection.name, self.collection.codec_options
        return replace(self, collection=database.get_collection(name, codec_options=options))

    def only(self, fields: tuple[str, ...]) -> Scan:
        """Return the same scan of fewer fields."""
        return replace(self, fields=fields)

    @property
    def namespace(self) -> str:
        """``database.collection``."""
        return self.collection.full_name

    def check(self) -> None:
        """Raise `UnusableIndexError` where ``hint`` names an index that cannot be read for the filter."""
        if self.hint is not None:
            from chunkmigrate.hints import check_hint

            with pymongo.timeout(READ_SECONDS):
                check_hint(self)

    def explained(self, verbosity: str, limit: int) -> Mapping[str, Any]:
        """Return what the server says of how it reads the first ``limit`` documents; empty where none are."""
        upto = self.upper_bound()
        if upto is None:
            return {}
        command = {"explain": self._projected(self._bounded(None, upto, limit)), "verbosity": verbosity}
        answer: Mapping[str, Any] = self.collection.database.command(command)
        return answer

    def count(self, after: Key | None = None) -> int | None:
        """Return how many documents match behind ``after``, or None if that takes over two seconds to say.

        Without a filter and a position it is the collection's own count, which costs nothing. A server that
        cannot be asked now does not say either: no run should end because of a figure.
        """
        try:
            with pymongo.timeout(COUNT_SECONDS):
                return self._count(after)
        except (OperationFailure, ConnectionFailure):
            # Out of time, or a filter that may be found with but not counted with.
            return None

    def _count(self, after: Key | None) -> int:
        if not self.filter and after is None:
            return self.collection.estimated_document_count()
        ahead = compared("$gt", after) if after else {}
        return self.collection.count_documents({"$and": [self.filter, ahead]}, hint=self.hint or "_id_")

    def average_size(self) -> int:
        """Return the mean bytes of a stored document, or 0 where the server does not say in two seconds."""
        try:
            with pymongo.timeout(COUNT_SECONDS):
                stats = self.collection.database.command("collStats", self.collection.name)
        except (OperationFailure, ConnectionFailure):
            return 0
        return int(stats.get("avgObjSize", 0))

    def upper_bound(self) -> Key | None:
        """Return the greatest ``_id`` of the collection now, or None when it is empty.

        The filter is left out on purpose: the bound is then one step into the index, whatever the filter
        would have had to look at.
        """
        command = {"find": self.collection.name, "sort": {"_id": -1}, "hint": {"_id": 1}, "limit": 1}
        with pymongo.timeout(READ_SECONDS):
            found = self._find(command | {"projection": {"_id": 1}})
        return found.through if found else None

    def page(self, after: Key | None, upto: Key, limit: int, *, session: ClientSession | None = None) -> Page:
        """Return up to ``limit`` documents behind ``after`` and before ``upto``, both left out.

        With a ``session`` they are read in its transaction.
        """
        return self._find(self._projected(self._bounded(after, upto, limit)), session)

    def last(self, upto: Key, *, session: ClientSession | None = None) -> Page:
        """Return the document at ``upto`` itself, if it is there and matches."""
        return self._find(self._projected(self._command([upto.document()], 1)), session)

    def among(self, keys: Sequence[Key], *, session: ClientSession | None = None) -> Page:
        """Return the documents called ``keys`` that match, read in the transaction of ``session``."""
        return self._find(self._projected(self._command([one_of(keys)], len(keys))), session)

    def sizes(
        self, after: Key | None, upto: Key, limit: int, *, session: ClientSession | None = None
    ) -> list[int]:
        """Return the bytes of the next documents as ``page`` would read them, at most ``limit`` of them.

        A dotted field counts with the whole of its outermost parent: never less than what is read.
        """
        return self._sizes(self._bounded(after, upto, limit), session)

    def last_size(self, upto: Key) -> list[int]:
        """Return the bytes of the document at ``upto`` itself, if it is there and matches."""
        return self._sizes(self._command([upto.document()], 1))

    def keys(
        self,
        after: Key | None,
        upto: Key,
        limit: int,
        *,
        skip: int = 0,
        session: ClientSession | None = None,
    ) -> list[Key]:
        """Return the ``_id``s of the documents ``page`` would read, and nothing else of them.

        The first ``skip`` of them are left out.
        """
        command = self._bounded(after, upto, limit) | {"projection": {"_id": 1}, "skip": skip}
        found = self._find(command, session)
        return [found.key(index) for index in range(len(found))]

    def before(self, key: Key, limit: int) -> list[Key]:
        """Return the ``_id``s of up to ``limit`` documents in front of ``key``, the nearest first."""
        backwards = {"hint": {"_id": 1}, "sort": {"_id": -1}, "max": key.document()}
        command = self._command([], limit) | backwards
        found = self._find(command | {"projection": {"_id": 1}})
        return [found.key(index) for index in range(len(found))]

    def ahead(self, after: Key | None, upto: Key, count: int) -> Key | None:
        """Return the ``_id`` of the ``count``-th document behind ``after``, None where ``upto`` comes first.

        The filter is left out: that is so many steps in the index, and no document is looked at.
        """
        found = Scan(self.collection, {}, ()).keys(after, upto, 1, skip=count - 1)
        return found[0] if found else None

    def window(self, after: Key | None, through: Key) -> dict[str, Any]:
        """Return the filter of what matches behind ``after``, up to and with ``through``.

        It is for updates, which know no ``min()`` and ``max()``.
        """
        if after is not None and after.in_order_with(through):
            between = enclosed(after.element("$gt") + through.element("$lte"))
            return {"$and": [self.filter, {"_id": RawBSONDocument(between)}]}
        behind = [compared("$gt", after)] if after else []
        return {"$and": [self.filter, *behind, compared("$lte", through)]}

    def one(self, key: Key) -> dict[str, Any]:
        """Return the filter of the document called ``key``, if it matches."""
        return {"$and": [self.filter, key.document()]}

    def _sizes(self, command: dict[str, Any], session: ClientSession | None = None) -> list[int]:
        projection = {"_id": 0, "size": {"$bsonSize": self.measured}}
        found = self._find(command | {"projection": projection}, session)
        return [bson.decode(size)["size"] for size in found]

    def _projected(self, command: dict[str, Any]) -> dict[str, Any]:
        if self.fields is None:
            return command
        return command | {"projection": dict.fromkeys(self.fields, 1) | {"_id": 1}}

    @property
    def measured(self) -> Any:
        """The expression that is what is read of a document, for ``$bsonSize``."""
        if self.fields is None:
            return "$$ROOT"
        outermost = {field.partition(".")[0] for field in self.fields} | {"_id"}
        return {name: f"${name}" for name in sorted(outermost)}

    def _bounded(self, after: Key | None, upto: Key, limit: int) -> dict[str, Any]:
        if after is not None and after.in_order_with(upto):
            between = enclosed(after.element("$gt") + upto.element("$lt"))
            return self._command([{"_id": RawBSONDocument(between)}], limit)
        if self.hint is not None:
            behind = [compared("$gt", after)] if after else []
            return self._command([*behind, compared("$lt", upto)], limit)
        if after is None:
            return self._command([], limit) | {"max": upto.document()}
        # Index bounds compare as the index does, whatever the types. They include their lower end, hence
        # the $ne: the server then reads the document read before once more, but does not send it.
        bounds = {"min": after.document(), "max": upto.document()}
        return self._command([{"_id": after.document("$ne")}], limit) | bounds

    def _command(self, conditions: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
        filters = [self.filter, *conditions] if self.filter else list(conditions)
        return {
            "find": self.collection.name,
            "filter": {"$and": filters} if filters else {},
            "sort": {"_id": 1},
            "hint": self.hint or {"_id": 1},
            "limit": limit,
            "singleBatch": True,
            "batchSize": limit,
        }

    def _find(self, command: dict[str, Any], session: ClientSession | None = None) -> Page:
        reply = self.collection.database.command(command, codec_options=RAW, session=session)
        return Page.of(reply.raw)


def compared(how: str, key: Key) -> dict[str, Any]:
    """Return a condition on ``_id`` that compares as an index does: other types are less or greater, too."""
    return {"$expr": {how: ["$_id", {"$literal": key.document()["_id"]}]}}


def scan(
    collection: Collection[Any],
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - pymongo's own word for it
    *,
    fields: Sequence[str] | None = None,
    hint: str | None = None,
) -> Scan:
    """Describe a read of ``collection``, in ``_id`` order.

    ``filter`` is an ordinary MongoDB filter. ``fields`` names what the transform needs (``_id`` always
    comes along); without it whole documents are read. Few fields are the cheapest way to a small pod.

    Where few of many documents match, ``hint`` names an index that spares looking at the others: one on the
    fields the filter has a value for, with ``_id`` behind them, such as ``"status_1__id_1"``.
    """
    if isinstance(fields, str):
        message = f"fields is a list of names, not one name: write fields=[{fields!r}]"
        raise TypeError(message)
    if not isinstance(hint, str | None):
        message = f"hint is the name of an index, such as 'status_1__id_1', not {hint!r}"
        raise TypeError(message)
    return Scan(collection, dict(filter or {}), None if fields is None else tuple(fields), hint)
