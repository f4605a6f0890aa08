from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.acceptance.conftest import INCREMENT, CommandLine

if TYPE_CHECKING:
    from pymongo.database import Database


def test_new_writes_what_runs(cli: CommandLine, db: Database[Any]) -> None:
    """`new` writes a migration that runs as it stands, prints where it is, and says where its test is."""
    db.orders.insert_one({"_id": 1, "price": 12.34})
    made = cli("new", "Order prices, in cents!")
    done = cli("run", "prices")

    assert made.returncode == done.returncode == 0
    assert made.stdout.endswith("_order_prices_in_cents.py\n")
    assert made.stdout.count("\n") == 1
    assert f"tests/test_{made.stdout.strip().removeprefix('migrations/')}; run it with pytest" in made.stderr
    assert db.orders.find_one() == {"_id": 1, "price": 12.34, "cents": 1234}


def test_new_needs_a_name(cli: CommandLine) -> None:
    """A name without a letter gets a sentence and exit 2."""
    made = cli("new", "!!")

    assert made.returncode == 2
    assert "no letter or digit" in made.stderr


def test_status_lists_in_order(cli: CommandLine, db: Database[Any]) -> None:
    """`status` shows each migration with its state; `--check` exits 3 while one is pending."""
    cli.write(INCREMENT, "2_later")
    cli.write(INCREMENT, "1_earlier")
    db.c.insert_one({"_id": 1})
    cli("run", "earlier")
    shown, checked = cli("status"), cli("status", "--check")
    cli("run", "later")

    assert shown.stdout.splitlines() == [
        "applied    1_earlier  Add one to every n.  1 documents read",
        "pending    2_later  Add one to every n.",
    ]
    assert (shown.returncode, checked.returncode) == (0, 3)
    assert cli("status", "--check").returncode == 0


def test_status_as_json(cli: CommandLine) -> None:
    """`status --json` prints an object a line."""
    cli.write(INCREMENT, "1_one")
    cli.write(INCREMENT, "2_two")
    rows = [json.loads(line) for line in cli("status", "--json").stdout.splitlines()]

    assert [(row["name"], row["status"]) for row in rows] == [("1_one", "pending"), ("2_two", "pending")]


def test_status_writes_nothing(cli: CommandLine, db: Database[Any]) -> None:
    """`status` leaves the database as it was."""
    cli.write(INCREMENT)
    cli("status")

    assert db.list_collection_names() == []


def test_status_survives_a_broken_module(cli: CommandLine) -> None:
    """A module that cannot be imported is listed, and does not hide the others."""
    cli.write("this is no Python", "1_broken")
    cli.write(INCREMENT, "2_good")

    assert [line.split()[1] for line in cli("status").stdout.splitlines()] == ["1_broken", "2_good"]
