"""Cancelling a Job: its run is asked to stop at a checkpoint, waited for, and the Job deleted.

Where no database can be asked the deletion itself stops it: SIGTERM ends a run at its checkpoint as well, if
the grace period is longer than a chunk takes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ChunkmigrateError, ClusterError
from chunkmigrate.kubernetes.diagnosis import Seen, diagnose
from chunkmigrate.kubernetes.ending import OVER, Kind
from chunkmigrate.kubernetes.fields import at, items, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkmigrate.kubernetes.cluster import Cluster
    from chunkmigrate.kubernetes.diagnosis import Diagnosis

POLL_SECONDS = 1.0

# The label that `job render` puts on all that belongs to a Job, with its name.
INSTANCE = "app.kubernetes.io/instance"

# A chunk takes seconds; a function of the author's that is given many documents may take minutes.
END_SECONDS = 300.0
# Kubernetes waits for the pods itself, for as long as their grace period.
GONE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class JobCancel:
    """Cancels one Job. ``ask`` asks its run to stop, where a database is; ``say`` is told what goes on."""

    cluster: Cluster
    job: Mapping[str, Any]
    say: Callable[[str], None]
    ask: Callable[[], None] | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Any] = time.sleep

    def run(self, *, now: bool = False) -> bool:
        """Return whether the Job is gone. One that is over is deleted only where it is to be done ``now``."""
        found = self._look(self.job)
        if found.job.kind in OVER and not now:
            self.say(f"{found.job.sentence} There is nothing to cancel; --now deletes the Job and its pods.")
            return True
        if self.ask and not now:
            self.ask()
            self._wait_for_pods()
        self.cluster.delete(self.job)
        gone = self._wait_for_job()
        if gone:
            self._tidy()
        return gone

    @property
    def _name(self) -> str:
        return text(self.job, "metadata", "name")

    def _look(self, job: Mapping[str, Any]) -> Diagnosis:
        return diagnose(Seen(job=job, pods=self.cluster.pods(self._name)))

    def _wait_for_pods(self) -> None:
        """Wait until no pod of the Job runs. One that has not started would find itself cancelled."""
        until, told = self.clock() + END_SECONDS, False
        while running := self._running():
            if self.clock() >= until:
                self.say(
                    f"{running} has not stopped in {END_SECONDS:.0f} s; deleting the Job, which ends it."
                )
                return
            if not told:
                self.say(f"Waiting for pod {running} to stop at the end of its chunk ...")
                told = True
            self.sleep(POLL_SECONDS)

    def _running(self) -> str:
        found = self._look(self.job)
        return next((name for name, ending in found.pods if ending.kind is Kind.RUNNING), "")

    def _wait_for_job(self) -> bool:
        until = self.clock() + GONE_SECONDS
        while self._is_there():
            if self.clock() >= until:
                self.say(f"Job {self._name} is still being deleted: a pod of it has not stopped yet.")
                return False
            self.sleep(POLL_SECONDS)
        return True

    def _tidy(self) -> None:
        """Delete the ConfigMaps that were submitted with the Job: those it uses that bear its name."""
        volumes = items(self.job, "spec", "template", "spec", "volumes")
        for name in filter(None, (text(volume, "configMap", "name") for volume in volumes)):
            try:
                there = self.cluster.config_map(name)
                if text(there, "metadata", "labels", INSTANCE) == self._name:
                    self.cluster.delete_config_map(name)
            except ChunkmigrateError as error:
                self.say(f"ConfigMap {name} is left: {error}")

    def _is_there(self) -> bool:
        try:
            there = self.cluster.job(self._name)
        except ClusterError:
            return True  # it was asked to go, and an API that is away for a moment takes nothing back
        return there is not None and at(there, "metadata", "uid") == at(self.job, "metadata", "uid")
