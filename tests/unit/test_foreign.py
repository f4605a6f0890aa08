"""What the histories of other tools say, record by record, as those tools write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from chunkmigrate.bookkeeping import From
from chunkmigrate.disorder import ForeignRecordError
from chunkmigrate.foreign import BEANIE, MIGRATE_MONGO, MONGODB_MIGRATIONS, PYMONGO_MIGRATE, TOOLS

DAY = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


def moves(*names: str, current: bool = True) -> list[dict[str, Any]]:
    """Beanie's log of a pointer that stood at these names, one after the other."""
    return [
        {"name": f"{name}.py", "ts": day(number), "is_current": current and number == len(names) - 1}
        for number, name in enumerate(names)
    ]


def names(tool: str, documents: list[dict[str, Any]]) -> list[str]:
    return [one.name for one in TOOLS[tool].applied(documents)]


def dates(tool: str, documents: list[dict[str, Any]]) -> dict[str, datetime | None]:
    return {one.name: one.at for one in TOOLS[tool].applied(documents)}


def test_every_tool_can_be_named() -> None:
    """What the command line takes for --from are the tools that can be read, and no others."""
    assert [tool.value for tool in From] == [*TOOLS]


def test_pymongo_migrate() -> None:
    """Of pymongo-migrate what has a date is applied; what was downgraded has none."""
    records = [{"name": "1_a", "applied": day(1)}, {"name": "2_b", "applied": None}, {"name": "3_c"}]

    assert dates(PYMONGO_MIGRATE, records) == {"1_a": day(1)}


def test_migrate_mongo() -> None:
    """Of migrate-mongo each record is applied, whatever its file ends in; of several of one, the last."""
    records = [
        {"fileName": "1-first.js", "appliedAt": day(1), "migrationBlock": 1.0},
        {"fileName": "2-v1.2.mjs", "appliedAt": day(2), "fileHash": "x"},
        {"fileName": "1-first.js", "appliedAt": day(3), "fileHash": "y"},
    ]

    assert dates(MIGRATE_MONGO, records) == {"1-first": day(3), "2-v1.2": day(2)}


def test_mongodb_migrations() -> None:
    """Of mongodb-migrations each record is applied, called by its number, with or without a date."""
    records = [{"migration_datetime": "2024", "created_at": day(1)}, {"migration_datetime": "2025"}]

    assert dates(MONGODB_MIGRATIONS, records) == {"2024": day(1), "2025": None}


@pytest.mark.parametrize(
    ("stood_at", "applied"),
    [
        ("abc", "abc"),  # up, up, up
        ("abcb", "ab"),  # and one down
        ("abcba", "a"),
        ("abcabc", "abc"),  # down two, and up again
        ("abcad", "ad"),  # down two, whose files were deleted, and on
        ("a", "a"),
        ("bc", "bc"),  # `a` came later, and Beanie never looked at it
    ],
)
def test_beanie(stood_at: str, applied: str) -> None:
    """Of Beanie's log that is applied which was moved up to and not down from, and is in the log."""
    assert "".join(names(BEANIE, moves(*stood_at))) == applied


def test_beanie_dates() -> None:
    """Moving down to a migration is not when it was applied."""
    assert dates(BEANIE, moves(*"aba")) == {"a": day(0)}


def test_beanie_nothing_current() -> None:
    """Where nothing is current all was rolled back."""
    assert names(BEANIE, moves("a", "b", current=False)) == []


@pytest.mark.parametrize(
    ("tool", "document", "field"),
    [
        (PYMONGO_MIGRATE, {"applied": DAY}, "name is missing"),
        (PYMONGO_MIGRATE, {"name": "a", "applied": "2024"}, "applied is a str"),
        (PYMONGO_MIGRATE, {"name": "a", "applied": DatetimeMS(2**60)}, "applied is a DatetimeMS"),
        (PYMONGO_MIGRATE, {"name": " ", "applied": DAY}, "name is"),
        (MIGRATE_MONGO, {"fileName": "a.js"}, "appliedAt is missing"),
        (MIGRATE_MONGO, {"fileName": 3, "appliedAt": DAY}, "fileName is a int"),
        (MONGODB_MIGRATIONS, {"migration_datetime": 2024}, "migration_datetime is a int"),
        (MONGODB_MIGRATIONS, {"migration_datetime": "a"}, "migration_datetime is no number"),
        (BEANIE, {"name": "a.py", "ts": DAY}, "is_current is missing"),
        (BEANIE, {"name": "a.py", "is_current": True, "ts": 3}, "ts is a int"),
    ],
)
def test_malformed(tool: str, document: dict[str, Any], field: str) -> None:
    """A record the tool could not have written is refused by its _id, and says which field is wrong."""
    wrong = {"_id": ObjectId("6b0650bd2b29e575286fdf27")} | document
    with pytest.raises(ForeignRecordError) as raised:
        TOOLS[tool].applied([wrong])

    assert "_id ObjectId('6b0650bd2b29e575286fdf27')" in str(raised.value)
    assert f"its {field}" in str(raised.value)
    assert "Nothing was imported." in str(raised.value)


def test_two_current() -> None:
    """A log with two current migrations is refused: nobody can say what is applied."""
    two = [document | {"is_current": True} for document in moves("a", "b")]
    with pytest.raises(ForeignRecordError, match="only one migration can be the current"):
        TOOLS[BEANIE].applied(two)


@pytest.mark.parametrize(
    ("tool", "stem", "names_here", "called"),
    [
        (PYMONGO_MIGRATE, "renamed", ["renamed", "20190101_first"], ["renamed", "20190101_first"]),
        (MIGRATE_MONGO, "1-first", ["1-first"], ["1-first"]),
        (MONGODB_MIGRATIONS, "20240101_first", ["20240101_first"], ["20240101"]),
        (MONGODB_MIGRATIONS, "20240101_add2fa", ["20240101_add2fa"], []),  # which it never looks at
        (BEANIE, "20240101_a", ["20240101_a"], ["20240101_a"]),
    ],
)
def test_called(tool: str, stem: str, names_here: list[str], called: list[str]) -> None:
    """A file here is recognised by what that tool calls it."""
    assert [*TOOLS[tool].called(stem, names_here)] == called


def test_naive_dates() -> None:
    """A date without a zone is taken as it is stored, in UTC."""
    (one,) = TOOLS[PYMONGO_MIGRATE].applied([{"name": "a", "applied": DAY.replace(tzinfo=None)}])

    assert one.at == DAY
