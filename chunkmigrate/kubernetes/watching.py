"""Watching: every change of some objects, through drops, silence and expired watches.

First all of them are listed, then changes come from that version on. A stream that ends, breaks off or falls
silent is asked for again from the last version that came whole; where the server has forgotten that one (410,
as a status or inside the stream) all is listed anew. What the changes mean is not known here.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.kubernetes.fields import at, items, text
from chunkmigrate.kubernetes.fields import whole as number
from chunkmigrate.kubernetes.refusals import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from chunkmigrate.kubernetes.client import Api
    from chunkmigrate.kubernetes.cluster import Collection

# The server ends a stream after so long, and is asked again. A connection that is dead without a word is
# noticed a little later.
WATCH_SECONDS, SILENCE_SECONDS = 60, 75.0

# For so long nobody needs to answer: an API server that is upgraded is away for minutes.
PATIENCE_SECONDS = 600.0
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0

# Seen of events: of a version that is too old the server says nothing, but ends the stream at once.
EMPTY_SECONDS, EMPTY_TRIES = 1.0, 3

# An object in etcd has 1.5 MiB at most.
MAX_LINE = 16 << 20

_GONE, _UNAUTHORIZED = 410, 401

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: ``type`` is ADDED, MODIFIED or DELETED, ``object`` what it then was."""

    type: str
    object: Mapping[str, Any]


@dataclass(slots=True)
class Watch:
    """Watches a collection, until ``stopped`` says so, or nobody answers for long. Iterate it once.

    ``there`` is what is known to be there, by uid. ``say`` is told when the API is lost, and found again.
    """

    api: Api
    collection: Collection
    say: Callable[[str], None] = lambda _: None
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Any] = time.sleep
    there: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _version: str = ""
    _heard: float = 0.0
    _failures: int = 0
    _empty: int = 0

    def __iter__(self) -> Iterator[Change]:
        """Yield the changes, beginning with what is there."""
        self._heard = self.clock()
        while not self.stopped():
            try:
                if not self._version:
                    yield from self._listed()
                yield from self._streamed()
            except (ClusterError, ClusterRefusedError) as error:
                self._failed(error)

    def _listed(self) -> Iterator[Change]:
        """Yield all that is there, and what was there before and is not now."""
        where = self.collection
        found = self.api.get(where.path, f"list {where.name}", **where.query)
        self._hear()
        there = {_uid(one): one for one in items(found, "items")}
        for uid in self.there.keys() - there.keys():
            yield Change(DELETED, self.there[uid])
        self.there = there
        for one in there.values():
            yield Change(MODIFIED, one)
        self._version = text(found, "metadata", "resourceVersion")

    def _streamed(self) -> Iterator[Change]:
        began, came = self.clock(), False
        for line in lines(self._stream()):
            change, self._version = _change(line, self._version)
            came = True
            self._hear()
            if change:
                self._keep(change)
                yield change
            if self.stopped():
                return
        if not came and self.clock() - began < EMPTY_SECONDS:
            self._ended_at_once()

    def _stream(self) -> Iterator[bytes]:
        return self.api.stream(
            self.collection.path,
            f"watch {self.collection.name}",
            seconds=SILENCE_SECONDS,
            **self.collection.query,
            watch=1,
            allowWatchBookmarks="true",
            timeoutSeconds=WATCH_SECONDS,
            resourceVersion=self._version,
        )

    def _keep(self, change: Change) -> None:
        if change.type == DELETED:
            self.there.pop(_uid(change.object), None)
        else:
            self.there[_uid(change.object)] = change.object

    def _hear(self) -> None:
        if self._failures > 1:
            self.say("The Kubernetes API answers again.")
        self._heard, self._failures, self._empty = self.clock(), 0, 0

    def _ended_at_once(self) -> None:
        self._empty += 1
        if self._empty >= EMPTY_TRIES:
            self._version, self._empty = "", 0
        self.sleep(FIRST_PAUSE)

    def _failed(self, error: ClusterError | ClusterRefusedError) -> None:
        """Wait before the next try, or raise what would only come again."""
        if isinstance(error, ClusterRefusedError):
            if error.status == _GONE:
                self._version = ""
                return
            # A token that has just run out is renewed with the next request.
            if error.status != _UNAUTHORIZED or self._failures:
                raise error
        if self.clock() - self._heard > PATIENCE_SECONDS:
            raise error
        self._failures += 1
        if self._failures == 2:  # one drop is nothing to talk of
            self.say(f"{error} Trying again.")
        asked = error.wait if isinstance(error, ClusterError) else 0.0
        self.sleep(min(LAST_PAUSE, max(asked, FIRST_PAUSE * 2 ** (self._failures - 1))))


def lines(chunks: Iterable[bytes], *, whole: bool = True) -> Iterator[bytes]:
    """Yield the lines of a stream. A last one without its end is none if they must be ``whole``."""
    left = b""
    for chunk in chunks:
        *ended, left = (left + chunk).split(b"\n")
        yield from filter(None, ended)
        if len(left) > MAX_LINE:
            raise ClusterError("The Kubernetes API sends a line without an end.")
    if left and not whole:
        yield left


def _change(line: bytes, version: str) -> tuple[Change | None, str]:
    """Read one line of a watch; return the change, if it is one, and the version to go on from."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ClusterError("The Kubernetes API sends what is no JSON.") from error
    kind, thing = at(read, "type"), at(read, "object")
    if kind == "ERROR":
        raise explained(number(thing, "code") or 500, {}, json.dumps(thing).encode(), "watch")
    version = text(thing, "metadata", "resourceVersion") or version
    if kind not in (ADDED, MODIFIED, DELETED) or not isinstance(thing, dict):
        return None, version  # a bookmark, or something new
    return Change(kind, thing), version


def _uid(thing: Mapping[str, Any]) -> str:
    return text(thing, "metadata", "uid") or text(thing, "metadata", "name")
