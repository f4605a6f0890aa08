"""Retry: which of the driver's failures pass by themselves, and how to wait for that.

Errors are told apart by the labels the server and the driver put on them, and by the server's error codes;
the names beside the numbers are those of MongoDB's ``src/mongo/base/error_codes.yml``. What to do with an
error that does not pass is left to others: make a chunk smaller, set a document aside, say a sentence.

The loop is written here and not taken from tenacity: that counts its time from the first try and not from the
first failure, reads a clock nobody can give it, and costs 26 µs a call where this costs half of one; pages of
small documents are read a thousand times a second.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# An election takes 12 s, a pod with mongod half a minute to come back. What takes longer is better waited for
# by whoever starts this process again.
RETRY_SECONDS = 60.0

# Two writers that lost against one another should not meet again; five seconds later an election may be over.
FIRST_PAUSE, MOST_PAUSE = 0.1, 5.0

# A server that sheds load wants less of it, not the same a tenth of a second later.
OVERLOAD_PAUSE, MOST_OVERLOAD_PAUSE = 1.0, 16.0

# How soon a stop is noticed during a pause.
STOP_SECONDS = 0.25

_MAX_TIME_MS_EXPIRED = 50

_PASSING_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
    "RetryableError",
    "SystemOverloadedError",
)
_CONFLICTS = {
    24: "LockTimeout",
    112: "WriteConflict",
    267: "PreparedTransactionInProgress",
}
_PASSING = _CONFLICTS | {
    # The driver's own list for reads and writes it sends once more.
    6: "HostUnreachable",
    7: "HostNotFound",
    89: "NetworkTimeout",
    91: "ShutdownInProgress",
    134: "ReadConcernMajorityNotAvailableYet",
    189: "PrimarySteppedDown",
    262: "ExceededTimeLimit",
    9001: "SocketException",
    10058: "LegacyNotPrimary",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
    # A majority, or time, was missing; neither says anything of the next try.
    64: "WriteConcernTimeout",
    _MAX_TIME_MS_EXPIRED: "MaxTimeMSExpired",
    # A router or a member that is between two states.
    133: "FailedToSatisfyReadPreference",
    202: "NetworkInterfaceExceededTimeLimit",
    216: "ElectionInProgress",
    355: "InterruptedDueToStorageChange",
    365: "TemporarilyUnavailable",
    # Under pressure; 8.x labels them, too.
    433: "AdmissionQueueOverflow",
    449: "RateLimitExceeded",
}
# MongoDB 6.0 and older have no 388: they call a transaction that outgrew the cache a conflict.
_TOO_MUCH = {
    257: "TransactionTooLarge",
    290: "TransactionExceededLifetimeLimitSeconds",
    388: "TransactionTooLargeForCache",
    10334: "BSONObjectTooLarge",
}


def never() -> bool:
    """Nobody asks to stop."""
    return False


def ignore(_error: Exception, _pause: float) -> None:
    """Say nothing of a failure."""


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed a little later: at fault is the network, the server, or other work there.

    `is_conflict` and `is_slow` say more about some of these. A write that failed so may have been done all
    the same.
    """
    if isinstance(error, ConnectionFailure):
        return True
    # A member left the replica set while a connection to it was asked for: the driver's own class is private.
    if type(error).__name__ == "_PoolClosedError":
        return True
    return isinstance(error, PyMongoError) and (
        any(map(error.has_error_label, _PASSING_LABELS)) or _code(error) in _PASSING
    )


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction lost against another one: again may do, and fewer documents lose less often.

    It may also be the whole server that is locked, by ``fsyncLock`` for one: no document is at fault.
    """
    return _code(error) in _CONFLICTS


def is_slow(error: BaseException) -> bool:
    """Whether the server was reached but did not answer in the time it had: again may do, and so may less.

    When time is up the server says so, and the driver hangs up; which of the two is noticed is chance. So it
    cannot be told from a connection that went silent, nor whether the server was busy with this or with other
    things: no document is at fault.
    """
    if isinstance(error, NetworkTimeout):
        # With this label it was the connecting that took too long.
        return not error.has_error_label("SystemOverloadedError")
    return isinstance(error, ExecutionTimeout) or _code(error) == _MAX_TIME_MS_EXPIRED


def is_unknown(error: BaseException) -> bool:
    """Whether a commit may have succeeded whose answer never arrived."""
    return isinstance(error, PyMongoError) and error.has_error_label("UnknownTransactionCommitResult")


def is_too_much(error: BaseException) -> bool:
    """Whether the server will never do this much at once: as it stands it cannot pass, less of it can.

    Never true of an error that `is_passing`, nor where a commit may have succeeded.
    """
    if isinstance(error, DocumentTooLarge):
        return True
    return _code(error) in _TOO_MUCH and not is_passing(error)


def overload_backoff(error: BaseException) -> float | None:
    """Return how many seconds an overloaded server asks for, or 0.0; None where it is not overloaded.

    The driver puts the label on connections it could not make, too. Those were refused by a server that is
    down far more often than by one that has too much to do, and it says nothing of any rate: not counted.
    """
    if not isinstance(error, OperationFailure) or not error.has_error_label("SystemOverloadedError"):
        return None
    return float((error.details or {}).get("baseBackoffMS", 0)) / 1_000


def _code(error: BaseException) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Does work again while its failure is a passing one. Call it with the work; it may be shared by threads.

    No try begins later than ``seconds`` after the first failure. ``stopped`` is asked before, during and
    after each pause: a stop ends the trying with the error at hand. ``noticed`` is told of each failure that
    is tried again, and of the pause before that, in seconds. ``passing`` says which failures those are;
    ``chance`` gives numbers from 0 to 1.

    Raises the last failure as it came, with a note on how long it was tried.
    """

    seconds: float = RETRY_SECONDS
    stopped: Callable[[], bool] = never
    noticed: Callable[[Exception, float], None] = ignore
    passing: Callable[[BaseException], bool] = is_passing
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def __call__(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns. It must be such that doing it twice does no harm."""
        failures, first = 0, 0.0
        while True:
            try:
                return work()
            except Exception as error:
                failures += 1
                first = self.clock() if failures == 1 else first
                if not self._again(error, failures, first):
                    raise

    def _again(self, error: Exception, failures: int, first: float) -> bool:
        """Wait for the next try; return whether there is to be one."""
        if not self.passing(error):
            return False
        pause = self._pause(error, failures)
        if not self.stopped() and self.clock() + pause <= first + self.seconds:
            self.noticed(error, pause)
            self._wait(pause)
            if not self.stopped():
                return True
        if failures > 1:
            error.add_note(f"It was tried again for {self.clock() - first:.1f} s.")
        return False

    def _pause(self, error: Exception, failures: int) -> float:
        """Return a pause that doubles with each failure, half of it by chance."""
        backoff = overload_backoff(error)
        first, most = (FIRST_PAUSE, MOST_PAUSE) if backoff is None else (OVERLOAD_PAUSE, MOST_OVERLOAD_PAUSE)
        doubled = min(first * 2.0 ** min(failures - 1, 16), most)
        return max(backoff or 0.0, doubled * (1 + self.chance()) / 2)

    def _wait(self, seconds: float) -> None:
        end = self.clock() + seconds
        while not self.stopped() and (left := end - self.clock()) > 0:
            self.sleep(min(left, STOP_SECONDS))
