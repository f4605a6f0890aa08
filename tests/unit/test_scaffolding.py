"""Scaffolding: a migration and its test, written where nothing was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.migration import discover
from chunkmigrate.scaffolding import write

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)


def test_only_the_migration_is_one(tmp_path: Path) -> None:
    """The test lies where no migration is looked for."""
    migration, test = write(tmp_path / "m", "Order prices, in cents!", NOW)

    assert migration == tmp_path / "m" / "20260105090000_order_prices_in_cents.py"
    assert test == tmp_path / "m" / "tests" / "test_20260105090000_order_prices_in_cents.py"
    assert [found.path for found in discover(tmp_path / "m")] == [migration]


@pytest.mark.parametrize("name", ["20260105090000_prices.py", "tests/test_20260105090000_prices.py"])
def test_overwrites_nothing(tmp_path: Path, name: str) -> None:
    """A file that is there stays as it is, and is named."""
    (tmp_path / "tests").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(InvalidSettingError, match=f"{name} cannot be written: File exists"):
        write(tmp_path, "prices", NOW)

    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("title", ["", "!!", " - "])
def test_no_name(tmp_path: Path, title: str) -> None:
    """A title without a letter or digit is refused, and nothing is written."""
    with pytest.raises(InvalidSettingError, match="no letter or digit"):
        write(tmp_path, title, NOW)

    assert [*tmp_path.iterdir()] == []
