"""Lease: the right to run one migration, held by one process at a time and renewed while it works.

Where several processes share a step, each of its partitions has a lease of its own.

A lease that runs out may be taken by another run, under a new generation. What keeps the former holder from
writing is that generation, which every chunk's transaction asks for; here it only learns of it, so that it
stops at once. The record is ``lease_record``'s, whether a process lives is ``holder``'s to say, and what to
do when a lease is lost, or when an operator asks for something, is the runner's.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pymongo
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from chunkmigrate import lease_record, server
from chunkmigrate.errors import SupersededError
from chunkmigrate.holder import Liveness
from chunkmigrate.retry import Retry, is_conflict, never
from chunkmigrate.watch import Watch, announcement, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.holder import Holder
    from chunkmigrate.lease_reading import Former, LeaseRecord
    from chunkmigrate.lease_record import Name

    Fence = Callable[[int, ClientSession | None], None]

# An election takes some 12 s, so a lease must outlive two of its renewals being missed. Kubernetes needs
# about as long to start the pod that waits for it.
LEASE_SECONDS = 30.0

# How soon an operator's wish, or a loss, is noticed; one read by _id a second costs nobody anything.
TICK_SECONDS = 1.0

# How often a lease that somebody else holds is looked at.
POLL_SECONDS = 0.5

# What the end of a run may wait for a server that does not answer, to give the lease back; after that it
# runs out by itself. And for the keeper, which may be waiting for the same server.
RELEASE_SECONDS = 2.0
JOIN_SECONDS = 1.0

# No renewal is given up sooner, however short the lease.
LEAST_ATTEMPT_SECONDS = 2.0


def _nothing(_: str) -> None:
    """Say nothing."""


T = TypeVar("T")


class Lease:
    """One lease: the right to ask for it, and once `acquire` returned, the lease itself.

    As a context manager it is renewed in the background until the end, and then given back. ``fence`` is
    called with the new generation, and with the session of the transaction where there is one; ``disarm``
    with the token of a holder whose lease is about to be taken: what it left open is in everybody's way.
    """

    def __init__(
        self,
        database: Database[Any],
        name: Name,
        holder: Holder,
        *,
        seconds: float = LEASE_SECONDS,
        fence: Fence,
        disarm: Callable[[str], None] = _nothing,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database, self._name, self._holder = database, name, holder
        self._seconds, self._fence, self._clock, self._sleep = seconds, fence, clock, sleep
        # A renewal need not survive the loss of a server: the fence does, and the next one follows soon.
        self._records = lease_record.collection_of(database).with_options(write_concern=WriteConcern(1))
        self._attempt = max(seconds / 3, LEAST_ATTEMPT_SECONDS)
        self._lock = threading.Lock()
        # Raised with each change of what we hold: an answer that was asked for before it says nothing.
        self._period = 0
        self._held = self._lost = False
        self._generation, self._renewed_at = 0, 0.0
        self._asked = self._asked_by = ""
        self._disarm = disarm
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Start to renew."""
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop renewing, and give the lease back if it is held."""
        self._ended.set()
        self._keeper.join(JOIN_SECONDS)
        self.release()

    @property
    def generation(self) -> int:
        """The fencing number: what every chunk's transaction must ask for."""
        return self._generation

    @property
    def held(self) -> bool:
        """Whether the lease is ours to give back; also where it was lost."""
        return self._held

    @property
    def lost(self) -> bool:
        """Whether the lease was taken away. Once true it stays so."""
        return self._lost

    @property
    def asked(self) -> str:
        """What an operator asks for, at most a second old: ``pause``, ``cancel`` or nothing."""
        return self._asked

    @property
    def asked_by(self) -> str:
        """Who asks for it."""
        return self._asked_by

    def acquire(
        self,
        *,
        wait: float = 0.0,
        stopped: Callable[[], bool] = never,
        said: Callable[[str], None] = _nothing,
    ) -> Former | None:
        """Take the lease; return who held it last, if they never gave it back.

        Waits ``wait`` seconds for a holder that lives, and as long as it takes for one of our own group, and
        for one of whom nothing is known: until it renews, or its lease runs out. ``said`` is told once that
        it waits, and of failures that may pass. Raises `LeaseHeldError` when the wait is over or ``stopped``.
        """
        deadline, watch = self._clock() + wait, Watch(self._holder, self._clock)
        tell = said

        def noticed(error: Exception, pause: float) -> None:
            if not is_conflict(error):
                tell(f"{server.reason(error)}; trying again in {pause:.1f} s.")

        patiently = Retry(stopped=stopped, noticed=noticed)
        while True:
            seen = patiently(self._present)
            state = watch.see(seen)
            if state is Liveness.DEAD:
                claimed = self._take(seen, patiently)
                if claimed:
                    return claimed.former
                if not stopped():
                    continue  # somebody was faster
            friendly = self._holder.works_with(seen.holder)
            if stopped() or (state is Liveness.ALIVE and self._clock() >= deadline and not friendly):
                raise refusal(seen)
            if not friendly:
                said(announcement(seen, wait))
                said = _nothing
            self._sleep(POLL_SECONDS)

    def advance(self, session: ClientSession | None) -> int:
        """Raise the generation by one, in the transaction of ``session`` if there is one, and return it.

        Raises `SupersededError` where the lease is not ours any more.
        """
        renewed = lease_record.renew(
            self._records, self._name, self._holder.token, self._seconds, advance=True, session=session
        )
        if renewed is None:
            self._lost = True
            raise SupersededError
        self._generation = renewed.generation
        return renewed.generation

    def check(self, *, now: bool = False) -> None:
        """Raise `SupersededError` where the lease was taken away.

        A process that was frozen finds its lease overdue by its own clock, and asks the server first; ``now``
        asks in any case. Where the server does not answer nothing is raised: no chunk can be committed there
        either.
        """
        overdue = self._clock() - self._renewed_at >= self._seconds
        if self._held and not self._lost and (overdue or now):
            with suppress(PyMongoError):
                self._renew()
        if self._lost:
            raise SupersededError

    def release(self) -> None:
        """Give the lease back. Where the server does not answer it runs out by itself."""
        with self._lock:
            held, self._held = self._held, False
            self._period += 1
        if held and not self._lost:
            self._give_back()

    def _give_back(self) -> None:
        with suppress(PyMongoError), pymongo.timeout(RELEASE_SECONDS):
            lease_record.release(self._records, self._name, self._holder.token)

    def _present(self) -> LeaseRecord:
        with pymongo.timeout(self._attempt):
            return lease_record.present(self._database, self._name)

    def take(self, over: LeaseRecord, stopped: Callable[[], bool] = never) -> LeaseRecord | None:
        """Take the lease if it is free, or still as ``over`` shows it; None where somebody was faster."""
        return self._take(over, Retry(stopped=stopped))

    def _take(self, over: LeaseRecord, retry: Retry) -> LeaseRecord | None:
        began = self._clock()
        try:
            claimed = self._fenced(over, retry)
        except Exception:
            self._give_back()
            raise
        if claimed is None:
            return None
        with self._lock:
            self._period += 1
            self._held, self._renewed_at, self._generation = True, began, claimed.generation
            self._note_asked(claimed)
        return claimed

    def _fenced(self, over: LeaseRecord, retry: Retry) -> LeaseRecord | None:
        """Take the lease, then fence: nothing of ours begins before both are done, whoever dies in between.

        One transaction for both would be left open by a claimant that is killed in it, on no record, and
        whoever comes next would meet conflicts until the server ends it: after 82 s, once in 25 kills.
        """
        if not over.released:  # who gave it back may be at work elsewhere
            self._bounded(lambda: self._disarm(over.token))
        claimed = retry(lambda: self._bounded(lambda: self._taken(over)))
        if claimed:
            retry(lambda: self._bounded(lambda: self._fence(claimed.generation, None)))
        return claimed

    def _taken(self, over: LeaseRecord) -> LeaseRecord | None:
        records = lease_record.collection_of(self._database)
        return lease_record.claim(records, self._name, self._holder, self._seconds, over=over)

    def _bounded(self, work: Callable[[], T]) -> T:
        with pymongo.timeout(server.ATTEMPT_SECONDS):
            return work()

    def _keep(self) -> None:
        tick = min(TICK_SECONDS, self._seconds / 6)
        while not self._ended.wait(tick):
            # A server that is away is no loss of the lease, and nothing may end this thread.
            with suppress(Exception):
                self._attend()

    def _attend(self) -> None:
        if self._held and self._clock() - self._renewed_at >= self._seconds / 3:
            self._renew()
            return
        period = self._period
        with pymongo.timeout(self._attempt):
            seen = lease_record.look(self._database, self._name)
        self._note(period, seen, ours=seen is not None and seen.token == self._holder.token)

    def _renew(self) -> None:
        period, began = self._period, self._clock()
        with pymongo.timeout(self._attempt):
            renewed = lease_record.renew(self._records, self._name, self._holder.token, self._seconds)
        self._note(period, renewed, ours=renewed is not None, renewed_at=began)

    def _note(
        self, period: int, seen: LeaseRecord | None, *, ours: bool, renewed_at: float | None = None
    ) -> None:
        with self._lock:
            if period != self._period:
                return
            if seen is not None:
                self._note_asked(seen)
            if not self._held:
                return
            self._lost = self._lost or not ours
            self._renewed_at = max(self._renewed_at, renewed_at or 0.0)

    def _note_asked(self, seen: LeaseRecord) -> None:
        self._asked = seen.asked.what if seen.asked else ""
        self._asked_by = seen.asked.by if seen.asked else ""
