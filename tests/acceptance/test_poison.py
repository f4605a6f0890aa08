from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.attempts import DONE, FAILED, Attempt, attempt
from tests.faults.kinds import NAME
from tests.faults.poison import DOCUMENTS, POISONS, SOURCE, Poison, prepare, repair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

each_poison = pytest.mark.parametrize("poison", POISONS, ids=[poison.name for poison in POISONS])

# The first and the last; alone; and a cluster, where a chunk of a thousand documents may end.
FEW = (0, random.Random(1).randrange(1_100, DOCUMENTS - 10), DOCUMENTS - 1)
MANY = sorted({*FEW, *range(997, 1_003), *random.Random(2).sample(range(DOCUMENTS), 5)})


def migrated(db: Database[Any], times: int = 1) -> set[int]:
    return {document["_id"] for document in db.c.find({"n": times}, {"_id": 1})}


@each_poison
def test_stops_and_goes_on(cli: CommandLine, db: Database[Any], poison: Poison) -> None:
    """A document that cannot be migrated, wherever it lies, stops the run, which names it; once it is
    repaired the next run goes on, and every document is migrated once.
    """
    prepare(db, poison, FEW)
    cli.write(SOURCE.format(on_error="stop"), NAME)
    for number in FEW:
        stopped = attempt(cli)

        assert stopped.code == FAILED, str(stopped)
        assert "Traceback" not in stopped.err
        assert re.search(rf"_id {number}\b", stopped.err), stopped.err
        assert re.search(poison.shown, stopped.err), stopped.err
        assert not migrated(db) & set(range(number, DOCUMENTS))
        repair(db, poison, number)

    done = attempt(cli)

    assert done.code == DONE, str(done)
    assert migrated(db) == set(range(DOCUMENTS))


@each_poison
def test_quarantined(cli: CommandLine, db: Database[Any], poison: Poison) -> None:
    """With `on_error="quarantine"` a run migrates every other document once and is done; those that cannot be
    migrated are listed with the reason, and once they are repaired `quarantine retry` migrates them.
    """
    prepare(db, poison, MANY)
    cli.write(SOURCE.format(on_error="quarantine"), NAME)
    done = attempt(cli)

    assert done.code == DONE, str(done)
    assert migrated(db) == set(range(DOCUMENTS)) - set(MANY)
    kept = list(db.chunkmigrate_quarantine.find(sort=[("document", 1)]))
    assert [document["document"] for document in kept] == MANY
    assert {(document["migration"], document["step"]) for document in kept} == {(NAME, 0)}
    assert all(document["reason"] and document["traceback"] for document in kept)
    assert all(re.search(poison.kept, document["message"]) for document in kept), kept[0]

    listed = verb(cli, "list")

    assert listed.code == DONE, str(listed)
    assert shown(listed.out, MANY) == MANY

    for number in MANY:
        repair(db, poison, number)
    retried = verb(cli, "retry", NAME)

    assert retried.code == DONE, str(retried)
    assert migrated(db) == set(range(DOCUMENTS))
    assert db.chunkmigrate_quarantine.count_documents({}) == 0
    assert shown(verb(cli, "list").out, MANY) == []


def verb(cli: CommandLine, *words: str) -> Attempt:
    done = cli("quarantine", *words)
    return Attempt(done.returncode, done.stdout, done.stderr)


def shown(text: str, numbers: Iterable[int]) -> list[int]:
    """Those of the numbers that stand in the text as words of their own."""
    words = set(re.findall(r"(?<![\w.:,-])\d+(?![\w.:-])", text))
    return [number for number in numbers if str(number) in words]
