"""Folder: none that could be meant as a migration is passed over in silence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from chunkmigrate.disorder import SameNameError
from chunkmigrate.errors import InvalidModuleError
from chunkmigrate.folder import files, leftovers
from chunkmigrate.migration import discover

if TYPE_CHECKING:
    from pathlib import Path

FINE = "def upgrade(db):\n    pass\n"


def make(folder: Path, *paths: str, source: str = FINE) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidModuleError) as caught:
        discover(folder)
    return str(caught.value).replace(str(folder), "FOLDER")


def test_company(tmp_path: Path) -> None:
    """A README, data, tests, caches, helpers and hidden files beside migrations annoy nobody."""
    make(
        tmp_path,
        "1_a.py",
        "tests/test_1_a.py",
        "__pycache__/1_a.py",
        ".git/2_x.py",
        ".1_a.py.swp",
        "lib/.x/a.py",
    )
    make(
        tmp_path,
        *(
            "README.md",
            "data.json",
            "1_a.tuning.json",
            "__init__.py",
            "_helpers.py",
            "conftest.py",
            "test_1_a.py",
        ),
        *("lib/__init__.py", "lib/prices.py", "rates/2026.csv", "load_test.py", ".hidden.py"),
        source="",
    )
    (tmp_path / ".#1_a.py").symlink_to("me@host.1")

    assert [path.name for path in files(tmp_path)] == ["1_a.py"]
    assert leftovers(tmp_path) == ""


def test_mounted(tmp_path: Path) -> None:
    """A folder as Kubernetes mounts it, links to files in a hidden folder, is one like others."""
    make(tmp_path, "..2026_01_05/1_a.py")
    (tmp_path / "..data").symlink_to("..2026_01_05")
    (tmp_path / "1_a.py").symlink_to("..data/1_a.py")

    assert [path.name for path in files(tmp_path)] == ["1_a.py"]


@pytest.mark.parametrize(
    "name", ["1_a.py.bak", "1_a.py~", "1_a.py.orig", "1_a.pyc", "_1_a.py", ".1_a.py", "1_a.PY.disabled"]
)
def test_leftover(tmp_path: Path, name: str) -> None:
    """What looks like a migration and is not run is told of, by its name or by what is in it."""
    make(tmp_path, "2_b.py", name)

    assert [path.name for path in files(tmp_path)] == ["2_b.py"]
    assert leftovers(tmp_path) == (
        f"{tmp_path} has files that look like migrations and are not run: {name}. "
        "A migration is called NAME.py. Rename them, or move them away."
    )


def test_many_leftovers(tmp_path: Path) -> None:
    """Many files that are left over are one sentence."""
    make(tmp_path, *(f"{number:02}.py.bak" for number in range(10)))

    assert "06.py.bak, 07.py.bak and 2 more. A migration" in leftovers(tmp_path)


def test_called_like_a_test(tmp_path: Path) -> None:
    """A migration may be called like a test; its upgrade tells it from one."""
    make(tmp_path, "20260101_load_test.py", "test_it.py")

    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("1_a.PY", "FOLDER/1_a.PY does not end in .py. Rename it to 1_a.py."),
        ("1 a.py", "FOLDER/1 a.py has a name no migration can have. Use letters, digits, _ and - alone."),
        ("1.a.py", "FOLDER/1.a.py has a name no migration can have. Use letters, digits, _ and - alone."),
        ("a\n.py", "FOLDER/a .py has a name no migration can have. Use letters, digits, _ and - alone."),
        ("1:a.py", "FOLDER/1:a.py has a name no migration can have. Use letters, digits, _ and - alone."),
        ("old/1_a.py", "FOLDER/old/1_a.py is a migration in a folder of its own. Move it into FOLDER."),
        (
            "1_a/__init__.py",
            "FOLDER/1_a/__init__.py is a migration in a folder of its own. Move it into FOLDER.",
        ),
        ("a/b/c.py", "FOLDER/a/b/c.py is a migration in a folder of its own. Move it into FOLDER."),
        ("x.py/README", "FOLDER/x.py is a folder. A migration is a file; rename the folder."),
    ],
)
def test_refused(tmp_path: Path, name: str, sentence: str) -> None:
    """What can only be meant as a migration, and could not be run, is refused with what to do."""
    make(tmp_path, "2_b.py", name)

    assert refusal(tmp_path) == sentence


def test_no_file(tmp_path: Path) -> None:
    """A link that leads nowhere, and what is no regular file, are refused."""
    (tmp_path / "1_a.py").symlink_to("nowhere.py")
    assert refusal(tmp_path) == (
        "FOLDER/1_a.py is a link to a file that is not there. Restore that file, or remove the link."
    )
    (tmp_path / "1_a.py").unlink()
    os.mkfifo(tmp_path / "1_a.py")

    assert refusal(tmp_path) == "FOLDER/1_a.py is no regular file. A migration is one; move this away."


def test_name_that_is_no_text(tmp_path: Path) -> None:
    """A name that is no text is refused like another, and can be printed."""
    try:
        make(tmp_path, "1_\udcff.py")
    except OSError:
        pytest.skip("this file system has only names that are texts")

    assert r"1_\udcff.py has a name no migration can have" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("sources", "one", "other"),
    [
        ({"1_Prices.py": FINE, "1_prices.py": FINE}, "1_Prices.py", "1_prices.py"),
        ({"1_preis\u00e9.py": FINE, "1_preise\u0301.py": FINE}, "1_preise\u0301.py", "1_preis\u00e9.py"),
        ({"1_a.py": f"name = 'x'\n{FINE}", "2_b.py": f"name = 'X'\n{FINE}"}, "1_a.py", "2_b.py"),
        ({"1_a.py": f"name = '2_b'\n{FINE}", "2_b.py": FINE}, "1_a.py", "2_b.py"),
        ({"1_a.py": FINE, "1_a/__init__.py": ""}, "1_a.py", "1_a"),
    ],
)
def test_one_name(tmp_path: Path, sources: dict[str, str], one: str, other: str) -> None:
    """Two migrations of one name are refused: by file, whatever the case, or by what they call themselves."""
    for name, source in sources.items():
        make(tmp_path, name, source=source)
    if len(sources) > len({*tmp_path.iterdir()}):
        pytest.skip("this file system knows of no two such files")
    with pytest.raises(SameNameError) as caught:
        discover(tmp_path)

    assert {caught.value.one, caught.value.other} == {str(tmp_path / one), str(tmp_path / other)}
    assert "which of them is applied could not be told" in str(caught.value)


def test_own_alias(tmp_path: Path) -> None:
    """A migration may give itself the name its file has."""
    make(tmp_path, "1_a.py", source=f"name = '1_a'\n{FINE}")

    assert [one.name for one in discover(tmp_path)] == ["1_a"]
