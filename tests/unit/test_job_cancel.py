from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from chunkmigrate.errors import ClusterError
from chunkmigrate.job_cancel import END_SECONDS, GONE_SECONDS, JobCancel
from tests.recorded import scenario

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.cluster import Cluster

VERSIONS = scenario("sigterm-graceful").versions("Pod")
RUNNING, ENDED = VERSIONS[3], VERSIONS[7]
JOB = scenario("sigterm-graceful").versions("Job")[2]


@dataclass
class Going:
    """A cluster in which a pod ends, and a Job goes, after so many looks. What happens is put down."""

    ends_after: int = 2
    goes_after: int = 2
    happened: list[str] = field(default_factory=list)
    time: float = 0.0
    later: Any = None

    def pods(self, _: str) -> list[Any]:
        self.ends_after -= 1
        return [RUNNING if self.ends_after >= 0 else ENDED]

    def delete(self, _: Any) -> None:
        self.happened.append("deleted")

    def job(self, _: str) -> Any:
        self.goes_after -= 1
        return JOB if self.goes_after >= 0 else self.later

    def config_map(self, name: str) -> Any:
        return {"metadata": {"name": name, "labels": {"app.kubernetes.io/instance": name.partition(".")[0]}}}

    def delete_config_map(self, name: str) -> None:
        self.happened.append(f"deleted {name}")

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def cancel(self, *, ask: bool = True, now: bool = False, job: Any = JOB) -> bool:
        asked = (lambda: self.happened.append("asked")) if ask else None
        said = self.happened.append
        cancel = JobCancel(cast("Cluster", self), job, said, asked, clock=lambda: self.time, sleep=self.sleep)
        return cancel.run(now=now)


def test_asks_waits_deletes() -> None:
    """A run is asked first, then its pods are waited for, then the Job is deleted, and waited for."""
    cluster = Going(ends_after=5, goes_after=3)

    assert cluster.cancel()
    assert cluster.happened == [
        "asked",
        "Waiting for pod sigterm-graceful-5t44w to stop at the end of its chunk ...",
        "deleted",
    ]
    assert (cluster.ends_after, cluster.goes_after) == (-1, -1)


@pytest.mark.parametrize("how", [{"ask": False}, {"now": True}])
def test_at_once(how: dict[str, bool]) -> None:
    """Without a database, or with --now, it is deleted at once."""
    cluster = Going(ends_after=1_000)

    assert cluster.cancel(**how)
    assert cluster.happened == ["deleted"]


def test_run_that_does_not_answer() -> None:
    """A run that does not stop in five minutes is ended by the deletion."""
    cluster = Going(ends_after=10_000)

    assert cluster.cancel()
    assert cluster.happened[-2].endswith("has not stopped in 300 s; deleting the Job, which ends it.")
    assert END_SECONDS <= cluster.time < END_SECONDS + 10


def test_job_that_does_not_go() -> None:
    """A Job that Kubernetes is still deleting after ten minutes is said to be."""
    cluster = Going(goes_after=10_000)

    assert not cluster.cancel(now=True)
    assert "still being deleted" in cluster.happened[-1]
    assert GONE_SECONDS <= cluster.time < GONE_SECONDS + 10


def test_api_that_is_away() -> None:
    """An API that does not answer for a while after the deletion is asked again: the Job still goes."""
    cluster = Going(goes_after=3)
    job = cluster.job

    def away(name: str) -> Any:
        there = job(name)
        if cluster.goes_after == 1:
            raise ClusterError
        return there

    cluster.job = away  # type: ignore[method-assign]

    assert cluster.cancel(now=True)
    assert cluster.happened == ["deleted"]
    assert cluster.goes_after == -1


def test_its_config_maps() -> None:
    """The ConfigMaps that were submitted with a Job go with it, those of others do not."""
    job = deepcopy(JOB)
    volumes = [{"configMap": {"name": name}} for name in ("sigterm-graceful.files", "settings")]
    job["spec"]["template"]["spec"]["volumes"] = [{"emptyDir": {}}, *volumes]
    cluster = Going()

    assert cluster.cancel(now=True, job=job)
    assert cluster.happened == ["deleted", "deleted sigterm-graceful.files"]


def test_later_job_of_the_name() -> None:
    """A Job of the same name that somebody has submitted meanwhile is another one."""
    later = dict(JOB, metadata=JOB["metadata"] | {"uid": "another"})

    assert Going(later=later).cancel(now=True)


def test_job_that_is_over() -> None:
    """A Job that has ended is not cancelled; --now deletes it."""
    over = scenario("sigterm-graceful").job
    cluster = Going()
    assert cluster.cancel(job=over)
    assert cluster.happened[0].startswith("Job sigterm-graceful is complete")
    assert "deleted" not in cluster.happened

    assert cluster.cancel(job=over, now=True)
    assert cluster.happened[-1] == "deleted"
