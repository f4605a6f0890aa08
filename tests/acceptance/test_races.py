from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.faults.attempts import HELD
from tests.faults.races import race
from tests.faults.scenes import Scene

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

RACES = 10


def test_two_started_together(cli: CommandLine, db: Database[Any]) -> None:
    """Of two runs started together one runs, and the other exits 5 or finds the migration applied; an `$inc`
    applies once.
    """
    there, chance, held = Scene(cli, db, documents=1_000), random.Random(2), 0
    for _ in range(RACES):
        db.client.drop_database(db.name)
        there.prepare()
        held += sum(attempt.code == HELD for attempt in race(there, chance))

    assert held, "no two runs ever met"
