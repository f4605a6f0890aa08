"""Direction: whether a migration is applied or rolled back, and what is called otherwise then.

A rollback is a run like any other, of the same migration under the same lease. Its checkpoints, and what it
sets aside, are kept under a name of their own, so that nothing of one direction is taken for the other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.fencing import down
from chunkmigrate.ledger import APPLIED, PENDING, ROLLED_BACK

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Direction:
    """One of the three below. ``word`` is what is on record, ``way`` what a rollback goes by."""

    word: str
    way: str = ""

    @property
    def is_down(self) -> bool:
        """Whether this is a rollback."""
        return self.word == "down"

    def key(self, migration: str) -> str:
        """Return the name under which checkpoints and quarantine of a migration are kept."""
        return down(migration) if self.is_down else migration

    def called(self, status: str) -> str:
        """Return what a run is called that ended with ``status``."""
        return ROLLED_BACK if self.is_down and status == APPLIED else status

    def stands(self, status: str) -> str:
        """Return how the migration stands after a run that ended with ``status``."""
        return PENDING if self.is_down and status == APPLIED else status

    def command(self, migration: str) -> str:
        """Return the command that goes on with a migration."""
        return f"chunkmigrate {'rollback' if self.is_down else 'run'} {migration}"


UP = Direction("up")
DOWNGRADE = Direction("down", "downgrade")
UNDO = Direction("down", "undo")


def direction_of(entry: Mapping[str, Any]) -> Direction:
    """Return where a migration is going, by its entry in the ledger: up, unless it is half rolled back."""
    half = entry.get("status", PENDING) not in (APPLIED, PENDING)
    return Direction("down", entry.get("way", "")) if half and entry.get("direction") == "down" else UP
