"""Deaths: documents that kill whatever works on them are found, one by one, and set aside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from chunkmigrate import records
from chunkmigrate.load import Load
from chunkmigrate.records import Deaths
from chunkmigrate.sizing import MIB, Sizes
from chunkmigrate.step import AT_WORK
from chunkmigrate.throttle import Throttle
from tests.unit.engine import Database, database_of, pipeline_of
from tests.unit.making import Stored, backfill_of, key, set_a

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo import UpdateOne

    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key


class Killed(BaseException):
    """What a SIGKILL is: nothing that runs may catch it, and nothing may be done after it."""


def attempt(database: Database, scan: Stored, options: dict[str, Any], *, died: bool) -> None:
    """A run, from what the one before has left."""
    if died:
        mark = RawBSONDocument(bson.encode(database.mark)) if database.mark else None
        database.record = records.after_death(database.record, mark)
    database.record = replace(database.record, progressed=False)
    careful = AT_WORK if died or database.record.deaths else 0
    for _ in pipeline_of(database, backfill_of(scan=scan, **options), careful=careful):
        pass


def survived(killers: Sequence[int], *, joined: bool, count: int = 100) -> tuple[Database, int]:
    """Run again and again until it is done; what there is then, and how many runs were killed."""

    def work(order: dict[str, Any]) -> Any:
        if order["_id"] in killers:
            database.killed = True
            raise Killed
        return set_a(order)

    options = (
        {"each_chunk": lambda orders: [work(order) for order in orders]} if joined else {"transform": work}
    )
    documents = [bson.encode({"_id": number}) for number in range(count)]
    sizes = Sizes(chunk_bytes=4 * MIB, page_bytes=1_000, chunk_documents=40)
    database = database_of(count, sizes)
    for deaths in range(60):
        try:
            attempt(database, Stored(documents), options, died=deaths > 0)
        except Killed:
            continue
        return database, deaths
    pytest.fail(f"killed for ever; set aside: {database.aside}")


@pytest.mark.parametrize("joined", [False, True], ids=["each", "joined"])
@pytest.mark.parametrize("killers", [[0], [15], [99], [7, 8], [15, 16, 17], [0, 40, 99]], ids=str)
def test_killers(killers: list[int], *, joined: bool) -> None:
    """Exactly the documents that kill are set aside, alone and in clusters; every other one is written once.

    It takes five deaths at the most for each: one to become careful, one to know among which sixteen it is,
    three to be sure.
    """
    database, deaths = survived(killers, joined=joined)

    assert database.aside == dict.fromkeys(killers, "deaths")
    assert sorted(database.written) == [number for number in range(100) if number not in killers]
    assert deaths <= 5 * len(killers)


class Marks(Stored):
    """A scan that tells what is on record as at work whenever a page is read."""

    database: Database

    def page(self, after: Key | None, upto: Key, limit: int) -> Page:
        self.seen = [*getattr(self, "seen", []), number_at_work(self.database)]
        return super().page(after, upto, limit)


def number_at_work(database: Database) -> int | None:
    stored = (database.mark or {}).get("document")
    return None if stored is None else stored["_id"]


@pytest.mark.parametrize("joined", [False, True], ids=["each", "joined"])
@pytest.mark.parametrize("deaths", [None, Deaths(key(20), 1, 0, 16), Deaths(key(20), 2)], ids=str)
def test_nobody_is_blamed(deaths: Deaths | None, *, joined: bool) -> None:
    """After a death it is on record which documents are at work while they are transformed; while a page is
    read, the throttle holds the run back, a chunk is committed, and after the end, it is on record that none
    is.
    """
    scan, waits = Marks([bson.encode({"_id": number}) for number in range(100)]), []
    database = scan.database = database_of(
        100, Sizes(chunk_bytes=4 * MIB, page_bytes=300, chunk_documents=12)
    )
    database.record = replace(database.record, deaths=deaths)

    def work(order: dict[str, Any]) -> UpdateOne:
        first = number_at_work(database)
        assert first is not None
        assert first <= order["_id"] < first + database.mark["among"]  # type: ignore[index]
        return set_a(order)

    def load() -> Load:
        waits.append(number_at_work(database))
        return Load(flow_control=len(waits) % 3 == 0)

    options: dict[str, Any] = (
        {"each_chunk": lambda orders: [work(order) for order in orders]} if joined else {"transform": work}
    )
    pipeline = pipeline_of(
        database, backfill_of(scan=scan, **options), careful=AT_WORK, throttle=Throttle(load), sleep=waits_not
    )
    committed = [number_at_work(database) for _ in pipeline]

    assert sorted(database.written) == [*range(100)]
    assert len(scan.seen) > 2
    assert {*scan.seen, *waits, *committed, number_at_work(database)} == {None}


def waits_not(_seconds: float) -> None:
    """Sleep for no time."""


@pytest.mark.parametrize(
    "deaths", [Deaths(key(20), 2), Deaths(key(20), 0, 0, 4), Deaths(key(20), 3)], ids=str
)
def test_absolved(deaths: Deaths) -> None:
    """A document that killed runs is forgotten as soon as it, and whoever may have been it instead, was
    survived or set aside, and that is committed; not before.
    """
    database = database_of(100, Sizes(chunk_bytes=4 * MIB, page_bytes=1_000, chunk_documents=8))
    database.record = replace(database.record, deaths=deaths)
    known: dict[int, bool] = {}

    def work(orders: list[dict[str, Any]]) -> None:
        known.update({order["_id"]: database.record.deaths is not None for order in orders})

    scan = Stored([bson.encode({"_id": number}) for number in range(100)])
    for _ in pipeline_of(database, backfill_of(each_chunk=work, scan=scan), careful=AT_WORK):
        pass

    assert all(known[number] for number in range(20))
    assert not any(known[number] for number in range(50, 100))
    assert deaths.doomed or all(known[number] for number in range(20, 20 + deaths.among))
