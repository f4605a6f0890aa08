"""Migration: files found, ordered, and loaded."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate.backfill import Backfill
from chunkmigrate.errors import (
    BudgetTooSmallError,
    ChunkmigrateError,
    InvalidModuleError,
    InvalidSettingError,
    UnknownMigrationError,
)
from chunkmigrate.migration import EXAMPLE, Migration, discover, find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DB = MongoClient[dict[str, Any]](connect=False)["shop"]
FINE = "def upgrade(db):\n    pass\n"


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    """What loading a migration leaves in sys is gone after the test."""
    path, modules = sys.path.copy(), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("chunkmigrate_migration_", "shop_")):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    return tmp_path / "migrations"


def write(folder: Path, **sources: str) -> list[Path]:
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return [folder / f"{name}.py" for name in sources]


def loaded(folder: Path, source: str) -> Migration:
    return Migration.read(write(folder, m=source)[0])


def names(folder: Path) -> list[str]:
    return [migration.name for migration in discover(folder)]


def test_by_name(folder: Path) -> None:
    """Migrations are applied by name; what begins with an underscore, or is no Python, is none."""
    write(folder, m20240102_b=FINE, m20240101_a=FINE, __init__="", _helpers="")
    (folder / "notes.txt").write_text("")
    (folder / "__pycache__").mkdir()

    assert names(folder) == ["m20240101_a", "m20240102_b"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "dependencies = ['c']", "b": "", "c": ""}, ["b", "c", "a"]),
        ({"a": "dependencies = ['b']", "b": "dependencies = ['c']", "c": ""}, ["c", "b", "a"]),
        ({"a": "dependencies = []", "b": "dependencies = ()"}, ["a", "b"]),
        ({"a": "dependencies = ['second']", "b": "name = 'second'"}, ["b", "a"]),
        ({"a": "name = 'first'", "b": "name = 'second'\ndependencies = ['first']"}, ["a", "b"]),
        ({"a": "depends_on = ['c']", "b": "", "c": ""}, ["b", "c", "a"]),
        ({"a": "depends_on: list[str] = ['b']\ndependencies = ['c']", "b": "", "c": ""}, ["b", "c", "a"]),
        ({"a": "other = depends_on = ('b',)", "b": ""}, ["b", "a"]),
        ({"a": "name: str = compute()", "b": ""}, ["a", "b"]),
        ({"a": "def upgrade(db):\n    dependencies = ['x']", "b": ""}, ["a", "b"]),
    ],
)
def test_dependencies(folder: Path, sources: dict[str, str], expected: list[str]) -> None:
    """What a module depends on comes first, by file or by the name it gives itself, as pymongo-migrate's."""
    write(folder, **sources)

    assert names(folder) == expected


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            {"a": "dependencies = ['b']", "b": "depends_on = ['a']"},
            "These depend on each other in a circle: a -> b -> a. Take one name out of depends_on.",
        ),
        (
            {"a": "", "b": "depends_on = ['b']"},
            "These depend on each other in a circle: b -> b. Take one name out of depends_on.",
        ),
        ({"a": "dependencies = ['nope']"}, "FOLDER/a.py depends on nope, which is not in its folder."),
        (
            {"a": "depends_on = ['order_price']", "order_prices": ""},
            "FOLDER/a.py depends on order_price, which is not in its folder. Is order_prices meant?",
        ),
    ],
)
def test_no_order(folder: Path, sources: dict[str, str], message: str) -> None:
    """A circle and an unknown dependency are named."""
    write(folder, **sources)
    with pytest.raises(InvalidModuleError) as caught:
        discover(folder)

    assert str(caught.value) == message.replace("FOLDER", str(folder))


