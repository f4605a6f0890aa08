"""Freezing: a process stopped by SIGSTOP, as a suspended machine or an exhausted CPU quota stops it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from tests.faults.kinds import NAME
from tests.faults.waiting import until

if TYPE_CHECKING:
    import subprocess
    from datetime import datetime

    from pymongo.database import Database

FREEZE_SECONDS = 30.0
SETTLED_SECONDS = 0.05
MOVED_SECONDS = 0.013


def freeze(process: subprocess.Popen[str], db: Database[Any], *, in_transaction: bool) -> datetime:
    """Freeze a run with a transaction open, or with none; return when its lease runs out, server's clock.

    Nobody can aim at such a moment: it is frozen, looked at, and thawed again until it is the right one.
    """

    def frozen() -> bool:
        assert process.poll() is None, f"the run ended with {process.returncode} before it was frozen"
        process.send_signal(signal.SIGSTOP)
        time.sleep(SETTLED_SECONDS)  # what it had sent is answered then
        transactions = db.client.admin.command("serverStatus")["transactions"]
        if (transactions["currentOpen"] > 0) == in_transaction:
            return True
        process.send_signal(signal.SIGCONT)
        time.sleep(MOVED_SECONDS)
        return False

    until(frozen, FREEZE_SECONDS, "the right moment to freeze a run")
    record = lease(db)
    assert record is not None, "no lease is on record"
    return record["until"]  # type: ignore[no-any-return]


def thaw(process: subprocess.Popen[str]) -> None:
    """Let a frozen process go on."""
    process.send_signal(signal.SIGCONT)


def lease(db: Database[Any]) -> dict[str, Any] | None:
    """The lease of the migration as it is on record, if there is one."""
    return db.chunkmigrate_leases.find_one({"_id": NAME})
