"""Watching a Job to its end: what comes from the cluster and from the database, told to a display.

Only what has changed is told. How it looks is the display's business, which exit code it gets the command's.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from chunkmigrate.errors import ChunkmigrateError, ClusterRefusedError
from chunkmigrate.kubernetes.diagnosis import diagnose
from chunkmigrate.kubernetes.ending import GOING, OVER, Kind
from chunkmigrate.kubernetes.fields import text
from chunkmigrate.kubernetes.logs import log
from chunkmigrate.kubernetes.merging import Merged
from chunkmigrate.kubernetes.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chunkmigrate.kubernetes.cluster import Cluster
    from chunkmigrate.kubernetes.diagnosis import Diagnosis
    from chunkmigrate.kubernetes.ending import Ending
    from chunkmigrate.kubernetes.merging import News
    from chunkmigrate.kubernetes.story import Story
    from chunkmigrate.lastruns import Stand

TICK_SECONDS = 0.5
EVENTS_SECONDS = 5.0

# The Job and its pods come on two streams: the end of the last pod may come after the Job's.
SETTLE_SECONDS = 3.0
# Logs may have much to tell of what is over; one of another container may never end.
LOGS_SECONDS = 30.0


class Shown(Protocol):
    """A display: it is told what has changed."""

    def job(self, ending: Ending) -> None:
        """Show how the Job stands."""

    def pod(self, name: str, ending: Ending) -> None:
        """Show how a pod stands."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show a warning of the cluster's."""

    def stand(self, stand: Stand) -> None:
        """Show where the migration stands."""

    def log(self, pod: str, line: str) -> None:
        """Show a line of a pod's log."""

    def note(self, message: str) -> None:
        """Show what whoever looks on should know."""


@dataclass(slots=True)
class JobWatch:
    """Watches one Job. ``stands`` says where the migration stands, if there is a database to ask.

    It is called with a function that sleeps, and is read in a thread of its own.
    """

    cluster: Cluster
    story: Story
    shown: Shown
    stands: Callable[[Callable[[float], Any]], Iterator[Stand | str]] | None = None
    logs: bool = False
    clock: Callable[[], float] = time.monotonic
    _told: dict[str, Ending] = field(default_factory=dict)
    _logged: set[str] = field(default_factory=set)

    def run(self) -> Diagnosis:
        """Watch until the Job is over; return how it and its pods ended."""
        with Merged() as merged:
            self._begin(merged)
            over: float | None = None
            while True:
                if news := merged.next(TICK_SECONDS):
                    self._take(news)
                found = self._tell()
                self._follow(merged, found)
                if found.job.kind not in OVER:
                    over = None
                    continue
                over = self.clock() if over is None else over
                if _settled(found, self.clock() - over, quiet=news is None):
                    return self._ended()

    def _begin(self, merged: Merged) -> None:
        name, api = self.story.name, self.cluster.api
        watch = partial(
            Watch, api, say=partial(merged.tell, "note"), stopped=merged.stopped, sleep=merged.sleep
        )
        there = {text(self.story.job, "metadata", "uid"): self.story.job} if self.story.job else {}
        merged.add("job", watch(self.cluster.named(name), there=there))
        merged.add("pod", watch(self.cluster.pods_of(name)))
        merged.add("events", self._events(merged))
        if self.stands:
            merged.add("stand", self.stands(merged.sleep))

    def _take(self, news: News) -> None:
        if news.error and news.source in ("job", "pod"):
            raise news.error
        if news.error:
            self._lost(news.source, news.error)
        elif news.source == "job":
            self.story.job_changed(news.value)
        elif news.source == "pod":
            self.story.pod_changed(news.value)
        elif news.source == "events":
            for event in self.story.happened(news.value):
                if event.get("type") == "Warning":
                    self.shown.event(event)
        elif news.source == "note" or (isinstance(news.value, str) and news.source == "stand"):
            self.shown.note(news.value)
        elif news.source == "stand":
            self.story.known = news.value.runs
            self.shown.stand(news.value)
        else:
            self.shown.log(news.source, news.value)

    def _lost(self, source: str, error: Exception) -> None:
        """Go on without what is not needed to see the end."""
        without = {"events": "the cluster's events", "stand": "what the database knows"}.get(source)
        self.shown.note(f"Going on without {without or f'the log of pod {source}'}: {error}")

    def _tell(self) -> Diagnosis:
        """Tell how the Job and its pods stand, where that has changed."""
        found = diagnose(self.story.seen())
        for name, ending in found.pods:
            self._changed(f"pod {name}", ending, partial(self.shown.pod, name))
        self._changed("job", found.job, self.shown.job)
        return found

    def _ended(self) -> Diagnosis:
        """Look at the events once more: they come late, and say who told a pod to stop."""
        with suppress(ChunkmigrateError):
            self.story.happened(self.cluster.events(self.story.name, self.story.pods()))
        return self._tell()

    def _changed(self, key: str, ending: Ending, tell: Callable[[Ending], None]) -> None:
        before = self._told.get(key)
        self._told[key] = ending
        if before is None or before.sentence != ending.sentence:
            tell(ending)

    def _follow(self, merged: Merged, found: Diagnosis) -> None:
        """Follow the log of each pod that has begun to write one."""
        for name, ending in found.pods if self.logs else ():
            if name not in self._logged and ending.kind not in GOING - {Kind.RUNNING, Kind.RESTARTING}:
                self._logged.add(name)
                where = self.cluster.log_of(name, self.story.container(name))
                merged.add(name, log(self.cluster.api, where, stopped=merged.stopped, sleep=merged.sleep))

    def _events(self, merged: Merged) -> Iterator[list[Mapping[str, Any]]]:
        while True:
            try:
                yield self.cluster.events(self.story.name, self.story.pods())
            except ClusterRefusedError:
                raise
            except ChunkmigrateError:
                pass  # the watches tell of it
            merged.sleep(EVENTS_SECONDS)


def _settled(found: Diagnosis, seconds: float, *, quiet: bool) -> bool:
    """Whether all is told, so many seconds after the Job's end; ``quiet``: there was nothing new just now."""
    if not quiet:
        return seconds > LOGS_SECONDS
    ends = [ending.kind not in GOING for _, ending in found.pods]
    return seconds > SETTLE_SECONDS or (bool(ends) and all(ends))