@pytest.mark.parametrize(
    "source",
    [
        "depends_on = compute()",
        "depends_on = 'b'",
        "depends_on = ['b', 5]",
        "depends_on = [{[]: 1}]",
        "dependencies = []\ndependencies += ['b']",
        "dependencies: list[str]",
    ],
)
def test_unreadable_dependencies(folder: Path, source: str) -> None:
    """An order that only running the file would tell is refused: it would be followed by nobody."""
    write(folder, a=source, b="")
    with pytest.raises(InvalidModuleError) as caught:
        discover(folder)

    assert "that cannot be read without running the file. Write the names of migrations out" in str(
        caught.value
    )


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is named, with how to make one."""
    with pytest.raises(InvalidSettingError) as caught:
        discover(tmp_path / "nope")

    assert str(caught.value) == (
        f"There is no folder {tmp_path / 'nope'} with migrations. Make one with `chunkmigrate new NAME`, or "
        "name it with --dir."
    )


def test_empty_folder(folder: Path) -> None:
    """An empty folder has no migrations, which is no error."""
    assert discover(folder) == []


def test_broken_is_listed(folder: Path) -> None:
    """A file that cannot even be parsed is listed like the others, and nothing is imported to list it."""
    write(folder, a="def upgrade(db)\n", b="raise SystemExit\n", c="a = '\0'\n", d=f'"""Fine."""\n{FINE}')
    found = discover(folder)

    assert [(one.name, one.description) for one in found] == [("a", ""), ("b", ""), ("c", ""), ("d", "Fine.")]
    assert len({one.checksum for one in found}) == 4


def test_read(folder: Path) -> None:
    """A migration has its file's name, its docstring's first line, and what pymongo-migrate declares."""
    [path] = write(folder, m1='"""Say it.\n\nMore."""\nname = "one"\ndependencies = ["zero"]\n')
    found = Migration.read(path)

    assert (found.name, found.path, found.description) == ("m1", path, "Say it.")
    assert (found.aliases, found.dependencies) == (("one",), ("zero",))


@pytest.mark.parametrize(
    ("line", "memory"), [("", ""), ('memory = "512Mi"', "512Mi"), ("memory = 64", "64"), ("memory = f()", "")]
)
def test_memory(folder: Path, line: str, memory: str) -> None:
    """What a migration says of its memory is read, as it is written, without running it."""
    assert loaded(folder, f"{FINE}{line}\n").memory == memory


def test_checksum(folder: Path) -> None:
    """The checksum is the meaning's: line ends of Windows do not count, a changed digit does."""
    unix, windows, other = (folder / f"{name}.py" for name in "abc")
    unix.write_bytes(b"x = 1\ny = 2\n")
    windows.write_bytes(b"x = 1\r\ny = 2\r\n")
    other.write_bytes(b"x = 1\ny = 3\n")

    assert Migration.read(unix).checksum == Migration.read(windows).checksum
    assert Migration.read(unix).checksum != Migration.read(other).checksum
    assert Migration.read(unix).checksum.startswith("meaning1:")


@pytest.fixture
def several(folder: Path) -> list[Migration]:
    write(folder, m1_price=FINE, m2_price_cents=FINE, m3_names="name = 'renaming'\n", m2=FINE)
    return discover(folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m1_price", "m1_price"),
        ("m1_price.py", "m1_price"),
        ("migrations/m1_price.py", "m1_price"),
        ("/app/migrations/m1_price.py", "m1_price"),
        ("cents", "m2_price_cents"),
        ("m3", "m3_names"),
        ("renaming", "m3_names"),
        ("m2", "m2"),
    ],
)
def test_find(several: list[Migration], name: str, expected: str) -> None:
    """A migration is found by its name, its path or a part only it has; a whole name wins over a part."""
    assert find(several, name).name == expected


def test_find_without_timestamp(folder: Path) -> None:
    """The name that `chunkmigrate new` was given wins over a longer one that contains it."""
    prices, cents = "20260105090000_prices", "20260106090000_prices_in_cents"
    write(folder, **{prices: FINE, cents: FINE})

    assert find(discover(folder), "prices").name == prices


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("price", "price could be m1_price, m2_price_cents; write more of its name."),
        ("nope", "There is no migration nope. There is m1_price, m2, m2_price_cents, m3_names."),
        ("", "There is no migration . There is m1_price, m2, m2_price_cents, m3_names."),
        (".py", "There is no migration .py. There is m1_price, m2, m2_price_cents, m3_names."),
    ],
)
def test_not_found(several: list[Migration], name: str, message: str) -> None:
    """A name that fits several, or none, is refused with the names there are."""
    with pytest.raises(UnknownMigrationError) as caught:
        find(several, name)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("count", "listed"),
    [(0, "none in this folder"), (8, "m0, m1, m2, m3, m4, m5, m6, m7"), (10, "m7 and 2 more")],
)
def test_many(folder: Path, count: int, listed: str) -> None:
    """Of many migrations eight are listed."""
    write(folder, **{f"m{number}": FINE for number in range(count)})
    with pytest.raises(UnknownMigrationError) as caught:
        find(discover(folder), "nope")

    assert str(caught.value).endswith(f"{listed}.")


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("", "has no function upgrade(db)"),
        ("upgrade = 5", "has no function upgrade(db)"),
        ("def upgrade(): pass", "has upgrade(), which cannot be called as upgrade(db)"),
        ("def upgrade(a, b): pass", "has upgrade(a, b), which cannot be called as upgrade(db)"),
        ("def upgrade(*, db): pass", "has upgrade(*, db), which cannot be called as upgrade(db)"),
    ],
)
def test_no_migration(folder: Path, source: str, what: str) -> None:
    """A file that is no migration is refused with what is wrong and with one that is right."""
    with pytest.raises(InvalidModuleError) as caught:
        loaded(folder, source).load()

    assert str(caught.value) == f"{folder / 'm.py'} {what}. A migration looks like this:\n\n{EXAMPLE}"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1\ndef upgrade(db)", "SyntaxError: expected ':' (m.py, line 2)"),
    ],
)
def test_not_imported(folder: Path, source: str, what: str) -> None:
    """A file that cannot be imported is refused with what Python says of it, and no more."""
    with pytest.raises(InvalidModuleError) as caught:
        loaded(folder, source).load()

    said = f"{folder / 'm.py'} cannot be imported: {what}. Correct it, or install what it imports."
    assert str(caught.value) == said


