"""Sharing: one step worked on by several processes, each at one partition at a time.

Whoever comes first divides the step. Then each takes a partition that nobody has, those of the dead included,
and when there is none left it waits until all are done: the others may die. It yields the attempts to make;
making them, and what comes after the step, is the runner's business.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pymongo

from chunkmigrate import checkpoint, fencing, lease_record, leases, partitions, server
from chunkmigrate.errors import SupersededError
from chunkmigrate.holder import Liveness
from chunkmigrate.lease import POLL_SECONDS, Lease
from chunkmigrate.ledger import APPLIED, PENDING
from chunkmigrate.memory import trim
from chunkmigrate.records import Place
from chunkmigrate.retry import Retry
from chunkmigrate.step import Step
from chunkmigrate.watch import Watch, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.backfill import Backfill
    from chunkmigrate.context import Context
    from chunkmigrate.holder import Holder
    from chunkmigrate.lease_reading import Former, LeaseRecord
    from chunkmigrate.ledger import Ledger
    from chunkmigrate.sizing import Sizes


def end_sharing(database: Database[Any], migration: str) -> None:
    """See that nobody works on a partition of a migration whose lease is held, and that nobody will.

    Raises `LeaseHeldError` where somebody does.
    """
    for record in leases.living(database, migration):
        if record.partition:
            raise refusal(record)
    lease_record.pass_over_partitions(lease_record.collection_of(database), migration, None)
    fencing.fence_partitions(database, migration)


@dataclass(slots=True)
class Sharing:
    """One step, shared. Iterate it once, beginning with the migration's lease held: it gives that back.

    ``stopped_by`` then says why it ended early while no attempt was being made, if it did. ``former`` is the
    holder of the migration's lease who ended without a word, if that was so.
    """

    context: Context
    number: int
    backfill: Backfill
    holder: Holder
    ledger: Ledger
    former: Former | None = None
    sleep: Callable[[float], None] = time.sleep
    stopped_by: str = ""
    _kept: ExitStack = field(default_factory=ExitStack, init=False)
    _sizes: Sizes | None = field(default=None, init=False)
    _watches: dict[int, Watch] = field(default_factory=dict, init=False)

    @property
    def place(self) -> Place:
        """The step."""
        return Place(self.context.migration, self.number)

    def is_divided(self) -> bool:
        """Whether somebody has divided the step."""
        return bool(self._retry(lambda: partitions.standing(self.context.database, self.place)))

    def divide(self) -> bool:
        """Divide the step, unless that was done, or all of it is; return whether it is divided."""
        if self.is_divided():
            return True
        context, scan = self.context, self.backfill.scan
        collection = context.database[checkpoint.COLLECTION]
        record = self._retry(lambda: checkpoint.left(collection, self.place, scan))
        if record.done or record.upto is None:
            return False
        after, upto = partitions.attempted(record), record.upto
        ends = [] if after == upto else self._retry(lambda: partitions.ends(scan, after, upto))

        def divide(session: ClientSession | None) -> None:
            partitions.divide(
                context.database, self.place, record, ends, advance=context.lease.advance, session=session
            )

        if session := context.sessions[0]:
            server.transact(session, divide, self._retry)
        else:
            with pymongo.timeout(server.ATTEMPT_SECONDS):
                divide(None)
        return True

    def __iter__(self) -> Iterator[Step]:
        """Yield an attempt at one partition after the other, each with its lease held."""
        self.context.lease.release()
        waited = False
        with self._kept:
            while not self._is_stopped() and (left := self._left()):
                tried = False
                for step in self._attempts(left):
                    tried = True
                    yield step
                    self._sizes = step.sizes or self._sizes
                    if step.stopped_by:
                        return
                waited = not tried and self._wait(len(left), said=waited)

    def _left(self) -> list[int]:
        standing = self._retry(lambda: partitions.standing(self.context.database, self.place))
        if not standing:  # somebody has had all of it forgotten, to begin anew: that is not done
            raise SupersededError
        return [number for number, done in standing.items() if not done]

    def _attempts(self, left: list[int]) -> Iterator[Step]:
        """Yield an attempt at each partition that is free now."""
        for number in self._spread(left):
            if self.context.stopped() or self.context.lease.asked:
                return
            if seen := self._free(number):
                yield from self._attempt(number, seen)

    def _spread(self, left: list[int]) -> list[int]:
        """Begin somewhere else than the others do: who asks for a lease second has asked in vain."""
        first = int(self.holder.token, 16) % len(left)
        return left[first:] + left[:first]

    def _attempt(self, number: int, seen: LeaseRecord) -> Iterator[Step]:
        place = replace(self.place, partition=number)
        fence = partial(fencing.fence, self.context.database, place.matching())
        lease = Lease(
            self.context.database, place.document(), self.holder, fence=fence, disarm=self.ledger.bury
        )
        with ExitStack() as stack:
            stack.enter_context(lease)
            taken = lease.take(seen, self.context.stopped)
            if taken is None or not self._may_begin(number):
                return
            # The lease of the last partition is kept until the next is taken: it says that we live.
            self._kept.close()
            self._kept.push(stack.pop_all())
            run, generation = self.context.run, taken.generation
            self._retry(lambda: self.ledger.took(self.context.migration, run, place.document(), generation))
            former, self.former = taken.former or (self.former if number == 1 else None), None
            yield Step(
                self.context,
                self.number,
                self.backfill,
                former,
                lease=lease,
                partition=number,
                learned=self._sizes,
            )

    def _may_begin(self, number: int) -> bool:
        """Whether a partition is still to be done, now that its lease is ours.

        Who rolls back, or marks, looks for the leases of partitions after taking that of the migration, and
        here it is the other way round: one of the two sees the other. Raises `SupersededError` where the
        migration was rolled back, or marked, in the meantime.
        """
        database, migration = self.context.database, self.context.migration
        lease = self._retry(lambda: lease_record.look(database, migration))
        if number not in self._left() or (lease and lease.held and not self.holder.works_with(lease.holder)):
            return False
        entry = self._retry(lambda: self.ledger.entry(migration))
        if entry.get("direction") == "down" or entry.get("status", PENDING) in (PENDING, APPLIED):
            raise SupersededError
        return True

    def _free(self, number: int) -> LeaseRecord | None:
        """Return the lease of a partition as it is now, where nobody alive has it."""
        name = replace(self.place, partition=number).document()
        seen = self._retry(lambda: lease_record.present(self.context.database, name))
        watch = self._watches.setdefault(number, Watch(self.holder, time.monotonic))
        return seen if watch.see(seen) is Liveness.DEAD else None

    def _wait(self, left: int, *, said: bool) -> bool:
        if not said:
            some = "the last partition" if left == 1 else f"the last {left} partitions"
            self.context.note("waiting", f"Others are at work on {some}; waiting for them.")
            trim()
        self.sleep(POLL_SECONDS)
        return True

    def _is_stopped(self) -> bool:
        if self.context.stopped() or self.context.lease.asked:
            self.stopped_by = "stop"
        return bool(self.stopped_by)

    @property
    def _retry(self) -> Retry:
        return Retry(stopped=self.context.stopped)
