"""Watch: somebody else's lease seen from outside: whether its holder lives, and what to say of it.

It decides nothing and asks no server: records are shown to it, and it counts by our own clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkmigrate.errors import LeaseHeldError
from chunkmigrate.holder import Holder, Liveness, liveness
from chunkmigrate.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from chunkmigrate.lease_reading import LeaseRecord

# A holder renews at a third of its lease. Two renewals missed, it may have died since it made the last one.
LIVELY = 2 / 3


@dataclass(slots=True)
class Watch:
    """What was seen of a lease ``me`` waits for; ``clock`` gives seconds, ``known`` what can be proved."""

    me: Holder
    clock: Callable[[], float]
    known: Callable[[Holder, Holder], Liveness] = liveness
    _seen: tuple[str, datetime] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _moved: bool = field(default=False, init=False)

    def see(self, record: LeaseRecord) -> Liveness:
        """Say what is known of the holder now: from its machine, if it is ours too, or from its renewals."""
        seen = record.token, record.renewed
        if seen != self._seen:
            self._moved, self._seen, self._since = self._seen is not None, seen, self.clock()
        if not record.held or not record.holder:
            return Liveness.DEAD
        proved = self.known(record.holder, self.me)
        return proved if proved is not Liveness.UNKNOWN else self._by_renewals(record)

    def _by_renewals(self, record: LeaseRecord) -> Liveness:
        unmoved = self.clock() - self._since
        # The server's clock would have said so, unless it was set back or another server has taken over.
        if unmoved > record.seconds:
            return Liveness.DEAD
        lively = self._moved and unmoved < record.seconds * LIVELY
        return Liveness.ALIVE if lively else Liveness.UNKNOWN


def announcement(record: LeaseRecord, wait: float) -> str:
    """Return what is said to an operator once a run starts to wait, for ``wait`` seconds."""
    what = "Waiting for its lease."
    if not wait:
        what = f"Watching for at most {record.seconds:.0f} s whether it still lives."
    elif wait < math.inf:
        what = f"Waiting up to {format_duration(wait)} for its lease."
    return f"{record.migration} is being run by {record.shown()}. {what}"


def refusal(record: LeaseRecord) -> LeaseHeldError:
    """Return the error of a run that cannot have this lease."""
    holder = record.holder or Holder(token="")
    message = (
        f"{record.migration} is being run by {record.shown()}. Wait for it with --wait 5m, stop it with "
        f"`chunkmigrate cancel {record.migration}`, or take its lease away with "
        f"`chunkmigrate unlock {record.migration}`."
    )
    return LeaseHeldError(
        message,
        migration=record.migration,
        pod=holder.pod,
        host=holder.host,
        pid=holder.pid,
        since=record.since,
        renewed=record.renewed,
    )