BACKFILL = (
    "from chunkmigrate import Backfill, scan\n\ndef upgrade(db):\n    one = Backfill(scan(db.a), print)\n"
)


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        ("{}", "a dict"),
        ("'x'", "a str"),
        ("(x for x in [one])", "a generator"),
        ("one.scan", "a Scan"),
        ("[one, 'x']", "a list with a str"),
        ("(None,)", "a list with a NoneType"),
    ],
)
def test_wrong_answer(folder: Path, returned: str, what: str) -> None:
    """What upgrade may not return is refused with what it was, what it may be, and an example."""
    with pytest.raises(InvalidModuleError) as caught:
        loaded(folder, f"{BACKFILL}    return {returned}\n").steps(DB)

    assert str(caught.value) == (
        f"{folder / 'm.py'} returned {what} from upgrade(db); return a Backfill, a list of them, or None. "
        f"A migration looks like this:\n\n{EXAMPLE}"
    )


@pytest.mark.parametrize(
    ("returned", "count"), [("one", 1), ("[one, one]", 2), ("(one,)", 1), ("[]", 0), ("None", 0)]
)
def test_answer(folder: Path, returned: str, count: int) -> None:
    """Upgrade may return a backfill, a list of them, or None where it acted by itself."""
    steps = loaded(folder, f"{BACKFILL}    return {returned}\n").steps(DB)

    assert [type(step) for step in steps] == [Backfill] * count


def test_upgrade_raises(folder: Path) -> None:
    """What upgrade itself raises is told with the migration's name, and is the cause."""
    with pytest.raises(ChunkmigrateError) as caught:
        loaded(folder, "def upgrade(db):\n    db['x'].name['y']\n").steps(DB)

    assert str(caught.value).startswith("upgrade(db) of m raised TypeError: ")
    assert isinstance(caught.value.__cause__, TypeError)


def test_own_errors_pass(folder: Path) -> None:
    """An error of this library raised in upgrade stays what it is."""
    source = "from chunkmigrate import errors\n\ndef upgrade(db):\n    raise errors.BudgetTooSmallError\n"
    with pytest.raises(BudgetTooSmallError):
        loaded(folder, source).steps(DB)


def test_example(folder: Path) -> None:
    """The example that the sentences show is a migration, and does what it says."""
    migration = loaded(folder, EXAMPLE)
    [step] = migration.steps(DB)
    assert step.transform is not None
    write_ = step.transform({"_id": 1, "price": 1.5})

    assert migration.description == ast.get_docstring(ast.parse(EXAMPLE))
    assert step.scan.namespace == "shop.orders"
    assert repr(write_).startswith("UpdateOne({'_id': 1}, {'$set': {'cents': 150}}")


@pytest.mark.parametrize(
    "source", ["upgrade = dict", "from operator import index as upgrade", "upgrade = print"]
)
def test_builtin(folder: Path, source: str) -> None:
    """A callable that shows no signature, or a different kind of callable, is not refused for that."""
    assert callable(loaded(folder, source).load())


def test_dataclass(folder: Path) -> None:
    """A migration may define dataclasses with postponed annotations, as any module may."""
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        f"@dataclass\nclass Price:\n    cents: int\n\n{FINE}"
    )

    assert loaded(folder, source).steps(DB) == []


def test_project_beside(folder: Path) -> None:
    """A migration may import the project beside its folder."""
    (folder.parent / "shop_models.py").write_text("PRICE = 5\n")

    assert loaded(folder, f"from shop_models import PRICE\n{FINE}").steps(DB) == []


def test_same_names(tmp_path: Path) -> None:
    """Two files of one name in two folders are two migrations."""
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number) / "migrations"
        folder.mkdir(parents=True)
        found.append(loaded(folder, f"def upgrade(db):\n    raise ValueError({number})\n"))
    for number, migration in enumerate(found, start=1):
        with pytest.raises(ChunkmigrateError, match=f"raised ValueError: {number}"):
            migration.steps(DB)
