"""Two runs of one migration, started together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults.attempts import DONE, HELD, Attempt, ended, running

if TYPE_CHECKING:
    import random

    from tests.faults.scenes import Scene

# To start takes a run some 0.5 s, and two of them are never equally fast: now one comes first, now the other.
APART_SECONDS = 0.05


def race(there: Scene, chance: random.Random) -> list[Attempt]:
    """Start two runs at (almost) one moment; see that one ran and the other did not, and return both."""
    with running(there.cli) as one:
        time.sleep(chance.uniform(0, APART_SECONDS))
        with running(there.cli) as other:
            both = [ended(one), ended(other)]
    ran = [attempt for attempt in both if '"applied"' in attempt.out]
    assert len(ran) == 1, f"{len(ran)} of two ran:\n{both[0]}\n{both[1]}"
    for attempt in both:
        late = attempt.code == DONE and "is applied already" in attempt.out
        held = attempt.code == HELD and "Error: " in attempt.err
        assert attempt is ran[0] or late or held, str(attempt)
    assert ran[0].code == DONE, str(ran[0])
    there.check()
    return both
