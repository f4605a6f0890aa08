"""Last runs: what the database knows beside the cluster: where a migration stands, what a run was to do next.

For whoever looks on from outside; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chunkmigrate import checkpoint, control
from chunkmigrate.direction import UP, Direction
from chunkmigrate.errors import ChunkmigrateError
from chunkmigrate.kubernetes.ending import Known
from chunkmigrate.ledger import PENDING, Ledger
from chunkmigrate.opening import opened
from chunkmigrate.records import undivided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pymongo.database import Database

    from chunkmigrate.settings import Settings

# A Job that is killed every minute makes many; only the last are asked for.
MOST = 20

STAND_SECONDS, AGAIN_SECONDS = 2.0, 30.0


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a migration stands, and what is known of its last runs.

    Where several processes share its step, instead of a position how many of its ``partitions`` are ``done``.
    """

    status: str
    read: int
    position: str | None
    runs: tuple[Known, ...]
    partitions: int = 0
    done: int = 0

    def shown(self) -> str:
        """Return it as people read it."""
        where = "before its first document" if self.position is None else f"behind _id {self.position}"
        if self.partitions:
            where = f"{self.done} of {self.partitions} partitions done"
        return f"{self.status}, {self.read:,} documents read, {where}"


def standing(
    settings: Settings, part: str, sleep: Callable[[float], Any], *, whole: bool = False
) -> Iterator[Stand | str]:
    """Yield where a migration stands, again and again; a text where the database cannot say.

    The first try of a connection may take long, and nobody is to wait for it: this is read in a thread.
    """
    lost = False
    while True:
        try:
            with opened(settings) as database:
                while True:
                    yield stand(database, full_name(database, part, whole=whole) or part)
                    lost = False
                    sleep(STAND_SECONDS)
        except ChunkmigrateError as error:
            if not lost:
                yield f"Where the migration stands is not known: {error}"
            lost = True
            sleep(AGAIN_SECONDS)


def full_name(database: Database[Any], part: str, *, whole: bool = False) -> str | None:
    """Return the migration that a part of its name means, of those that have run; None where that is open.

    ``whole``: it is no part. Of one that has not run yet the name may be a part of another's that has.
    """
    names = Ledger(database).entries().keys()
    fitting = [] if whole else [name for name in names if part in name]
    return part if part in names else fitting[0] if len(fitting) == 1 else None


def stand(database: Database[Any], migration: str) -> Stand:
    """Return where a migration stands."""
    entry = Ledger(database).entries().get(migration)
    where = control.stands(database, migration)
    status = entry["status"] if entry else PENDING
    runs = known(database, migration)
    return Stand(status, where.read, where.position, runs, where.partitions, where.done)


def known(database: Database[Any], migration: str) -> tuple[Known, ...]:
    """Return what is known of the last runs, oldest first; the intent only of the very last."""
    *before, last = Ledger(database).runs(migration)[-MOST:] or [{}]
    runs = [_known(run) for run in before]
    return (*runs, _last(database, migration, last)) if last else ()


def _known(run: Mapping[str, Any]) -> Known:
    """Return what is known of a run. Its reason is not: that may quote a document."""
    return Known(pod=run.get("pod", ""), status=run["status"])


def _last(database: Database[Any], migration: str, run: Mapping[str, Any]) -> Known:
    ours = run.get("place") or undivided(Direction(run.get("direction", UP.word)).key(migration))
    generation = run.get("place_generation" if "place" in run else "generation", 0)
    intent = checkpoint.intended(database, ours, generation)
    if intent is None:
        return _known(run)
    return replace(
        _known(run),
        after=intent.after.shown() if intent.after else None,
        through=intent.through.shown() if intent.through else None,
        used=intent.used,
        budget=intent.budget,
    )
