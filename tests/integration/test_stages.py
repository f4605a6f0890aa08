"""Stages of a sample on a real server: of all places, whatever the transform takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate import Backfill, UpdateOne, scan
from chunkmigrate.sampling import sample
from chunkmigrate.stages import STAGE_SECONDS, Stages

if TYPE_CHECKING:
    from pymongo.database import Database

SLOW = 0.02


@dataclass
class Slow:
    """A transform that takes a while, on a clock of its own."""

    now: float = 0.0

    def __call__(self, document: Any) -> UpdateOne:
        self.now += SLOW
        return UpdateOne({"_id": document["_id"]}, {"$set": {"half": document["half"]}})

    def clock(self) -> float:
        return self.now


def test_slow(db: Database[Any]) -> None:
    """Of small documents in front of large ones both are known, with time for a tenth of the sample."""
    db.c.insert_many({"_id": number, "half": number // 3_000} for number in range(6_000))
    db.c.update_many({"half": 1}, {"$set": {"pad": bytes(5_000)}})
    slow = Slow()
    backfill, stages = Backfill(scan(db.c), slow), Stages(slow.clock)
    chosen = sample(backfill.scan)
    stages.measure(backfill, chosen.long + chosen.short)
    read = stages.weighing.weights

    assert 1_000 < len(read) < 2_100
    # Of each half, which has the same number of documents, as good as none was met when the server chose.
    assert 0.1 < sum(size < 100 for size in read) / len(read) < 0.9
    assert stages.sizes()["max"] > 5_000
    assert abs(stages.sizes()["mean"] - sum(read) / len(read)) <= 1
    assert STAGE_SECONDS / SLOW - 2 <= stages.documents <= STAGE_SECONDS / SLOW + 2
    # The statements have the same length, but the bytes as objects do not.
    assert min(stages.expansions) < 1.5 < max(stages.expansions)
