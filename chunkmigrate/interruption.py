"""Interruption: a run that is asked to stop after so many documents, wherever that is.

For tests: as SIGTERM does it, but always at the same document. What is to be learned from it is ``testing``'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from chunkmigrate import sizing

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.migration import Migration


@dataclass(slots=True)
class Interruption:
    """Asks a run to stop once the functions of its migration were given so many documents."""

    left: int

    def __post_init__(self) -> None:
        """Refuse what would stop it before it began."""
        if self.left < 1:
            message = f"a migration can be interrupted after 1 document or more, not after {self.left}"
            raise ValueError(message)

    def is_asked(self) -> bool:
        """Whether the run is to stop."""
        return self.left <= 0

    def of(self, migration: Migration) -> Migration:
        """Return the migration, its functions watched."""
        return replace(migration, upgrade=lambda db: [*map(self._watched, migration.steps(db))])

    def _watched(self, backfill: Backfill) -> Backfill:
        if backfill.transform:
            return replace(backfill, transform=self._counting(backfill.transform, lambda _: 1))
        return replace(backfill, each_chunk=self._counting(backfill.each_chunk, len))

    def _counting(self, function: Any, count: Callable[[Any], int]) -> Any:
        @wraps(function)
        def counting(given: Any) -> Any:
            self.left -= count(given)
            return function(given)

        return counting


def chunks_of(documents: int) -> sizing.Most:
    """Return sizes that hand ``each_chunk`` no more than so many documents."""
    return sizing.Most(chunk_documents=min(documents, sizing.MAX_CHUNK_DOCUMENTS))
