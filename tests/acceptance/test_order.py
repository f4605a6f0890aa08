"""What `run` takes on, and what it refuses, on the real command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine

if TYPE_CHECKING:
    from pymongo.database import Database


def acting(number: int, *before: str) -> str:
    return f"depends_on = {[*before]}\n\n\ndef upgrade(db):\n    db.log.insert_one({{'_id': {number}}})\n"


@pytest.fixture
def four(cli: CommandLine) -> CommandLine:
    """Four migrations that act by themselves and leave a trace; the third depends on the first."""
    for number, before in ((1, ()), (2, ()), (3, ("1_m",)), (4, ())):
        cli.write(acting(number, *before), f"{number}_m")
    return cli


def done(db: Database[Any]) -> list[int]:
    return [one["_id"] for one in db.log.find().sort("$natural", 1)]


def test_to_a_target(four: CommandLine, db: Database[Any]) -> None:
    """`run NAME` applies what is pending up to and with NAME, one alone with `--only`, all without a name."""
    refused = four("run", "3_m", "--only")
    assert (refused.returncode, done(db)) == (2, [])
    assert "3_m depends on what is not applied: 1_m (pending)." in refused.stderr

    assert four("run", "2_m", "--only").returncode == 0
    assert done(db) == [2]
    assert four("run", "3_m").returncode == 0
    assert done(db) == [2, 1, 3]
    assert four("run").returncode == 0
    assert done(db) == [2, 1, 3, 4]
    assert four("run").stdout == "Nothing is pending: all migrations are applied.\n"


@pytest.mark.parametrize("arguments", [("--all", "1_m"), ("--all", "--only"), ("--only",)])
def test_contradicting(four: CommandLine, db: Database[Any], arguments: tuple[str, ...]) -> None:
    """All and one, or one without a name, are refused before anything is done."""
    assert four("run", *arguments).returncode == 2
    assert done(db) == []


def test_file_in_disorder(four: CommandLine, db: Database[Any]) -> None:
    """An applied file that was renamed or deleted is refused; one merged late is run, and told of."""
    four("run", "2_m")
    (four.folder / "migrations" / "1_m.py").rename(four.folder / "migrations" / "1_first.py")
    four.write(acting(3), "3_m")
    renamed = four("run")
    (four.folder / "migrations" / "1_first.py").unlink()
    deleted = four("run")
    four.write(acting(1), "1_m")
    four.write(acting(0), "0_late")
    shown = four("status").stdout.splitlines()

    assert (renamed.returncode, deleted.returncode, done(db)) == (2, 2, [1, 2])
    assert "1_first means the same as 1_m, which is on record" in renamed.stderr
    assert "1_m is on record as applied, and its file is gone, though that of 2_m" in deleted.stderr
    assert shown[0] == "pending    0_late  (older than the last applied)"
    assert four("run").returncode == 0
    assert done(db) == [1, 2, 0, 3, 4]


def test_folder_in_disorder(four: CommandLine, db: Database[Any]) -> None:
    """A folder that cannot be used is refused with a sentence; a leftover gets a warning."""
    four.write(acting(5, "nope"), "5_m")
    missing = four("status")
    (four.folder / "migrations" / "5_m.py").rename(four.folder / "migrations" / "5 m.py")
    invalid = four("run")
    (four.folder / "migrations" / "5 m.py").rename(four.folder / "migrations" / "5_m.py.bak")
    left = four("run")

    assert (missing.returncode, invalid.returncode, left.returncode) == (2, 2, 0)
    assert "5_m.py depends on nope, which is not in its folder." in missing.stderr
    assert "5 m.py has a name no migration can have" in invalid.stderr
    assert "migrations has files that look like migrations and are not run: 5_m.py.bak." in left.stderr
    assert done(db) == [1, 2, 3, 4]


def test_importing_what_is_missing(cli: CommandLine, db: Database[Any]) -> None:
    """A module that imports what is not there is refused with exit 2, and those behind it are not begun."""
    cli.write(INCREMENT, "1_fine")
    cli.write("import no_such_module\n\n\ndef upgrade(db):\n    pass\n", "2_broken")
    cli.write(INCREMENT, "3_never")
    db.c.insert_one({"_id": 1})
    refused = cli("run")

    assert refused.returncode == 2
    assert "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'" in refused.stderr
    assert "Not begun: 3_never." in refused.stderr
    assert db.c.find_one() == {"_id": 1, "n": 1}


def test_plan_and_history(four: CommandLine, db: Database[Any]) -> None:
    """`plan` shows what `run` would do, in order; `history` what it did; both as JSON, too."""
    four.write(INCREMENT, "0_late")
    db.c.insert_many({"_id": number} for number in range(10))
    four("run", "2_m", "--only")
    plan, shown = four("plan", "3_m", "--json"), four("plan", "0_late")
    planned = [json.loads(line) for line in plan.stdout.splitlines()]

    assert (plan.returncode, shown.returncode, done(db)) == (0, 0, [2])
    assert [(one["name"], one["acts"], one["late"]) for one in planned] == [
        ("0_late", "", True),
        ("1_m", "insert", True),
        ("3_m", "insert", False),
    ]
    assert planned[0]["steps"][0]["documents"] == 10
    assert shown.stdout.startswith("1. 0_late  (pending, older than the last applied)  Add one to every n.\n")

    four("run")
    rows = [json.loads(line) for line in four("history", "--json").stdout.splitlines()]

    assert [(row["migration"], row["status"]) for row in rows] == [
        (name, "applied") for name in ("2_m", "0_late", "1_m", "3_m", "4_m")
    ]
    assert rows[1]["counts"]["written"] == 10
    assert four("history", "0_").stdout.count("\n") == 1
    assert four("plan").stdout == "Nothing is pending.\n"
    assert four("history", "nope").returncode == 2


def test_plan_of_what_cannot_be_run(four: CommandLine) -> None:
    """What a run would refuse is shown with the others, and `plan` exits 2."""
    four.write("import no_such_module\n", "2_n")
    planned = four("plan")

    assert planned.returncode == 2
    assert "migrations/2_n.py cannot be imported: ModuleNotFoundError" in planned.stdout
    assert "4. 3_m  (pending)" in planned.stdout
    assert "Error: These cannot be run as they are: 2_n." in planned.stderr
