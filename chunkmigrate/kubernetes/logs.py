"""Logs: the lines of one container's log as they are written, each once, through drops.

Lines are asked for with their times: what comes again after a drop is known by them, and left out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.kubernetes.fields import printable
from chunkmigrate.kubernetes.watching import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.kubernetes.client import Api
    from chunkmigrate.kubernetes.cluster import Collection

MAX_LINE = 4000

PAUSE_SECONDS, TRIES = 1.0, 30
# A run may say nothing for minutes while it waits for the server.
SILENCE_SECONDS = 600.0

_NOT_YET = 400


def log(
    api: Api,
    where: Collection,
    *,
    stopped: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], Any] = time.sleep,
) -> Iterator[str]:
    """Yield the lines of a log, fit to be shown, until the container has ended or is gone."""
    last, tries = "", 0
    while not stopped() and tries < TRIES:
        before = last
        try:
            for line in lines(_stream(api, where, before), whole=False):
                stamp, _, said = line.decode("utf-8", "replace").partition(" ")
                if stamp > before:
                    last, tries = stamp, 0
                    yield printable(said[:MAX_LINE])
        except ClusterRefusedError as error:
            if error.status != _NOT_YET:  # it is gone, or nobody may read it
                return
        except ClusterError:
            pass  # from the last line on, once more
        else:
            return
        tries += 1
        sleep(PAUSE_SECONDS)


def _stream(api: Api, where: Collection, since: str) -> Iterator[bytes]:
    query = {"follow": "true", "timestamps": "true", "sinceTime": since}
    return api.stream(where.path, f"read {where.name}", seconds=SILENCE_SECONDS, **where.query, **query)
