"""Interruption: a run that is asked to stop after so many documents, wherever that is.

For tests: as SIGTERM does it, but always at the same document. What is to be learned from it is ``testing``'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from chunkmigrate import sizing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.migration import Migration
    from chunkmigrate.outcome import Progress


@dataclass(slots=True)
class Interruption:
    """Asks a run to stop once the functions of its migration were given so many documents.

    Where the server does it alone there are none: what it has updated is told by `committed`.
    """

    left: int
    _by_server: set[int] = field(default_factory=set)

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
        return replace(migration, upgrade=lambda db: self._steps(migration.steps(db)))

    def committed(self, progress: Progress) -> None:
        """Note the documents of a chunk."""
        if progress.step in self._by_server:
            self.left -= progress.result.read

    def _steps(self, steps: Sequence[Backfill]) -> list[Backfill]:
        self._by_server = {number for number, step in enumerate(steps, 1) if step.server is not None}
        return [*map(self._watched, steps)]

    def _watched(self, backfill: Backfill) -> Backfill:
        if backfill.server is not None:
            return backfill
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
