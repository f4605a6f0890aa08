"""The runner: what ``chunkmigrate run`` does to one migration, from the lease to the last record.

A generator of `Progress`, one for each acknowledged chunk, for whoever shows it; ``outcome`` is how it ended.
What happens inside a step is ``step``'s business; signals, terminals and exit codes are the command line's.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from chunkmigrate import fencing, server, verification
from chunkmigrate.consumers import silent
from chunkmigrate.context import Context
from chunkmigrate.direction import UP
from chunkmigrate.errors import CancelledError, ChunkmigrateError, LeaseHeldError, ServerError
from chunkmigrate.holder import this_process
from chunkmigrate.lease import Lease
from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, PAUSED, STOPPED, Ledger
from chunkmigrate.memory import return_large_buffers, trim
from chunkmigrate.outcome import ALREADY, OPERATOR, Outcome, Progress, failed
from chunkmigrate.preflight import STANDALONE, check_budget
from chunkmigrate.raw import MalformedError
from chunkmigrate.readmission import Readmission
from chunkmigrate.recorder import Recorder
from chunkmigrate.retry import is_passing
from chunkmigrate.sessions import names, opened
from chunkmigrate.sharing import Sharing, end_sharing
from chunkmigrate.step import Step
from chunkmigrate.timekeeper import Timekeeper, circumstances
from chunkmigrate.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.consumers import Note
    from chunkmigrate.direction import Direction
    from chunkmigrate.lease_reading import Former
    from chunkmigrate.memory import Sensor
    from chunkmigrate.migration import Migration
    from chunkmigrate.sizing import Most

# How often a paused run looks whether it is wanted again. The lease's keeper knows it a second late, too.
IDLE_SECONDS = 0.5


class Run:
    """One attempt to apply one migration. Iterate it once.

    ``wait`` is how many seconds to wait for another run's lease, ``max_rate`` the documents a second it may
    write, ``most`` the largest sizes there is any use in. ``stopped`` says whether it was asked to stop,
    ``note`` is told whenever there is something an operator should know. ``only_quarantined``: nothing but
    the documents in quarantine. ``about`` is kept in its record. ``direction``: whether ``migration`` is
    to be applied or rolled back.
    """

    def __init__(
        self,
        migration: Migration,
        database: Database[Any],
        sensor: Sensor,
        *,
        writers: int,
        wait: float = 0.0,
        max_rate: float | None = None,
        most: Most | None = None,
        stopped: Callable[[], bool] = lambda: False,
        note: Note = silent,
        only_quarantined: bool = False,
        about: Mapping[str, Any] | None = None,
        direction: Direction = UP,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.migration, self._database, self._sensor = migration, database, sensor
        self._writers, self._wait, self._max_rate, self._most = writers, wait, max_rate, most
        self._stopped, self._sleep, self._only_quarantined = stopped, sleep, only_quarantined
        self._about = about or {}
        self._times = Timekeeper(sensor, tell=note, keep=lambda: self._recorder.keep(self._facts()))
        self._note, self._direction = self._times.note, direction
        self._ledger, self._holder = Ledger(database), this_process()
        fence = partial(fencing.fence, database, fencing.of_lease(migration.name))
        self._lease = Lease(database, migration.name, self._holder, fence=fence, disarm=self._ledger.disarm)
        # Whether others may work on the same step: those of our group, or of one before us.
        self._shared = bool(self._holder.group) and not direction.is_down
        quiet, told = only_quarantined, self._note
        self._recorder = Recorder(
            self._ledger, migration, self._lease, direction, quiet=quiet, stopped=stopped, note=told
        )
        self._verdict = Verdict(migration.name, sensor, direction)
        self._former: Former | None = None
        # While this one was paused, or did its share, another run has applied the migration.
        self._overtaken = False

    @property
    def outcome(self) -> Outcome:
        """How the run stands; how it ended, once it was iterated to the end."""
        return self._verdict.outcome()

    def __iter__(self) -> Iterator[Progress]:
        """Apply the migration, yielding after each chunk. A failure is recorded and raised."""
        check_budget(self._sensor.budget, self._sensor.rss_start)
        return_large_buffers()
        with self._lease, opened(self._database.client, self._writers) as sessions:
            self._former = self._acquire(self._wait)
            if self._direction.is_down:
                end_sharing(self._database, self.migration.name)
            if self._lease.asked == "cancel":
                raise CancelledError(self.migration.name, self._lease.asked_by)
            if self._is_done():
                return
            yield from self._recorded(sessions)

    def _recorded(self, sessions: list[ClientSession | None]) -> Iterator[Progress]:
        budget = self._sensor.budget.size
        about = circumstances(self._sensor, writers=self._writers, max_rate=self._max_rate, **self._about)
        self._recorder.begin(self._holder, budget=budget, sessions=names(sessions), about=about)
        self._times.begin()
        try:
            yield from self._apply(sessions)
        except LeaseHeldError as error:
            # Nothing has failed: it was paused, and now somebody else goes on with it.
            self._verdict.end(STOPPED, str(error))
            self._record(STOPPED, quiet=not self._shared)
            raise
        except ChunkmigrateError as error:
            self._record_failure(str(error), error)
            raise
        except MalformedError as error:
            message = f"A document cannot be read: {error}. What is committed is safe."
            self._record_failure(message, error)
            raise ServerError(message) from error
        except PyMongoError as error:
            explained = self._recorder.superseded() or server.explained(error)
            if not (self._stopped() and is_passing(error)):
                self._record_failure(str(explained), explained)
                raise explained from error
            # Asked to stop while waiting for the server: that is a stop, and the waiting was its reason.
            self._verdict.end(STOPPED, "stop")
            self._note("warning", explained.discreet)
        self._record(self._verdict.status, quiet=self._overtaken)

    def _apply(self, sessions: list[ClientSession | None]) -> Iterator[Progress]:
        if not self._may_go_on():
            return
        # An author's own code is not fenced by anything: it must not begin without the lease.
        self._lease.check(now=True)
        steps = self.migration.steps(self._database)
        if steps and sessions[0] is None:
            self._note("warning", STANDALONE)
        context = self._context(sessions)
        if self._only_quarantined:
            self._readmit(Readmission(context, steps))
            return
        for number, backfill in enumerate(steps):
            while self._may_go_on():
                with closing(self._attempts(context, number, backfill)) as attempts:
                    for step in attempts:
                        yield from self._times.sampled(self._one_step(len(steps), step))
                        if self._verdict.status != APPLIED:
                            break
                if self._verdict.status != PAUSED:
                    break
            if self._verdict.status != APPLIED or self._overtaken:
                return
        if not self._direction.is_down:
            verification.concluded(self.migration, self._database, self._recorder.run, self._stopped)

    def _attempts(self, context: Context, number: int, backfill: Backfill) -> Generator[Step]:
        """Yield the attempt to make at a step; where others share it, one for each partition that is free."""
        sharing = Sharing(context, number, backfill, self._holder, self._ledger, self._former)
        self._shared = self._shared or sharing.is_divided()
        if not (self._shared and sharing.divide()):
            step = Step(context, number, backfill, self._former)
            yield step
            self._former = self._former if step.was_done else None
            return
        self._former = None
        yield from sharing
        if sharing.stopped_by:
            self._interpret(sharing.stopped_by)
        else:
            # Others hold it as long as it takes to see that all is done, and to say so.
            self._take_back(wait=math.inf)

    def _may_go_on(self) -> bool:
        """Idle as long as an operator wants it so; return whether the run is to go on."""
        while self._lease.asked == "pause" and not self._stopped() and not self._overtaken:
            self._idle()
        if self._overtaken:
            return False
        if self._stopped():
            self._verdict.end(STOPPED, "stop")
        elif self._lease.asked == "cancel":
            self._verdict.end(CANCELLED, "cancel")
        else:
            self._verdict.end(APPLIED, "")
        return self._verdict.status == APPLIED

    def _one_step(self, steps: int, step: Step) -> Iterator[Progress]:
        self._verdict.step = step
        for result in step:
            step.lease.check()
            yield Progress(
                step=step.number + 1,
                steps=steps,
                counts=self._verdict.counts(),
                step_read=step.gained.read,
                total=step.total(),
                result=result,
            )
        step.lease.check()
        if step.stopped_by:
            self._interpret(step.stopped_by)
        self._verdict.passed(step)

    def _interpret(self, stopped_by: str) -> None:
        self._verdict.interrupted(stopped_by, stopped=self._stopped(), asked=self._lease.asked)

    def _idle(self) -> None:
        """Hold neither lease nor memory until the run is wanted again; then take the lease back."""
        self._recorder.pause()
        said = f"Paused by {self._lease.asked_by}; go on with `chunkmigrate resume {self.migration.name}`."
        self._note("paused", said, signal=OPERATOR)
        self._lease.release()
        trim()
        while self._lease.asked == "pause" and not self._stopped():
            self._sleep(IDLE_SECONDS)
            self._note("paused", "", signal=OPERATOR, seconds=IDLE_SECONDS)
        if self._stopped() or self._lease.asked:
            return
        self._take_back(wait=self._wait)
        if self._overtaken or self._lease.asked:
            return
        self._recorder.resume()
        self._note("resumed", "Going on.")

    def _take_back(self, *, wait: float) -> None:
        """Take the lease again, and see whether somebody has applied the migration in the meantime."""
        # A death nobody has been told of yet is not forgotten because of a pause.
        self._former = self._acquire(wait) or self._former
        self._overtaken = self._is_done()

    def _is_done(self) -> bool:
        if done := self._recorder.is_done():
            # Of a migration that was shared, this run has done a part.
            self._verdict.end(APPLIED, "" if self._shared and self._verdict.counts().read else ALREADY)
        return done

    def _acquire(self, wait: float) -> Former | None:
        return self._lease.acquire(wait=wait, stopped=self._stopped, said=partial(self._note, "waiting"))

    def _context(self, sessions: list[ClientSession | None]) -> Context:
        return Context(
            migration=self._direction.key(self.migration.name),
            direction=self._direction,
            database=self._database,
            lease=self._lease,
            sensor=self._sensor,
            run=self._recorder.run,
            writers=self._writers,
            sessions=sessions,
            stopped=self._stopped,
            note=self._note,
            max_rate=self._max_rate,
            most=self._most,
        )

    def _readmit(self, readmission: Readmission) -> None:
        self._verdict.readmission = readmission
        again = readmission.counts
        while self._may_go_on() and not readmission.ended:
            try:
                readmission.run()
            finally:
                self._verdict.done = again = readmission.counts
        if self._verdict.status == APPLIED and (stay := again.quarantined):
            self._verdict.end(FAILED, f"{stay:,} documents failed again and stay in quarantine")

    def _facts(self) -> dict[str, Any]:
        return self.outcome.facts() | self._times.facts()

    def _record_failure(self, reason: str, error: Exception) -> None:
        self._verdict.end(FAILED, reason)
        self._record(FAILED, error=error)

    def _record(self, status: str, *, quiet: bool = False, error: Exception | None = None) -> None:
        try:
            self._recorder.end(status, self._facts() | {"failure": failed(error)}, quiet=quiet)
        except ChunkmigrateError as unrecorded:
            self._verdict.end(FAILED, str(unrecorded))
            raise
