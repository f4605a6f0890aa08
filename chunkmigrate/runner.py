"""The runner: what ``chunkmigrate run`` does to one migration, from the lease to the last record.

A generator of `Progress`, one for each acknowledged chunk; whoever consumes it shows it. Afterwards
``outcome`` says how it ended. What happens inside a step is ``step``'s business; signals, terminals and exit
codes are the command line's.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from chunkmigrate import checkpoint, server
from chunkmigrate.consumers import silent
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
from chunkmigrate.records import Counts
from chunkmigrate.retry import is_passing
from chunkmigrate.sessions import names, opened
from chunkmigrate.step import Context, Step
from chunkmigrate.timekeeper import Timekeeper, circumstances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.consumers import Note
    from chunkmigrate.direction import Direction
    from chunkmigrate.lease_record import Former
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
    the documents in quarantine. ``direction``: whether ``migration`` is one to be applied or rolled back.
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
        direction: Direction = UP,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.migration, self._database, self._sensor = migration, database, sensor
        self._writers, self._wait, self._max_rate, self._most = writers, wait, max_rate, most
        self._stopped, self._sleep, self._only_quarantined = stopped, sleep, only_quarantined
        self._times = Timekeeper(sensor, tell=note, keep=lambda: self._recorder.keep(self._facts()))
        self._note = told = self._times.note
        ledger, self._holder = Ledger(database), this_process()
        fence = partial(checkpoint.fence, database, migration.name)
        self._lease = Lease(database, migration.name, self._holder, fence=fence, disarm=ledger.disarm)
        self._recorder = Recorder(
            ledger, migration, self._lease, direction, quiet=only_quarantined, stopped=stopped, note=told
        )
        self._began, self._done, self._direction = time.monotonic(), Counts(), direction
        self._step: Step | None = None
        self._readmission: Readmission | None = None
        self._position: str | None = None
        self._former: Former | None = None
        self._status, self._reason = APPLIED, ""
        # While this one was paused, another run has applied the migration.
        self._overtaken = False

    @property
    def outcome(self) -> Outcome:
        """How the run stands; how it ended, once it was iterated to the end."""
        return self._outcome(self._status, self._reason)

    def failure(self, reason: str) -> Outcome:
        """Return the outcome of a run that raised."""
        return self._outcome(FAILED, reason)

    def __iter__(self) -> Iterator[Progress]:
        """Apply the migration, yielding after each chunk. A failure is recorded and raised."""
        check_budget(self._sensor.budget, self._sensor.rss_start)
        return_large_buffers()
        with self._lease, opened(self._database.client, self._writers) as sessions:
            self._former = self._acquire()
            if self._lease.asked == "cancel":
                raise CancelledError(self.migration.name, self._lease.asked_by)
            if self._is_done():
                return
            yield from self._recorded(sessions)

    def _recorded(self, sessions: list[ClientSession | None]) -> Iterator[Progress]:
        budget = self._sensor.budget.size
        about = circumstances(self._sensor, writers=self._writers, max_rate=self._max_rate)
        self._recorder.begin(self._holder, budget=budget, sessions=names(sessions), about=about)
        self._times.begin()
        try:
            yield from self._apply(sessions)
        except LeaseHeldError as error:
            # Nothing has failed: it was paused, and now somebody else goes on with it.
            self._end(STOPPED, str(error))
            self._record(STOPPED, quiet=True)
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
            self._end(STOPPED, "stop")
            self._note("warning", explained.discreet)
        self._record(self._status, quiet=self._overtaken)

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
                step = Step(context, number, backfill, self._former)
                yield from self._times.sampled(self._one_step(len(steps), step))
                if not step.was_done:
                    self._former = None
                if self._status != PAUSED:
                    break
            if self._status != APPLIED or self._overtaken:
                return

    def _may_go_on(self) -> bool:
        """Idle as long as an operator wants it so; return whether the run is to go on."""
        while self._lease.asked == "pause" and not self._stopped() and not self._overtaken:
            self._idle()
        if self._overtaken:
            self._end(APPLIED, ALREADY)
        elif self._stopped():
            self._end(STOPPED, "stop")
        elif self._lease.asked == "cancel":
            self._end(CANCELLED, "cancel")
        else:
            self._end(APPLIED, "")
        return self._status == APPLIED and not self._overtaken

    def _one_step(self, steps: int, step: Step) -> Iterator[Progress]:
        self._step = step
        for result in step:
            self._lease.check()
            yield Progress(
                step=step.number + 1,
                steps=steps,
                counts=self._counts(),
                step_read=step.gained.read,
                total=step.total(),
                result=result,
            )
        self._lease.check()
        if step.stopped_by:
            self._interpret(step.stopped_by)
        self._done, self._position, self._step = self._counts(), step.position, None

    def _interpret(self, stopped_by: str) -> None:
        """Say what a stop means: the loop knows only that it was to end."""
        if stopped_by == "memory" or self._stopped():
            self._end(STOPPED, stopped_by)
        elif self._lease.asked == "cancel":
            self._end(CANCELLED, "cancel")
        else:
            self._end(PAUSED, "pause")

    def _end(self, status: str, reason: str) -> None:
        self._status, self._reason = status, reason

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
        # A death nobody has been told of yet is not forgotten because of a pause.
        self._former = self._acquire() or self._former
        self._overtaken = self._is_done()
        if self._overtaken or self._lease.asked:
            return
        self._recorder.resume()
        self._note("resumed", "Going on.")

    def _is_done(self) -> bool:
        if done := self._recorder.is_done():
            self._end(APPLIED, ALREADY)
        return done

    def _acquire(self) -> Former | None:
        said = partial(self._note, "waiting")
        return self._lease.acquire(wait=self._wait, stopped=self._stopped, said=said)

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
        self._readmission = readmission
        while self._may_go_on() and not readmission.ended:
            try:
                readmission.run()
            finally:
                self._done = readmission.counts
        if self._status == APPLIED and self._done.quarantined:
            self._end(FAILED, f"{self._done.quarantined:,} documents failed again and stay in quarantine")

    def _counts(self) -> Counts:
        """Count what this run did: earlier steps, and what the current one gained."""
        return self._done + self._step.gained if self._step else self._done

    def _facts(self) -> dict[str, Any]:
        return self.outcome.facts() | self._times.facts()

    def _record_failure(self, reason: str, error: Exception) -> None:
        self._end(FAILED, reason)
        self._record(FAILED, error=error)

    def _record(self, status: str, *, quiet: bool = False, error: Exception | None = None) -> None:
        try:
            self._recorder.end(status, self._facts() | {"failure": failed(error)}, quiet=quiet)
        except ChunkmigrateError as unrecorded:
            self._end(FAILED, str(unrecorded))
            raise

    def _outcome(self, status: str, reason: str) -> Outcome:
        return Outcome(
            migration=self.migration.name,
            status=self._direction.called(status),
            counts=self._counts(),
            peak=self._sensor.peak(),
            start=self._sensor.rss_start,
            budget=self._sensor.budget.size,
            budget_source=self._sensor.budget.source,
            seconds=time.monotonic() - self._began,
            position=self._step.position if self._step else self._position,
            reason=reason,
            stay=self._readmission.stay if self._readmission else None,
            direction=self._direction.word,
        )
