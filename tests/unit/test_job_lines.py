from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from chunkmigrate import jobs_live
from chunkmigrate.job_lines import Lines, report
from chunkmigrate.job_screen import MAX_PODS, Screen
from chunkmigrate.kubernetes.diagnosis import diagnose
from chunkmigrate.kubernetes.ending import Ending, Kind
from chunkmigrate.lastruns import Stand
from tests.recorded import scenario

RUNNING = Ending(kind=Kind.RUNNING, sentence="Pod p is running.")
LOGIN = "mongodb://operator:secret@db/shop"


def written(*, as_json: bool = False, clock: Any = lambda: 0.0) -> tuple[list[str], Lines]:
    lines: list[str] = []
    return lines, Lines(lines.append, as_json, clock)


def test_lines() -> None:
    """Each change is a line with its time and the word for it."""
    lines, shown = written()
    shown.pod("p", RUNNING)
    shown.log("p", "hello")
    shown.event({"reason": "BackOff", "message": "again", "involvedObject": {"name": "p"}})

    assert [line[10:] for line in lines] == [
        "pod       Pod p is running.",
        "log       p  hello",
        "event     BackOff, p: again",
    ]


def test_json_lines() -> None:
    """With --json each change is an object, whatever is in it."""
    lines, shown = written(as_json=True)
    shown.pod("p", RUNNING)
    shown.note('a "quoted" note')

    first, second = map(json.loads, lines)
    assert first.keys() == {"at", "event", "message", "pod", "kind", "exit_code"}
    assert (first["kind"], second["message"]) == ("running", 'a "quoted" note')


def test_what_pods_say() -> None:
    """What the pods say themselves the Job does not say again."""
    lines, shown = written()
    for kind in (Kind.RUNNING, Kind.WAITING, Kind.ACTIVE, Kind.UNKNOWN, Kind.SUSPENDED, Kind.QUOTA):
        shown.job(Ending(kind=kind, sentence=kind.value))

    assert [line.split()[-1] for line in lines] == ["suspended", "quota"]


def test_progress_is_not_told_too_often() -> None:
    """Where the migration stands is told when it has changed, at most every ten seconds."""
    now = 0.0
    lines, shown = written(clock=lambda: now)
    for now, read in ((0.0, 1), (5.0, 2), (9.0, 3), (10.0, 4), (30.0, 4), (30.5, 5)):  # noqa: B007 (the clock)
        shown.stand(Stand("running", read, "7", ()))

    assert [line.split()[3] for line in lines] == ["1", "4", "5"]
    assert lines[0].endswith("progress  running, 1 documents read, behind _id 7")


@pytest.mark.parametrize("as_json", [True, False])
def test_no_password(as_json: bool) -> None:  # noqa: FBT001
    """No password that somebody left in a message is shown."""
    lines, shown = written(as_json=as_json)
    shown.log("p", LOGIN)

    assert "operator:***@db" in lines[0]


@pytest.mark.parametrize("as_json", [True, False])
def test_report_without_password(as_json: bool) -> None:  # noqa: FBT001
    """A diagnosis shows no password either."""
    recording = scenario("exit2-failjob")
    pod = recording.pods[0]["status"]["containerStatuses"][0]
    pod["state"]["terminated"]["message"] = f"cannot connect to {LOGIN}"
    told = "\n".join(report(diagnose(recording.seen(pods=recording.pods)), as_json=as_json))

    assert "mongodb://operator:***@db/shop" in told
    assert "secret" not in told


def test_report() -> None:
    """A diagnosis is the Job's sentence, then the pods', with evidence, and each advice once."""
    lines = [*report(diagnose(scenario("oomkilled").seen()), as_json=False)]

    assert lines[0].startswith("Job oomkilled failed")
    assert sum(line.startswith("Pod ") for line in lines) == 2
    assert sum(line.startswith("    -> ") for line in lines) == 1
    assert "    container c: OOMKilled, exit code 137 at 2026-11-22T02:27:01Z" in lines


def test_json_report() -> None:
    """As JSON a diagnosis is an object for the Job, and one for each pod."""
    job, *pods = map(json.loads, report(diagnose(scenario("oomkilled").seen()), as_json=True))

    assert (job["object"], job["name"], job["kind"]) == ("job", "oomkilled", "backoff_limit")
    assert [(pod["name"], pod["kind"], pod["exit_code"]) for pod in pods] == [
        ("oomkilled-2psds", "oom_killed", 137),
        ("oomkilled-l96rb", "oom_killed", 137),
    ]


def screened(*pods: str) -> str:
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=120, highlight=False)
    with Screen(console) as screen:
        screen.job(Ending(kind=Kind.RUNNING, sentence="Job [bold]j[/bold] is running."))
        screen.stand(Stand("running", 12_000, "7", ()))
        for pod in pods:
            screen.pod(pod, RUNNING)
        screen.event({"reason": "BackOff", "message": "again", "involvedObject": {"name": "p"}})
        screen.log("p", f"connecting to {LOGIN}")
        screen.note("The Kubernetes API answers again.")
    return file.getvalue()


def test_screen() -> None:
    """The screen shows Job, migration and pods; what happens passes above; no text is taken for a style."""
    shown = screened("p")

    for part in (
        "Job [bold]j[/bold] is running.",
        "12,000 documents read",
        "Pod p is running.",
        "BackOff, p",
    ):
        assert part in shown
    assert "operator:***@db" in shown


def test_many_pods() -> None:
    """Of many pods the last are shown, and how many were before."""
    shown = screened(*(f"p{number:02}" for number in range(MAX_PODS + 5)))

    assert "5 before" in shown
    assert "p16" in shown


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("succeeded", 0),
        ("evicted", 0),
        ("child-oomkilled-exit0", 0),
        ("child-oomkilled-exit3", 1),
        ("oomkilled", 1),
        ("exit2-failjob", 2),
        ("sigterm-untrapped", 1),
        ("evicted-by-kubelet", 1),
        ("deadline", 75),
        ("job-deleted", 75),
        ("indexed", 1),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    """The Job's exit code is its last pod's where that is one of a run's, 0 when complete, and else 1."""
    assert jobs_live._code(diagnose(scenario(name).seen())) == code
