"""Scaffolding: what ``chunkmigrate new`` writes, a migration and a test of it. Both run as they stand.

The test lies in a folder of its own, because every file beside a migration is one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from chunkmigrate import settings
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.migration import EXAMPLE
from chunkmigrate.options import Dir  # noqa: TC001 (typer reads it)

if TYPE_CHECKING:
    from pathlib import Path

# The migration is imported by its path: a name that begins with a number is beyond an import statement.
TEST = '''"""Test what becomes of orders: given these documents, those are expected."""

from pathlib import Path

from chunkmigrate import UpdateOne
from chunkmigrate.testing import load

migration = load(Path(__file__).parents[1] / "MIGRATION.py")


def test_documents(migrate):
    """An order gets its price in cents; one that has it stays as it is."""
    given = [{"_id": 1, "price": 12.34}, {"_id": 2, "cents": 5}]
    migrated = migrate(migration, {"orders": given})

    assert migrated.found("orders") == [
        {"_id": 1, "price": 12.34, "cents": 1234},
        {"_id": 2, "cents": 5},
    ]


def test_twice(migrate):
    """Applied a second time, it changes nothing."""
    migrate.twice(migration, {"orders": [{"_id": 1, "price": 12.34}]})


def test_to_cents():
    """The transform alone is a plain function, and needs no server."""
    write = migration.to_cents({"_id": 1, "price": 12.34})

    assert write == UpdateOne({"_id": 1}, {"$set": {"cents": 1234}})
'''


def new(
    name: Annotated[
        str, typer.Argument(help="What it does, in a few words: order_prices_in_cents.", metavar="NAME")
    ],
    *,
    directory: Dir = None,
) -> None:
    """Write a new migration that runs as it stands, and its test.

    Example: chunkmigrate new order_prices_in_cents
    """
    migration, test = write(settings.here(dir=directory).folder, name, datetime.now(UTC))
    typer.echo(f"Its test is {test}; run it with pytest.", err=True)
    typer.echo(migration)


def write(folder: Path, title: str, now: datetime) -> tuple[Path, Path]:
    """Write a migration called after ``title`` and ``now``, and its test; return where they are.

    No file is overwritten. Raises `InvalidSettingError` where one cannot be written, or for a title that
    makes no name.
    """
    migration = folder / f"{now:%Y%m%d%H%M%S}_{_slug(title)}.py"
    test = folder / "tests" / f"test_{migration.name}"
    _write(migration, EXAMPLE)
    _write(test, example_test(migration.stem))
    return migration, test


def example_test(name: str) -> str:
    """Return the test of a migration called ``name`` that is still the example."""
    return TEST.replace("MIGRATION", name)


def _slug(title: str) -> str:
    slug = "_".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
    if not slug:
        message = f"{title!r} has no letter or digit to make a file name of."
        raise InvalidSettingError(message)
    return slug


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise InvalidSettingError(message) from error
