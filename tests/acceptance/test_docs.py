from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [README, *(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))]

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """What the documentation tells its reader to type, for one program, in order."""
    lines = [line for text in DOCUMENTS for block in CONSOLE.findall(text) for line in block.splitlines()]
    typed = [line.removeprefix("$ ").split() for line in lines if line.startswith("$ ")]
    return [words[1:] for words in typed if words[0] == program]


def test_commands_run(cli: CommandLine, db: Database[Any]) -> None:
    """Every chunkmigrate command the documentation prints runs, in the order it is printed."""
    db.orders.insert_many({"_id": n, "price": n / 4} for n in range(100))
    for arguments in commands("chunkmigrate"):
        done = cli(*arguments)

        assert done.returncode == 0, (arguments, done.stderr)
    assert db.orders.count_documents({"cents": {"$exists": True}}) == 100


def test_make_targets_exist() -> None:
    """Every make target the documentation prints exists."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {target for arguments in commands("make") for target in arguments}

    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_first_migration(cli: CommandLine, db: Database[Any]) -> None:
    """The migration on the README's first screen works as printed, and so does the example."""
    example = next((ROOT / "migrations").glob("*_order_prices_in_cents.py")).read_text("utf-8")
    printed = re.search(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert printed
    for number, source in enumerate((printed[1], example)):
        db.orders.drop()
        db.orders.insert_one({"_id": 1, "price": 12.34})
        cli.write(source, f"{number}_printed")

        assert cli("run", f"{number}_printed").returncode == 0
        assert db.orders.find_one() == {"_id": 1, "price": 12.34, "cents": 1234}


@pytest.mark.parametrize("row", re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)`", README, re.MULTILINE))
def test_flags_exist(cli: CommandLine, row: tuple[str, str]) -> None:
    """Every flag and variable the README lists is one the command line and the settings know."""
    flag, variable = row

    assert flag in cli("run", "--help").stdout
    assert variable in (ROOT / "chunkmigrate" / "settings.py").read_text("utf-8")


def test_every_command_is_documented(cli: CommandLine) -> None:
    """Every command of the command line stands in the README, and has a line of help."""
    listed = re.findall(
        r"^  ([a-z]+)  +(\S.*)$", cli("--help").stdout.partition("Commands:")[2], re.MULTILINE
    )

    assert {"run", "new", "status", "demo"} <= {name for name, _ in listed}
    for name, _ in listed:
        assert f"`chunkmigrate {name}" in README
