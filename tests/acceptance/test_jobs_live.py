"""`chunkmigrate job`, as an operator types it, against an API server that replays recordings."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import CommandLine, started
from tests.acceptance.test_control import NAME, SLOW
from tests.apiserver import JOBS, Cluster, line, refusal, reply, serving, stream
from tests.faults.waiting import until
from tests.recorded import Scenario, recorded, scenario
from tests.unit.cluster import problems
from tests.unit.workloads import parsed, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

    from tests.apiserver import Handler

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data: {m.py: "pass"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: m}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}
"""


@dataclass
class Operator:
    """Somebody at a terminal: `chunkmigrate job`, with a kubeconfig, and a database where one is given."""

    cluster: Cluster
    folder: Path
    uri: str = ""

    def start(self, *arguments: str, **how: Any) -> subprocess.Popen[str]:
        unset = {"MONGODB_URI", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        environment |= {"KUBECONFIG": str(self.cluster.kubeconfig(self.folder))}
        environment |= {"MONGODB_URI": self.uri} if self.uri else {}
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(
            [sys.executable, "-m", "chunkmigrate", "job", *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            **pipes | how,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(stdin, timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def operating(folder: Path, recording: Scenario | None = None, uri: str = "") -> Iterator[Operator]:
    with serving(recording) as cluster:
        yield Operator(cluster, folder, uri)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with operating(tmp_path) as operator:
        yield operator


def test_submit(operator: Operator) -> None:
    """A manifest's ConfigMaps are created, then its Job, in the context's namespace."""
    operator.cluster.plan("POST /configmaps", reply(201, {}))
    operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": "m"}}))
    (operator.folder / "m.yaml").write_text(MANIFEST, "utf-8")
    done = operator("submit", "m.yaml")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "Job m is created in namespace migrations.\n"
    assert "`chunkmigrate job watch m` follows it." in done.stderr
    sent = [(one.path, one.body["kind"]) for one in operator.cluster.asked if one.method == "POST"]
    assert sent == [("/api/v1/namespaces/migrations/configmaps", "ConfigMap"), (JOBS, "Job")]


def test_submit_migration(operator: Operator) -> None:
    """A migration's Job is rendered as by `job render`, from flags and what the project says, and created
    with the ConfigMap it mounts; what its operator should know is told.
    """
    written(operator.folder)
    (operator.folder / "pyproject.toml").write_text(
        '[tool.chunkmigrate.kubernetes]\nimage = "shop"\nformat = "helm-hook"\nhook = "pre-upgrade"\n'
    )
    flags = ("count", "--memory", "64Mi", "--mount", "--pods", "2", "-n", "shop")
    operator.cluster.plan("POST /configmaps", reply(201, {}))
    operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": "migrate-20260101000000-count"}}))
    done = operator("submit", *flags)
    rendered = parsed(operator("render", *flags, "--format", "argocd-hook", "--hook", "PreSync").stdout)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "Job migrate-20260101000000-count is created in namespace shop.\n"
    assert "Warning: the image shop may be another one tomorrow" in done.stderr
    assert "`chunkmigrate job watch migrate-20260101000000-count --namespace shop` follows it." in done.stderr
    sent = [one for one in operator.cluster.asked if one.method == "POST"]
    assert [one.path.split("/")[-2:] for one in sent] == [["shop", "configmaps"], ["shop", "jobs"]]
    assert [problems(one.body) for one in sent[1:]] == [[]]
    assert sent[1].body["spec"]["template"] == rendered[1]["spec"]["template"]
    assert sent[0].body["data"] == rendered[0]["data"]
    assert "helm" not in json.dumps([one.body for one in sent])


def test_submit_migration_twice(operator: Operator) -> None:
    """Submitted again while its Job is there it is refused, and nothing is created or changed."""
    written(operator.folder)
    there = scenario("sigterm-graceful").versions("Job")[0]
    operator.cluster.plan("GET /jobs/migrate-20260101000000-count", reply(200, there))
    operator.cluster.plan("GET /pods", reply(200, {"items": []}))
    done = operator("submit", "count", "--image", "shop:1", "--memory", "64Mi", "--mount")

    assert done.returncode == 2
    assert "and it is not replaced" in done.stderr
    assert {one.method for one in operator.cluster.asked} == {"GET"}


@pytest.mark.parametrize(
    ("flags", "asked"), [((), "shop"), (("-n", "other"), "other"), (("--context", "elsewhere"), "shop")]
)
def test_namespace_of_the_project(operator: Operator, flags: tuple[str, ...], asked: str) -> None:
    """A Job is looked for where the project's Jobs are submitted to, unless another namespace is named."""
    (operator.folder / "pyproject.toml").write_text('[tool.chunkmigrate.kubernetes]\nnamespace = "shop"\n')
    done = operator("watch", *flags)

    assert done.returncode == 2
    assert {one.path for one in operator.cluster.asked} == {f"/apis/batch/v1/namespaces/{asked}/jobs"}


@pytest.mark.parametrize(("name", "code"), [("succeeded", 0), ("exit2-failjob", 2)])
def test_submit_and_watch(name: str, code: int, tmp_path: Path) -> None:
    """With --watch it is followed once it is created, and the exit code is the migration's."""
    recording = scenario(name)
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    with operating(tmp_path, recording) as operator:
        operator.cluster.plan(f"GET /jobs/{name}", refusal("404-job.json"))
        operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": name}}))
        done = operator("submit", "-", "--watch", "--json", stdin=json.dumps(manifest))
    told = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(f"Job {name} is created in namespace migrations. Ctrl-C stops watching")
    assert {"pod", "job"} <= {one["event"] for one in told if "event" in one}


def test_submit_file(operator: Operator) -> None:
    """With -f a file is a manifest whatever its name ends in, also where a migration is called like it."""
    written(operator.folder)
    (operator.folder / "count").write_text(MANIFEST.partition("---")[2], "utf-8")
    operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": "m"}}))
    done = operator("submit", "-f", "count")

    assert (done.returncode, done.stdout) == (0, "Job m is created in namespace migrations.\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name the migration whose Job is to be created, or the file of a manifest."),
        (
            ["count", "-f", "m.yaml"],
            "Name the migration whose Job is to be created, or the file of a manifest.",
        ),
        (["absent.yaml"], "The manifest absent.yaml cannot be read: "),
        (["other"], "There is no migration other. There is 20260101000000_count."),
        (
            ["job"],
            "There is no migration job. There is 20260101000000_count. But there is a file job; if that",
        ),
        (["count", "--memory", "64Mi"], "No image is named."),
        (
            ["count", "--image", "a:1", "--format", "cronjob"],
            "The format setting: a Job is submitted, and cron",
        ),
        (
            ["-", "--image", "a:1"],
            "- is a manifest that is there, and is submitted as it is: the image setting",
        ),
        (["count", "--json"], "--logs and --json are about what is followed: use them with --watch."),
        (
            ["count", "--image", "a:1", "--memory", "64Mi", "--env", "U=mongodb://a:hunter2@b"],
            "The env setting: ",
        ),
    ],
)
def test_submit_unusable(operator: Operator, arguments: list[str], sentence: str) -> None:
    """What cannot be submitted is refused with a sentence before any cluster is asked."""
    written(operator.folder)
    (operator.folder / "job").write_text(MANIFEST, "utf-8")
    done = operator("submit", *arguments, stdin=MANIFEST)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {sentence}")
    assert "hunter2" not in done.stderr
    assert operator.cluster.asked == []


@pytest.mark.parametrize(("data", "code"), [({"m.py": "pass"}, 0), ({"m.py": "fail"}, 2), (None, 2)])
def test_config_map_is_there(data: Any, code: int, operator: Operator) -> None:
    """A ConfigMap that is there as it should be serves; one that holds something else is not replaced."""
    operator.cluster.plan("GET /configmaps/m", reply(200, {"metadata": {"name": "m"}, "data": data}))
    operator.cluster.plan("POST /jobs", reply(201, {"metadata": {"name": "m"}}))
    done = operator("submit", "-", stdin=MANIFEST)

    assert done.returncode == code
    assert ("ConfigMap m in namespace migrations that holds something else" in done.stderr) is bool(code)
    assert len([one for one in operator.cluster.asked if one.method == "POST"]) == (0 if code else 1)


def test_submit_from_standard_input(operator: Operator) -> None:
    """A manifest comes through a pipe as well; what the cluster warns of is told."""
    operator.cluster.plan("POST /jobs", refusal("201-unknown-field-warned.json"))
    done = operator("submit", "-", stdin=MANIFEST.partition("---")[2])

    assert (done.returncode, done.stdout) == (0, "Job bad is created in namespace migrations.\n")
    assert 'Warning: unknown field "spec.backofLimit"\n' in done.stderr


@pytest.mark.parametrize(("name", "over"), [("oomkilled", True), ("sigterm-graceful", False)])
def test_job_is_there(name: str, over: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A Job that is there is not replaced, nor are its ConfigMaps touched; it is told how it stands."""
    with operating(tmp_path, scenario(name)) as operator:
        operator.cluster.over = over
        done = operator("submit", "-", stdin=MANIFEST.replace("name: m}", f"name: {name}}}"))

        assert done.returncode == 2
        assert (
            f"There is a Job {name} in namespace migrations, and it is not replaced. Job {name}"
            in done.stderr
        )
        assert (f"`chunkmigrate job cancel {name} --now` deletes it" in done.stderr) is over
        assert {one.method for one in operator.cluster.asked} == {"GET"}


def test_job_appears_meanwhile(operator: Operator) -> None:
    """Of two that submit at once the second is told that the Job is there, not of a conflict."""
    there = scenario("oomkilled").job
    operator.cluster.plan("POST /configmaps", reply(201, {}))
    operator.cluster.plan("GET /jobs/m", refusal("404-job.json"), reply(200, there))
    operator.cluster.plan("POST /jobs", refusal("409-already-exists.json"))
    operator.cluster.plan("GET /pods", reply(200, {"items": []}))
    done = operator("submit", "-", stdin=MANIFEST)

    assert done.returncode == 2
    assert "There is a Job oomkilled in namespace migrations, and it is not replaced." in done.stderr


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("400-bad-quantity.json", 2, "an amount of memory or CPU that is misspelled"),
        ("401-bad-token.json", 2, "The cluster does not know who asks it to create Job m"),
        ("403-create-job.json", 2, "You may not create Job m: jobs.batch is forbidden"),
        ("403-exceeded-quota.json", 2, "The namespace's quota does not allow to create Job m"),
        ("404-namespace.json", 2, "Namespace nowhere is not there, to create Job m"),
        ("409-conflict.json", 2, "Somebody else changed it meanwhile"),
        ("413-too-large.json", 2, "did not create Job m, for it is too large"),
        (
            "422-several-causes.json",
            2,
            "did not create Job m, for it is invalid: metadata.name: Invalid value",
        ),
        ("504-list-future-version.json", 1, "could not create Job m: Timeout"),
    ],
)
def test_submit_refused(name: str, code: int, sentence: str, operator: Operator) -> None:
    """What the cluster refuses ends in one sentence, with exit 2; what may pass, with 1."""
    operator.cluster.plan("POST /jobs", refusal(name))
    done = operator("submit", "-", stdin=MANIFEST.partition("---")[2])

    assert done.returncode == code
    assert done.stderr.startswith("Error: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_submit_what_is_no_manifest(operator: Operator) -> None:
    """What is no manifest of a Job is refused before anybody is asked."""
    assert operator("submit", "absent.yaml").returncode == 2
    assert operator("submit", "-", stdin="kind: Pod").returncode == 2
    wrong = operator(
        "submit", "-", "-n", "other", stdin=MANIFEST.replace("name: m}", "name: m, namespace: n}")
    )
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "Error: - is for namespace n, and --namespace says other.\n",
    )
    assert operator.cluster.asked == []


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("succeeded", 0, "Job succeeded is complete."),
        ("oomkilled-onfailure", 1, "was killed by the kernel for lack of memory"),
        ("evicted", 0, "was evicted through the API"),
        ("deadline", 75, "its activeDeadlineSeconds of 6 s are over"),
        ("exit2-failjob", 2, "cannot be run as asked (exit 2)"),
        ("job-deleted", 75, "was deleted before it had ended"),
        ("indexed", 1, "failed at its indexes 1,2"),
        ("suspended-then-resumed", 0, "Job suspended-then-resumed is suspended."),
    ],
)
def test_watch(name: str, code: int, sentence: str, tmp_path: Path) -> None:
    """A Job is followed to its end, and the exit code is its last pod's."""
    with operating(tmp_path, scenario(name)) as operator:
        done = operator("watch", name)

    assert done.returncode == code, done.stderr
    assert sentence in done.stdout
    assert done.stderr == ""


def test_watch_as_json(tmp_path: Path) -> None:
    """With --json every line is an object: the changes, then how the Job and its pods ended."""
    with operating(tmp_path, scenario("sigterm-graceful")) as operator:
        done = operator("watch", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    ended = [one for one in lines if "object" in one]

    assert done.returncode == 0
    assert [one["kind"] for one in ended] == ["complete", "terminated", "succeeded"]
    assert {"pod", "job"} <= {one["event"] for one in lines if "event" in one}


def test_watch_through_faults(tmp_path: Path) -> None:
    """Expired watches, drops in the middle of a line, errors, no rights for events: the end is the same."""
    recording = scenario("oomkilled")
    pods = [line(event) for event in recording.watch if event["object"]["kind"] == "Pod"]
    jobs = [line(event) for event in recording.watch if event["object"]["kind"] == "Job"]
    expired = recorded("api-errors")["watch-410-expired.jsonl"]["body"].encode()
    with operating(tmp_path, recording) as operator:
        plan = operator.cluster.plan
        plan("watch /pods", stream([pods[0], pods[1][:80]], drop=True), reply(500, "x"), stream([expired]))
        plan("watch /jobs", stream([jobs[0][:-1]], drop=True), reply(410, {"reason": "Expired", "code": 410}))
        plan("GET /events", *[refusal("403-list-pods.json")] * 9)
        done = operator("watch", "oomkilled")

    assert done.returncode == 1
    assert "Going on without the cluster's events: You may not list events" in done.stdout
    assert "Job oomkilled failed, for more pods failed than its backoffLimit (1) allows" in done.stdout
    assert done.stdout.count("\nPod ") == 2


def test_watch_refused(operator: Operator) -> None:
    """Who may not watch is told so, with exit 2."""
    operator.cluster.plan("GET /m", reply(200, scenario("succeeded").job))
    operator.cluster.plan("GET /jobs", refusal("403-watch-jobs.json"))
    operator.cluster.plan("GET /pods", reply(200, {"metadata": {"resourceVersion": "1"}, "items": []}))
    operator.cluster.plan("watch /pods", stream([], until=operator.cluster.closing))
    done = operator("watch", "m")

    assert done.returncode == 2
    assert "Error: You may not list Job succeeded: jobs.batch is forbidden" in done.stderr


def test_watch_what_is_not_there(operator: Operator) -> None:
    """A Job that is not there cannot be watched, and those there are are named."""
    operator.cluster.plan("GET /jobs", reply(200, {"items": [scenario("oomkilled").job]}))
    done = operator("watch", "x")

    assert done.returncode == 2
    assert "There is no Job x in namespace migrations. There are: oomkilled." in done.stderr


def test_logs(tmp_path: Path) -> None:
    """With --logs the logs of its pods are shown, each line with its pod."""
    with operating(tmp_path, scenario("succeeded")) as operator:
        done = operator("watch", "--logs")

    assert "log       succeeded-ht2kl  done: 1234 documents\n" in done.stdout


def test_interrupt(tmp_path: Path) -> None:
    """Ctrl-C stops watching, not the Job, and says so."""
    recording = scenario("succeeded")
    recording.watch[:] = recording.watch[:4]
    with operating(tmp_path, recording) as operator:
        process = operator.start("watch", "succeeded")
        assert process.stdout
        assert "is pending" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

        assert process.returncode == 130
        assert (
            err == "Stopped watching; Job succeeded goes on. `chunkmigrate job cancel succeeded` ends it.\n"
        )
        assert {one.method for one in operator.cluster.asked} == {"GET"}


def test_screen(tmp_path: Path) -> None:
    """On a terminal it is one screen, and what is left on it is how all ended."""
    ours, theirs = pty.openpty()
    with operating(tmp_path, scenario("succeeded")) as operator:
        process = operator.start("watch", stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
        os.close(ours)

        assert process.wait(60) == 0
    assert b"how it stands" in shown
    assert b"Pod succeeded-ht2kl succeeded (exit 0)." in shown
    assert shown.rstrip().endswith(
        b'container c left: {"outcome": "succeeded", "documents": 1234, "peak_rss_bytes": 9863168}'
    )


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # as Linux says that the other end is closed
        return b""


def test_diagnose_without_events(tmp_path: Path) -> None:
    """Who may not read events is told so, and what Job and pods say of their end all the same."""
    with operating(tmp_path, scenario("oomkilled")) as operator:
        operator.cluster.over = True
        operator.cluster.plan("GET /events", *[refusal("403-list-pods.json")] * 9)
        done = operator("diagnose")

    assert done.returncode == 0
    assert "Going on without the cluster's events: You may not list events" in done.stderr
    assert done.stdout.startswith(
        "Job oomkilled failed, for more pods failed than its backoffLimit (1) allows"
    )


def test_diagnose(tmp_path: Path) -> None:
    """A Job that has ended is told of, with the evidence and what to do."""
    with operating(tmp_path, scenario("oomkilled")) as operator:
        operator.cluster.over = True
        done = operator("diagnose")
        told = operator("diagnose", "oomkilled", "--json")

    assert done.returncode == 0
    assert done.stdout.startswith(
        "Job oomkilled failed, for more pods failed than its backoffLimit (1) allows: pod"
    )
    assert "    container c: OOMKilled, exit code 137 at 2026-11-22T02:27:11Z\n" in done.stdout
    assert [json.loads(line)["kind"] for line in told.stdout.splitlines()] == [
        "backoff_limit",
        "oom_killed",
        "oom_killed",
    ]


def test_diagnose_what_is_left(tmp_path: Path) -> None:
    """Of a Job that is gone its events are left for a while; of one that never was there is nothing."""
    with operating(tmp_path, scenario("quota-exceeded")) as operator:
        operator.cluster.plan("GET /quota-exceeded", refusal("404-job.json"))
        operator.cluster.plan("GET /jobs", reply(200, {"items": []}))
        gone = operator("diagnose", "quota-exceeded")
        never = operator("diagnose", "never-was")

    assert gone.returncode == 0
    assert gone.stdout.startswith("Job quota-exceeded is not there.")
    assert never.returncode == 2
    assert "There is no Job never-was" in never.stderr


def running(name: str) -> Scenario:
    """A recorded Job that applies the slow migration."""
    recording = scenario(name)
    for job in (recording.job, *recording.versions("Job")):
        job["spec"]["template"]["spec"]["containers"][0]["args"] = ["run", "add_one"]
    return recording


@pytest.fixture
def slow(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A run that takes its time."""
    cli.write(SLOW)
    (cli.folder / "slow").touch()
    db.c.insert_many({"_id": n} for n in range(4_000))
    return cli


def pods_of(process: subprocess.Popen[str], alive: dict[str, Any], ended: dict[str, Any]) -> Any:
    """The pod of a Job, which runs as long as a process does."""

    def answer(handler: Handler) -> None:
        reply(200, {"items": [alive if process.poll() is None else ended]})(handler)

    return answer


def test_cancel(slow: CommandLine, db: Database[Any]) -> None:
    """A run is asked to stop through the database, ends at its checkpoint, and then the Job is deleted."""
    recording = running("sigterm-graceful")
    versions = recording.versions("Pod")
    with operating(slow.folder, recording, slow.uri) as operator:
        process = slow.start("run", "add_one")
        started(process)
        operator.cluster.plan("GET /pods", *[pods_of(process, versions[3], versions[7])] * 500)
        done = operator("cancel", "add_one")
        _, err = process.communicate(timeout=60)

        assert done.returncode == 0, done.stderr
        assert process.returncode == 1, err
        assert "Waiting for pod sigterm-graceful-5t44w to stop at the end of its chunk" in done.stdout
        assert f"Job sigterm-graceful is deleted, and {NAME} is cancelled behind _id" in done.stdout
        assert f"`chunkmigrate resume {NAME}` allows it to run again." in done.stdout
        delete = operator.cluster.wait_for("DELETE", "/jobs/sigterm-graceful")
        assert delete.body["propagationPolicy"] == "Foreground"
    assert 0 < db.c.count_documents({"n": 1}) < 4_000


def test_cancel_before_it_has_run(slow: CommandLine, db: Database[Any]) -> None:
    """Of a Job whose pod has not got as far as the database, no other migration is cancelled."""
    (slow.folder / "slow").unlink()
    assert slow("run", "add_one").returncode == 0
    recording = scenario("image-missing")
    for job in (recording.job, *recording.versions("Job")):
        job["metadata"]["annotations"] = {"chunkmigrate/migration": NAME.removesuffix("e")}
    with operating(slow.folder, recording, slow.uri) as operator:
        done = operator("cancel", "image-missing")

        assert done.stdout.startswith("Job image-missing is deleted. What is committed is safe")
        assert operator.cluster.deleted
    assert not db.chunkmigrate_leases.count_documents({"asked": {"$ne": None}})


@pytest.mark.parametrize("options", [(), ("--now",)])
def test_cancel_without_database(options: tuple[str, ...], tmp_path: Path) -> None:
    """Without a database the deletion itself stops the run, and that is said to be safe."""
    with operating(tmp_path, scenario("sigterm-graceful")) as operator:
        done = operator("cancel", "sigterm-graceful", *options)

        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            "Job sigterm-graceful is deleted. What is committed is safe; the next run goes on from there.\n"
        )
        assert operator.cluster.deleted


def test_cancel_without_an_answer(tmp_path: Path) -> None:
    """A database that is out of reach is said to be, and the Job is deleted all the same."""
    uri = "mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=100"
    with operating(tmp_path, scenario("sigterm-graceful"), uri) as operator:
        done = operator("cancel", "sigterm-graceful")

        assert done.returncode == 0
        assert "Going on without the database: No MongoDB server answered" in done.stderr
        assert operator.cluster.deleted


def test_cancel_what_is_over(tmp_path: Path) -> None:
    """A Job that is over is left as it is, for its end can be read there; --now deletes it."""
    with operating(tmp_path, scenario("oomkilled")) as operator:
        operator.cluster.over = True
        done = operator("cancel", "oomkilled")
        assert done.stdout.startswith("Job oomkilled failed")
        assert "There is nothing to cancel; --now deletes the Job and its pods." in done.stdout
        assert not operator.cluster.deleted

        assert operator("cancel", "oomkilled", "--now").returncode == 0
        assert operator.cluster.deleted


def test_intent(slow: CommandLine, db: Database[Any]) -> None:
    """What a killed run was about to do is in the diagnosis of its pod, when the database is named."""
    recording = running("oomkilled")
    process = slow.start("run", "add_one", CHUNKMIGRATE_POD="oomkilled-l96rb")
    started(process)
    until(lambda: db.c.count_documents({"n": 1}) > 0, 60, "a chunk")
    process.kill()
    process.communicate()
    with operating(slow.folder, recording, slow.uri) as operator:
        operator.cluster.over = True
        done = operator("diagnose", "oomkilled")

    assert done.returncode == 0, done.stderr
    assert (
        "Pod oomkilled-l96rb was killed by the kernel for lack of memory; its limit is 64Mi; it was "
        in done.stdout
    )
    assert "it was about to work behind _id " in done.stdout
    assert " in use.\n" in done.stdout
    first = next(line for line in done.stdout.splitlines() if line.startswith("Pod oomkilled-2psds"))
    assert "about to work" not in first


def test_progress(slow: CommandLine, db: Database[Any]) -> None:
    """While a Job is watched, where its migration stands is told from the database."""
    (slow.folder / "slow").unlink()
    assert slow("run", "add_one").returncode == 0
    recording = running("succeeded")
    recording.watch[:] = recording.watch[:4]
    with operating(slow.folder, recording, slow.uri) as operator:
        process = operator.start("watch", "succeeded", "--json")
        assert process.stdout
        found = next(json.loads(line) for line in process.stdout if '"progress"' in line)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert (found["status"], found["read"]) == ("applied", 4_000)
    assert db.c.count_documents({"n": 1}) == 4_000
