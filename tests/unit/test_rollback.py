"""Which migrations are rolled back, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chunkmigrate.errors import InvalidSettingError, UnknownMigrationError, UsageError
from chunkmigrate.migration import Migration
from chunkmigrate.rollback import plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def migration(name: str, *dependencies: str) -> Migration:
    return Migration(name=name, path=Path(name), description="", checksum="", dependencies=dependencies)


def entries(*names: str, **statuses: str) -> dict[str, dict[str, Any]]:
    """What is on record of migrations that were worked on in this order."""
    return {
        name: {"_id": name, "status": statuses.get(name, "applied"), "began": NOW + timedelta(hours=number)}
        for number, name in enumerate(names)
    }


FOUND = [migration("a"), migration("b", "a"), migration("c")]


def names(*arguments: Any) -> list[str]:
    return [one.name for one in plan(*arguments).migrations]


def test_last() -> None:
    """Without a name it is what was worked on last, whatever the names; half-done ones are among them."""
    assert names(FOUND, entries("c", "a", "b")) == ["b"]
    assert names(FOUND, entries("a", "b", "c", c="failed")) == ["c"]
    assert names(FOUND, entries("a", "b", "c", c="pending")) == ["b"]


def test_steps() -> None:
    """So many are rolled back as are asked for, or as there are, the last one first."""
    assert names(FOUND, entries("a", "b", "c"), None, 2) == ["c", "b"]
    assert names(FOUND, entries("a", "b", "c"), None, 9) == ["c", "b", "a"]


def test_of_one_time() -> None:
    """What was put on record at one time, as by a baseline, goes back in the opposite of its order."""
    same = {name: entry | {"began": NOW} for name, entry in entries("a", "b", "c").items()}
    assert names(FOUND, same) == ["c"]
    assert names(FOUND, same, None, 2) == ["c", "b"]


def test_named() -> None:
    """One that is named is rolled back, also where its file is gone; one that is pending is not."""
    assert names(FOUND, entries("a", "b", "c"), "b") == ["b"]
    assert names(FOUND, entries("gone", "a"), "gone") == ["gone"]
    assert plan(FOUND, entries("a"), "c").nothing == "c is not applied; there is nothing to roll back."
    with pytest.raises(UnknownMigrationError):
        plan(FOUND, {}, "d")


def test_nothing() -> None:
    """Where nothing is applied there is nothing to roll back, and that is said."""
    assert "nothing to roll back" in plan(FOUND, {}).nothing
    assert plan(FOUND, {}).migrations == []


def test_depended_on() -> None:
    """What something depends on that is applied stays, and both are named; what goes first does not count."""
    with pytest.raises(UsageError, match="a cannot be rolled back while what depends on it is applied: b"):
        plan(FOUND, entries("a", "b", "c"), "a")
    assert names(FOUND, entries("a", "b", b="pending"), "a") == ["a"]
    assert names(FOUND, entries("a", "b"), None, 2) == ["b", "a"]


@pytest.mark.parametrize(("name", "steps"), [("a", 1), (None, 0), (None, -1)])
def test_cannot_be_meant(name: str | None, steps: int) -> None:
    """A name and a number of steps exclude each other, and one step is the least."""
    with pytest.raises(InvalidSettingError, match="--steps"):
        plan(FOUND, entries("a"), name, steps)
