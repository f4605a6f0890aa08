"""The tests an author writes, run as an author runs them: by pytest, in a project of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import confined
from chunkmigrate.errors import ChunkmigrateError, UsageError
from chunkmigrate.migration import discover
from chunkmigrate.testing import Migrate
from tests.acceptance.conftest import INCREMENT, CommandLine

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "testing.md").read_text("utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

PASSING = """
def test_by_name(migrate, chunkmigrate_db):
    chunkmigrate_db.c.create_index("n")
    assert migrate("add_one", {"c": [{"_id": 1}]}).found("c") == [{"_id": 1, "n": 1}]
    assert "n_1" in chunkmigrate_db.c.index_information()


def test_empty(chunkmigrate_db):
    assert chunkmigrate_db.list_collection_names() == []
"""

# Both keep all they read. One does so before the engine can do anything about it.
HOARD = '''"""Keep every document."""

from chunkmigrate import Backfill, scan

kept = []


def upgrade(db):
    return Backfill(scan(db.c), lambda document: kept.append(document["text"] * 8))
'''
LIST_ALL = '''"""List all documents first."""


def upgrade(db):
    return len([document["text"] * 8 for document in db.c.find()]) and None
'''
LARGE = {"c": [{"_id": number, "text": f"{number:010}" * 1_000} for number in range(2_000)]}


@dataclass(frozen=True)
class Project:
    """A project on somebody's machine."""

    folder: Path
    uri: str

    def pytest(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env=os.environ | {"MONGODB_URI": self.uri} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path, mongodb_uri: str) -> Project:
    return Project(tmp_path, mongodb_uri)


@pytest.fixture
def migrate(db: Database[Any], mongodb_uri: str, cli: CommandLine) -> Migrate:
    return Migrate(db, cli.folder / "migrations", mongodb_uri)


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_new_tests_pass(cli: CommandLine, project: Project, mode: str) -> None:
    """The tests `new` writes pass as they stand, however pytest imports them, where warnings are errors."""
    cli("new", "order prices in cents")
    cli("new", "prices again")
    done = project.pytest(f"--import-mode={mode}", "-W", "error")

    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_new_test_of_one(cli: CommandLine, project: Project) -> None:
    """A test can be run alone, by its path, and without a server where it needs none."""
    path = cli("new", "prices").stderr.split()[3].removesuffix(";")
    done = project.pytest(f"{project.folder / path}::test_to_cents", MONGODB_URI="mongodb://127.0.0.1:1")

    assert done.returncode == 0, done.stdout


def test_example_is_what_new_writes(cli: CommandLine) -> None:
    """The test beside the example is the one `new` writes, which the linters see that way."""
    made = Path(cli("new", "order prices in cents").stdout.strip())
    written = (cli.folder / made.parent / "tests" / f"test_{made.name}").read_text("utf-8")
    [example] = (ROOT / "migrations" / "tests").glob("*_order_prices_in_cents.py")

    assert written == example.read_text("utf-8").replace(example.stem.removeprefix("test_"), made.stem)


def test_fixtures(cli: CommandLine, project: Project, client: MongoClient[Any]) -> None:
    """The fixtures find the project's folder of migrations, and leave no database behind."""
    cli.write(INCREMENT)
    (project.folder / "migrations").rename(project.folder / "changes")
    (project.folder / "pyproject.toml").write_text('[tool.chunkmigrate]\ndir = "changes"\n')
    (project.folder / "test_it.py").write_text(PASSING)
    before = set(client.list_database_names())
    done = project.pytest("-W", "error")

    assert done.returncode == 0, done.stdout
    assert set(client.list_database_names()) <= before


def test_without_a_server(project: Project) -> None:
    """Without a server of any kind, a test is an error with one sentence that says what to do."""
    (project.folder / "test_it.py").write_text(PASSING)
    (project.folder / "conftest.py").write_text("import sys\nsys.modules['fiftyone'] = None\n")
    done = project.pytest("-k", "empty", MONGODB_URI="", PATH="")

    assert done.returncode == 1
    assert "set MONGODB_URI to a server of your own" in done.stdout
    assert "Traceback" not in done.stdout
    assert ".py:" not in done.stdout.partition("short test summary")[0]


def test_not_idempotent(project: Project, cli: CommandLine) -> None:
    """A migration that may not be applied twice fails its test with what differs, and none of our code."""
    cli.write(INCREMENT)
    (project.folder / "test_it.py").write_text(
        "def test_twice(migrate):\n    migrate.twice('add_one', {'c': [{'_id': 1}]})\n"
    )
    done = project.pytest()

    assert done.returncode == 1
    assert "E         c, _id 1: n: 1 -> 2" in done.stdout
    assert "testing.py" not in done.stdout


def test_printed_tests(cli: CommandLine, project: Project) -> None:
    """The tests that the documentation prints pass on the migration they are about."""
    shutil.copytree(ROOT / "migrations", project.folder / "migrations")
    shutil.rmtree(project.folder / "migrations" / "tests")
    printed = [block for text in (README, GUIDE) for block in PYTHON.findall(text) if "def test_" in block]
    for number, block in enumerate(printed):
        (project.folder / f"test_{number}.py").write_text(block)
    done = project.pytest("-W", "error")

    assert done.returncode == 0, done.stdout
    assert f"{len(printed)} passed" in done.stdout


def test_fits(migrate: Migrate, cli: CommandLine) -> None:
    """What fits into its memory says how much it needed, of a process that is not the test's."""
    cli.write(INCREMENT)
    migrated = migrate("add_one", LARGE, memory="64Mi")

    assert migrated.counts.written == len(LARGE["c"])
    assert migrated.found("c")[0] == LARGE["c"][0] | {"n": 1}
    assert migrated.start is not None
    assert migrated.peak is not None
    assert migrated.start <= migrated.peak <= 64 * 1024 * 1024


@pytest.mark.parametrize("source", [HOARD, LIST_ALL])
def test_does_not_fit(migrate: Migrate, cli: CommandLine, source: str) -> None:
    """What needs more memory than it may have fails, with a sentence that says so and what to do."""
    cli.write(source)
    with pytest.raises(AssertionError, match=r"add_one needs more than 64Mi.*Name the fields it needs"):
        migrate("add_one", LARGE, memory="64Mi")


def test_measured(db: Database[Any], mongodb_uri: str, cli: CommandLine) -> None:
    """Where no limit can be set, the failure says by how much the peak was too much."""
    db.c.insert_many(LARGE["c"])
    cli.write(LIST_ALL)
    [migration] = discover(cli.folder / "migrations")
    with pytest.raises(
        AssertionError, match=r"had \d+ MiB in use at its peak, \d+ MiB too much; its process"
    ):
        confined.run(migration, db, mongodb_uri, "64Mi", limiter=None)


def test_fails_in_a_process_of_its_own(migrate: Migrate, cli: CommandLine) -> None:
    """With memory= a failure has the run's own sentence, too; and a function cannot be taken along."""
    cli.write(INCREMENT.replace('document["_id"]', "1 / 0"))
    with pytest.raises(ChunkmigrateError, match=r"raised ZeroDivisionError: .* given document _id 1\."):
        migrate("add_one", {"c": [{"_id": 1}]}, memory="64Mi")
    with pytest.raises(UsageError, match="give the migration's name, its path or its module"):
        migrate(lambda _db: None, memory="64Mi")
