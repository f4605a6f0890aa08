"""The recorder: tells the ledger of one run, from its beginning to its end, again where that may help.

It asks the lease first: a process that was frozen must not begin what another one is doing. What is recorded,
and that a run which was overtaken changes nothing, is ``ledger``'s business; when to tell it is the runner's.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pymongo
from bson import ObjectId
from pymongo.errors import PyMongoError

from chunkmigrate import clearing, server, settlement
from chunkmigrate.direction import UP, direction_of
from chunkmigrate.disorder import HalfRolledBackError
from chunkmigrate.errors import ServerError, SupersededError
from chunkmigrate.ledger import APPLIED, PAUSED, PENDING, Ledger
from chunkmigrate.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chunkmigrate.consumers import Note
    from chunkmigrate.direction import Direction
    from chunkmigrate.holder import Holder
    from chunkmigrate.lease import Lease
    from chunkmigrate.migration import Migration

# A server that does not answer must not keep a run from saying how it ended: what was being tried when
# SIGTERM came may take 20 s more, and Kubernetes waits for 30.
RECORD_SECONDS = 5.0

_TAKEN = (
    "Another run of this migration took over as this one ended, and will record how it stands. What is "
    "committed is safe."
)


class Recorder:
    """The record of one run. ``run`` is its identity; ``quiet``: the migration's own status stays.

    What fails is tried again for a minute, but not once ``stopped``; then the driver's error is raised.
    ``note`` is told what an operator should know.
    """

    def __init__(
        self,
        ledger: Ledger,
        migration: Migration,
        lease: Lease,
        direction: Direction = UP,
        *,
        quiet: bool,
        stopped: Callable[[], bool],
        note: Note,
    ) -> None:
        self._ledger, self._migration, self._lease = ledger, migration, lease
        self._direction = direction
        self._quiet, self._retry, self._note = quiet, Retry(stopped=stopped), note
        self.run = ObjectId()

    @property
    def _entered(self) -> dict[str, Any]:
        return {"direction": self._direction.word, "way": self._direction.way}

    def is_done(self) -> bool:
        """Whether another run has done what this one is for; never where it is about something else.

        Raises `HalfRolledBackError` where the migration must not be applied before that has come to its end.
        """
        entry = self._retry(lambda: self._ledger.entry(self._migration.name))
        status: str = entry.get("status", PENDING)
        if self._direction.is_down:
            return status == PENDING
        if direction_of(entry).is_down:
            raise HalfRolledBackError(self._migration.name)
        return not self._quiet and status == APPLIED

    def superseded(self) -> SupersededError | None:
        """Return what a failure really is where the lease is gone: its new holder has ended what was open."""
        try:
            self._lease.check(now=True)
        except SupersededError as error:
            return error
        return None

    def begin(
        self,
        holder: Holder,
        *,
        budget: int,
        sessions: Sequence[Mapping[str, Any]],
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that the run begins, and what is known ``about`` it.

        Raises `SupersededError` where the lease was taken away.
        """
        self._lease.check(now=True)
        generation = self._lease.generation
        if not self._direction.is_down:  # of a rollback that was complete something may be left
            self._retry(lambda: clearing.of_rollback(self._ledger.database, self._migration.name, generation))
        self._retry(
            lambda: self._ledger.begin(
                self._migration,
                self.run,
                holder,
                generation=generation,
                budget=budget,
                sessions=sessions,
                about={"direction": self._direction.word} | dict(about or {}),
                entered=self._entered,
                quiet=self._quiet,
            )
        )

    def pause(self) -> None:
        """Record that the run pauses, before it gives its lease back."""
        self._noted(self._ledger.paused)
        self._settle(PAUSED)

    def _settle(self, status: str) -> None:
        """Say how the migration stands, where the run shares it with others and is the last of them."""
        if status != APPLIED and not self._lease.held and not self._quiet:
            settlement.settle(self._ledger.database, self._migration.name, self.run, status)

    def resume(self) -> None:
        """Record that the run goes on, after it has taken its lease back."""
        self._noted(partial(self._ledger.resumed, entered=self._entered))

    def keep(self, facts: Mapping[str, Any]) -> None:
        """Put on record how the run stands: once, and where that fails, not at all."""
        with suppress(PyMongoError):
            self._ledger.keep(self.run, facts)

    def _noted(self, note: Callable[..., None]) -> None:
        generation, quiet = self._lease.generation, self._quiet or not self._lease.held
        self._retry(lambda: note(self._migration, self.run, generation=generation, quiet=quiet))

    def end(self, status: str, facts: Mapping[str, Any], *, quiet: bool = False) -> None:
        """Record how the run ended; ``quiet``: in the history alone.

        Where the server cannot, that is a warning, for the run is what it is; but that a migration is applied
        must be on record. Where it is not, `ServerError` is raised, or `SupersededError` where another run
        was faster.
        """
        try:
            self._ended(status, facts, quiet=quiet or self._quiet)
        except SupersededError as error:
            if status == APPLIED:
                raise SupersededError(_TAKEN) from error
        except PyMongoError as error:
            if status == APPLIED:
                message = f"All is done, but that could not be recorded. {server.explained(error)}"
                raise ServerError(message) from error
            self._note("warning", "How the run ended could not be recorded: the database does not answer.")

    def _ended(self, status: str, facts: Mapping[str, Any], *, quiet: bool) -> None:
        generation, direction, shared = self._lease.generation, self._direction, not self._lease.held
        back = direction.is_down and status == APPLIED and not quiet
        left_by = self.run if direction.way == "undo" else None
        stands = direction.stands(status)

        def end() -> None:
            database, name = self._ledger.database, self._migration.name
            if back:
                self._lease.check(now=True)  # what is in quarantine bears no generation
                clearing.of_upgrade(database, name, generation, left_by=left_by)
            self._ledger.end(
                self._migration,
                self.run,
                direction.called(status),
                facts,
                generation=generation,
                stands=stands if shared else settlement.of_group(database, name, self.run, stands),
                quiet=quiet or shared,
            )
            if back:
                clearing.of_rollback(database, name, generation)
            if not quiet:
                self._settle(status)

        if status == APPLIED:  # worth the time of an election
            self._retry(end)
            return
        with pymongo.timeout(RECORD_SECONDS):
            end()
