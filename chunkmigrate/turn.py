"""Turn: waiting until the throttle lets the next chunk go, before the first of its documents is taken.

A chunk that waited after it was built would write what its documents were before the wait, over whatever was
edited in between. When a chunk may go is ``throttle``'s business, what to read again is the pipeline's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.throttle import Reason, Throttle

# How long a paused run sleeps before it looks whether it was asked to stop.
PAUSE_SLICE = 0.25

# What was read so many seconds of waiting ago is read again. A page costs milliseconds.
OLD_SECONDS = 3.0


class Turn:
    """The turn of one chunk after the other. ``paused`` is told why there is a wait, once for each episode.

    ``waited`` is told of each bit of every wait, and how many seconds it took; ``clock`` is in seconds.
    Without ``throttle`` nothing ever waits.
    """

    def __init__(
        self,
        throttle: Throttle | None,
        *,
        stopped: Callable[[], bool],
        paused: Callable[[Reason], None],
        waited: Callable[[Reason, float], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._throttle, self._stopped, self._paused, self._told = throttle, stopped, paused, waited
        self._sleep, self._clock = sleep, clock
        self._granted, self._waited = False, 0.0

    def wait(self, meanwhile: Callable[[], None]) -> bool:
        """Return once a chunk may go, or the run is to stop; whether what was read is still as good as new.

        The throttle is asked until it lets one chunk go, which holds until `used`. ``meanwhile`` is called
        after each sleep.
        """
        if self._throttle is None or self._granted:
            return True
        began = self._clock()
        while not self._stopped() and (reason := self._throttle.reason()):
            if self._throttle.news(reason):
                self._paused(reason)
            asleep = self._clock()
            # A little at a time: what comes in may change its mind.
            self._sleep(min(reason.seconds, PAUSE_SLICE))
            self._told(reason, self._clock() - asleep)
            meanwhile()
        self._granted = not self._stopped()
        self._waited += self._clock() - began
        return self._waited <= OLD_SECONDS

    def used(self) -> None:
        """Note that the chunk goes: the next one has to wait for its own turn."""
        self._granted = False

    def renewed(self) -> None:
        """Note that nothing is left that was read before."""
        self._waited = 0.0
