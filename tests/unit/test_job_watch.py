from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.job_watch import LOGS_SECONDS, SETTLE_SECONDS, JobWatch, _settled
from chunkmigrate.kubernetes.diagnosis import diagnose
from chunkmigrate.kubernetes.ending import Known
from chunkmigrate.kubernetes.merging import News
from chunkmigrate.kubernetes.story import Story
from chunkmigrate.kubernetes.watching import Change
from chunkmigrate.lastruns import Stand
from chunkmigrate.units import MI
from tests.recorded import scenario

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.cluster import Cluster

OVER = diagnose(scenario("oomkilled").seen())
GOING = diagnose(scenario("oomkilled").seen(pods=scenario("sigterm-graceful").versions("Pod")[3:4], job=None))
UNSEEN = replace(OVER, pods=())


@dataclass
class Told:
    """A display that keeps what it is told."""

    said: list[tuple[Any, ...]] = field(default_factory=list)

    def __getattr__(self, what: str) -> Any:
        return lambda *told: self.said.append((what, *told))


def watching() -> tuple[JobWatch, Told]:
    told, job = Told(), scenario("oomkilled").versions("Job")[0]
    return JobWatch(cast("Cluster", None), Story("oomkilled", job), told), told


def test_only_changes_are_told() -> None:
    """What has not changed is not told again."""
    watch, told = watching()
    pods = scenario("oomkilled").versions("Pod")
    for pod in (pods[0], pods[0], pods[2]):
        watch._take(News("pod", Change("MODIFIED", pod)))
        watch._tell()

    assert [said[0] for said in told.said] == ["pod", "job", "pod", "job"]


@pytest.mark.parametrize("source", ["job", "pod"])
def test_what_is_needed(source: str) -> None:
    """Without the Job or its pods nothing can be watched: what fails there is raised."""
    with pytest.raises(ClusterError):
        watching()[0]._take(News(source, error=ClusterError("gone.")))


def test_what_is_not_needed() -> None:
    """Without events, logs and the database it goes on, and says so."""
    watch, told = watching()
    refused = ClusterRefusedError("You may not.", 403)
    for source in ("events", "stand", "p"):
        watch._take(News(source, error=refused))

    assert [said[1] for said in told.said] == [
        "Going on without the cluster's events: You may not.",
        "Going on without what the database knows: You may not.",
        "Going on without the log of pod p: You may not.",
    ]


def test_what_the_database_knows() -> None:
    """What the database knows of a run that was killed is told with its pod; that it is away is a note."""
    watch, told = watching()
    known = Known(pod="oomkilled-l96rb", used=60 * MI, budget=64 * MI)
    watch._take(News("stand", Stand("running", 1, "7", (known,))))
    watch._take(News("stand", "The database is away."))
    for pod in scenario("oomkilled").ended():
        watch._take(News("pod", Change("MODIFIED", pod)))
    found = watch._tell()

    assert [said[0] for said in told.said][:2] == ["stand", "note"]
    assert "with 60 MiB of 64 MiB in use" in found.pods[1][1].sentence


def test_warnings_alone_are_told() -> None:
    """Of the events the warnings are told, each once."""
    watch, told = watching()
    events = scenario("oomkilled").events
    watch._take(News("events", events))
    watch._take(News("events", events))

    assert [said[1]["reason"] for said in told.said] == ["BackoffLimitExceeded"]


def test_settled() -> None:
    """Once a Job is over its pods' ends are waited for a little, and its logs a little longer."""
    assert _settled(OVER, 0.0, quiet=True)
    assert not _settled(GOING, 0.0, quiet=True)
    assert not _settled(UNSEEN, 0.0, quiet=True)
    assert _settled(GOING, SETTLE_SECONDS + 1, quiet=True)
    assert not _settled(OVER, SETTLE_SECONDS + 1, quiet=False)
    assert _settled(OVER, LOGS_SECONDS + 1, quiet=False)


def test_later_job_of_the_name() -> None:
    """A Job that somebody submits under the same name later is not the one that is watched."""
    watch, _ = watching()
    later = dict(scenario("oomkilled").job, metadata={"name": "oomkilled", "uid": "another"})
    watch._take(News("job", Change("ADDED", later)))

    assert watch.story.job is not later


def test_story_of_the_deleted() -> None:
    """The last version of a pod is kept when it is deleted: its end is nowhere else."""
    story = Story("evicted")
    changes = deque(scenario("evicted").watch)
    while changes:
        event = changes.popleft()
        change = Change(event["type"], event["object"])
        (story.job_changed if event["object"]["kind"] == "Job" else story.pod_changed)(change)

    assert [ending.kind for _, ending in diagnose(story.seen()).pods] == ["evicted", "succeeded"]
