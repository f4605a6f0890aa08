from __future__ import annotations

import json
from typing import Any

import pytest

from chunkmigrate.kubernetes import pods
from chunkmigrate.kubernetes.diagnosis import Seen, diagnose
from chunkmigrate.kubernetes.ending import Kind, Known
from chunkmigrate.units import MI
from tests.recorded import SCENARIOS, Scenario, scenario

LIMIT = "for lack of memory; its limit is 64Mi"
KILLED_TWICE = f"pod indexed-1-cl8n5 (index 1) was killed by the kernel {LIMIT}."
BACKOFF = "failed, for more pods failed than its backoffLimit"

# What is right to say of each recorded Job, and of its pods in the order they were made.
RIGHT: dict[str, tuple[tuple[Kind, str], list[tuple[Kind, str]]]] = {
    "succeeded": (
        (Kind.COMPLETE, "Job succeeded is complete."),
        [(Kind.SUCCEEDED, "Pod succeeded-ht2kl succeeded (exit 0).")],
    ),
    "oomkilled": (
        (Kind.BACKOFF, f"Job oomkilled {BACKOFF} (1) allows: pod oomkilled-l96rb was killed by the kernel"),
        [
            (Kind.OOM_KILLED, f"Pod oomkilled-{pod} was killed by the kernel {LIMIT}.")
            for pod in ("2psds", "l96rb")
        ],
    ),
    "oomkilled-onfailure": (
        (Kind.BACKOFF, f"{BACKOFF} (2) allows: pod oomkilled-onfailure-9mdgj was killed by the kernel"),
        [(Kind.OOM_KILLED, f"was killed by the kernel {LIMIT}.")],
    ),
    "child-oomkilled-exit0": (
        (Kind.COMPLETE, "is complete, though a child process was killed for lack of memory."),
        [(Kind.CHILD_OOM_KILLED, f"succeeded (exit 0), and a child process of it was killed {LIMIT}.")],
    ),
    "child-oomkilled-exit3": (
        (
            Kind.BACKOFF,
            "pod child-oomkilled-exit3-728lz ended with exit 3, and a child process of it was killed",
        ),
        [(Kind.CHILD_OOM_KILLED, f"ended with exit 3, and a child process of it was killed {LIMIT}.")],
    ),
    "exit75-ignored-then-succeeds": (
        (Kind.COMPLETE, "is complete, after 2 pods that did not finish."),
        [(Kind.STOPPED, "stopped at a checkpoint (exit 75).")] * 2
        + [(Kind.SUCCEEDED, "succeeded (exit 0).")],
    ),
    "exit2-failjob": (
        (
            Kind.POLICY,
            "failed, for its podFailurePolicy says so: pod exit2-failjob-4qbmm cannot be run as asked",
        ),
        [(Kind.UNUSABLE, "cannot be run as asked (exit 2).")],
    ),
    "evicted": (
        (Kind.COMPLETE, "is complete, after 1 pod that did not finish."),
        [
            (
                Kind.EVICTED,
                "was evicted through the API, as a drain of its node does; it stopped at a checkpoint",
            ),
            (Kind.SUCCEEDED, "succeeded (exit 0)."),
        ],
    ),
    "evicted-by-kubelet": (
        (Kind.BACKOFF, "was evicted by its node: Usage of EmptyDir volume"),
        [
            (
                Kind.EVICTED,
                'node: Usage of EmptyDir volume "spill" exceeds the limit "4Mi", and killed (exit 137).',
            )
        ],
    ),
    "sigterm-graceful": (
        (Kind.COMPLETE, "is complete, after 1 pod that did not finish."),
        [
            (Kind.TERMINATED, "was told to stop, and stopped at a checkpoint (exit 75)."),
            (Kind.SUCCEEDED, "succeeded (exit 0)."),
        ],
    ),
    "sigterm-untrapped": (
        (
            Kind.BACKOFF,
            "pod sigterm-untrapped-x4cl9 was told to stop, and had not when it was killed (exit 137).",
        ),
        [(Kind.OVERDUE, "was told to stop, and had not when it was killed (exit 137).")],
    ),
    "deadline": (
        (
            Kind.DEADLINE,
            "failed, for its activeDeadlineSeconds of 6 s are over: pod deadline-5256c was told to stop",
        ),
        [(Kind.TERMINATED, "was told to stop, and stopped at a checkpoint (exit 75).")],
    ),
    "indexed": (
        (
            Kind.INDEXES,
            f"1,2; complete are 0,3: pod indexed-2-bjqwg (index 2) ended with exit 42, and {KILLED_TWICE}",
        ),
        [
            (Kind.SUCCEEDED, "(index 0) succeeded (exit 0)."),
            (Kind.OOM_KILLED, "Pod indexed-1-6bw7l (index 1) was killed by the kernel"),
            (Kind.EXITED, "(index 2) ended with exit 42."),
            (Kind.SUCCEEDED, "(index 3) succeeded (exit 0)."),
            (Kind.OOM_KILLED, "Pod indexed-1-cl8n5 (index 1) was killed by the kernel"),
        ],
    ),
    "suspended-then-resumed": (
        (Kind.COMPLETE, "is complete, after 1 pod that did not finish."),
        [
            (Kind.TERMINATED, "was told to stop, and stopped at a checkpoint (exit 75)."),
            (Kind.SUCCEEDED, "succeeded (exit 0)."),
        ],
    ),
    "job-deleted": (
        (
            Kind.DELETED,
            "was deleted before it had ended: pod job-deleted-kmqdw was told to stop, and stopped",
        ),
        [(Kind.TERMINATED, "was told to stop, and stopped at a checkpoint (exit 75).")],
    ),
    "unschedulable": (
        (
            Kind.UNSCHEDULABLE,
            "is not running: pod unschedulable-zfmr8 cannot be scheduled, and asks for 500Gi",
        ),
        [(Kind.UNSCHEDULABLE, "asks for 500Gi of memory: 0/1 nodes are available: 1 Insufficient memory.")],
    ),
    "quota-exceeded": (
        (Kind.QUOTA, "has no pod, for the namespace's quota does not allow it: pods "),
        [],
    ),
    "image-missing": (
        (Kind.IMAGE, "is not running: pod image-missing-dcn4p has no image, and must not pull it"),
        [(Kind.IMAGE, 'Container image "localhost/missing:1" is not present with pull policy of Never.')],
    ),
    "image-pull-backoff": (
        (Kind.IMAGE, "is not running: pod image-pull-backoff-9dcqn cannot pull its image"),
        [(Kind.IMAGE, 'cannot pull its image: failed to pull and unpack image "127.0.0.1:1/missing:1"')],
    ),
    "config-error": (
        (Kind.CONFIG, "is not running: pod config-error-c7x68 cannot be configured"),
        [(Kind.CONFIG, 'cannot be configured: secret "missing-secret" not found.')],
    ),
}


def test_every_recording_has_its_sentence() -> None:
    """No recorded ending is left without the sentence that is right for it."""
    assert set(SCENARIOS) == set(RIGHT)


@pytest.mark.parametrize("name", SCENARIOS)
def test_sentences(name: str) -> None:
    """Every recorded ending of a Job, and of each pod, has the right word and the right sentence."""
    found = diagnose(scenario(name).seen())
    job, endings = RIGHT[name]

    assert found.job.kind is job[0]
    assert job[1] in found.job.sentence
    assert [ending.kind for _, ending in found.pods] == [kind for kind, _ in endings]
    for (_, ending), (_, sentence) in zip(found.pods, endings, strict=True):
        assert sentence in ending.sentence


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_sentence(name: str) -> None:
    """An ending is one line that ends once, with what it rests on beside it."""
    found = diagnose(scenario(name).seen())
    for ending in (found.job, *(ending for _, ending in found.pods)):
        assert ending.sentence.isprintable()
        assert ending.sentence.endswith(".")
        assert not ending.sentence.endswith("..")
        assert ending.evidence


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"succeeded", "evicted", "sigterm-graceful"}))
def test_advice(name: str) -> None:
    """What failed or hangs comes with what to do."""
    found = diagnose(scenario(name).seen())

    assert found.job.advice or found.job.kind is Kind.COMPLETE
    assert all(ending.advice for _, ending in found.pods if ending.kind is not Kind.SUCCEEDED)


def only(pod: dict[str, Any], **known: Any) -> Any:
    return pods.ending(pod, **known)


def last(name: str) -> dict[str, Any]:
    return scenario(name).ended()[-1]


def terminated(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return found


def test_intent_of_the_killed_run() -> None:
    """A killed run's pod is told of with what the ledger knows of it: its last intent, and its memory."""
    known = Known(pod="oomkilled-l96rb", after="17", through="42", used=488 * MI, budget=512 * MI)
    found = diagnose(scenario("oomkilled").seen(known=[known]))

    told = "; it was about to work behind _id 17 up to _id 42, with 488 MiB of 512 MiB in use."
    assert found.pods[1][1].sentence.endswith(told)
    assert told not in found.pods[0][1].sentence
    assert found.job.sentence.endswith(told)


def test_intent_of_a_run_that_ended_by_itself() -> None:
    """Of a run that stopped by itself the ledger's last intent is no news: it is not what ended it."""
    pod = last("exit2-failjob")
    known = Known(pod=pods.name(pod), after="17", used=1)

    assert "17" not in only(pod, known=known).sentence


def left(**message: Any) -> str:
    return json.dumps({"event": "stopped", "migration": "m", "status": "stopped"} | message)


def test_own_message() -> None:
    """What a run itself left as its message completes the sentence, when it is about this very exit."""
    pod = scenario("exit75-ignored-then-succeeds").ended()[0]
    terminated(pod)["message"] = left(
        message="m stopped for lack of memory: 1,000 documents read.", exit_code=75
    )

    assert only(pod).sentence.endswith("t (exit 75): m stopped for lack of memory: 1,000 documents read.")


@pytest.mark.parametrize(
    "message",
    [
        left(message="all went well", exit_code=0),
        left(message="all went well"),
        json.dumps({"message": "all went well", "exit_code": 75}),
        left(message="all went well", exit_code=75)[:-9],
        "all went well",
        "[" * 4000,
    ],
)
def test_message_that_is_not_about_this_exit(message: str) -> None:
    """A message of another exit, of another program, or cut off is evidence at most."""
    pod = scenario("exit75-ignored-then-succeeds").ended()[0]
    terminated(pod)["message"] = message

    assert only(pod).sentence.endswith("stopped at a checkpoint (exit 75).")
    assert any("left: " in line for line in only(pod).evidence)


def test_message_of_a_killed_run() -> None:
    """A message does not outvote a kill that came after it."""
    pod = last("oomkilled")
    terminated(pod)["message"] = left(message="m is complete", exit_code=0)

    assert only(pod).kind is Kind.OOM_KILLED
    assert "complete" not in only(pod).sentence


def test_137_is_not_oom() -> None:
    """Exit 137 alone is a kill by anybody; only the reason OOMKilled tells of memory."""
    pod = last("oomkilled")
    terminated(pod)["reason"] = "Error"
    assert only(pod).kind is Kind.KILLED
    assert "does not report that memory ran out" in only(pod).sentence

    del terminated(pod)["reason"]
    assert only(pod).kind is Kind.KILLED
    assert "does not say why" in only(pod).sentence


def test_oom_while_stopping() -> None:
    """Killed and OOMKilled while it was being stopped: either may be the cause, and neither is claimed."""
    pod = last("sigterm-untrapped")
    terminated(pod)["reason"] = "OOMKilled"
    found = only(pod, events=scenario("sigterm-untrapped").events)

    assert found.kind is Kind.KILLED
    assert "memory had run out in it" in found.sentence


@pytest.mark.parametrize(
    ("code", "how"), [(75, "stopped at a checkpoint (exit 75)"), (137, "was killed (exit 137)")]
)
def test_liveness_probe(code: int, how: str) -> None:
    """A run that gave no sign of life, and was stopped for that, is said to be."""
    pod, events = last("sigterm-untrapped"), scenario("sigterm-untrapped").events
    terminated(pod)["exitCode"] = code
    for event in events:
        event["message"] = "Container c failed liveness probe, will be restarted"
    found = only(pod, events=events)

    assert found.kind is Kind.UNRESPONSIVE
    assert f"failed its liveness probe, and {how}" in found.sentence


def test_killed_for_an_unsaid_reason_while_stopping() -> None:
    """Where the reason is missing, a kill while it was being stopped may have been for memory, too."""
    pod = last("sigterm-untrapped")
    del terminated(pod)["reason"]

    assert only(pod, events=scenario("sigterm-untrapped").events).kind is Kind.KILLED


@pytest.mark.parametrize(
    ("reason", "message", "kind", "sentence"),
    [
        ("PreemptionByScheduler", "", Kind.PREEMPTED, "had to make room for a pod of higher priority"),
        ("DeletionByTaintManager", "", Kind.NODE_LOST, "its node does not tolerate it any more"),
        ("DeletionByPodGC", "", Kind.NODE_LOST, "because its node is gone"),
        ("TerminationByKubelet", "", Kind.DISRUPTED, "was ended by its node"),
        (
            "TerminationByKubelet",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi.",
            Kind.NODE_PRESSURE,
            "its node ran short: The node was low on resource: memory.",
        ),
        (
            "TerminationByKubelet",
            "Pod was terminated in response to imminent node shutdown.",
            Kind.NODE_LOST,
            "its node shut down",
        ),
        ("SomethingNew", "", Kind.DISRUPTED, "was disrupted (SomethingNew)"),
    ],
)
def test_disruptions(reason: str, message: str, kind: Kind, sentence: str) -> None:
    """Preemption, a lost node and a lack of memory on it are told apart, as the API names them."""
    pod = scenario("evicted").ended()[0]
    condition = next(one for one in pod["status"]["conditions"] if one["type"] == "DisruptionTarget")
    condition["reason"] = reason
    if message.startswith("The node"):
        pod["status"]["reason"] = "Evicted"
    if message:
        pod["status"]["message"] = message
    found = only(pod)

    assert found.kind is kind
    assert sentence in found.sentence
    assert "stopped at a checkpoint (exit 75)" in found.sentence


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "OutOfmemory",
            "Pod was rejected: Node didn't have enough resource: memory, requested: 536870912000",
        ),
        ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 4000, used: 1000, capacity: 2000"),
        ("TopologyAffinityError", "Pod was rejected: Resources cannot be allocated with Topology locality"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down."),
    ],
)
def test_refused_by_its_node(reason: str, message: str) -> None:
    """A pod that its node refused is told of in the kubelet's words, with the numbers it gives."""
    pod = last("unschedulable")
    pod["status"] = {"phase": "Failed", "reason": reason, "message": message}

    assert only(pod).kind is Kind.REFUSED
    assert f"was refused by its node ({reason}): {message.rstrip('.')}" in only(pod).sentence


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (1, Kind.FAILED, "failed (exit 1)"),
        (5, Kind.HELD, "found the lease held by another run (exit 5)"),
        (42, Kind.EXITED, "ended with exit 42"),
        (139, Kind.EXITED, "ended with exit 139, by SIGSEGV"),
        (143, Kind.EXITED, "ended with exit 143, by SIGTERM"),
        (10**30, Kind.EXITED, f"ended with exit {10**30}"),
    ],
)
def test_exit_codes(code: int, kind: Kind, sentence: str) -> None:
    """Each exit code has its meaning, and one that is not chunkmigrate's is said to be none."""
    pod = last("exit2-failjob")
    terminated(pod)["exitCode"] = code

    assert only(pod).kind is kind
    assert sentence in only(pod).sentence
    assert only(pod).exit_code == code


@pytest.mark.parametrize(("reason", "code"), [("ContainerStatusUnknown", 137), ("Unknown", 255)])
def test_end_that_nobody_saw(reason: str, code: int) -> None:
    """An exit code that a kubelet or a runtime writes down because it does not know it is taken for none."""
    pod = last("oomkilled")
    terminated(pod).update(reason=reason, exitCode=code, startedAt=None, finishedAt=None)
    found = only(pod, known=Known(pod=pods.name(pod), after="17"))

    assert (found.kind, found.exit_code) == (Kind.UNKNOWN, None)
    assert found.sentence.endswith("ended in a way that is not known, for its node had lost sight of it.")
    assert any(f"exit code {code}" in line for line in found.evidence)


@pytest.mark.parametrize(("reason", "code"), [("StartError", 128), ("ContainerCannotRun", 127)])
def test_not_started(reason: str, code: int) -> None:
    """A container whose program the image does not have is said not to have started, and why."""
    pod = last("exit2-failjob")
    told = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        'exec: "run": executable file not found in $PATH: unknown'
    )
    terminated(pod).update(reason=reason, exitCode=code, message=told)
    found = only(pod)

    assert found.kind is Kind.NOT_STARTED
    assert "could not be started: failed to create containerd task: " in found.sentence
    assert 'exec: "run": executable file not found in $PATH' in found.sentence
    assert "entry point" in found.advice


def test_restarting() -> None:
    """A container in CrashLoopBackOff is about to be started again, and what ended it before is said."""
    pod = scenario("oomkilled-onfailure").moments["pod-crashloopbackoff"]

    assert only(pod).kind is Kind.RESTARTING
    assert (
        "is about to be started again; it was killed by the kernel for lack of memory" in only(pod).sentence
    )


def test_not_restarting() -> None:
    """A container that ended is about to be started again only in a pod that is said to run."""
    pod = last("oomkilled-onfailure")
    del pod["metadata"]["deletionTimestamp"], pod["status"]["phase"]

    assert only(pod).kind is Kind.OOM_KILLED


def test_going() -> None:
    """A pod that runs, starts or is being stopped is said to, and not to have ended."""
    versions = scenario("sigterm-graceful").versions("Pod")[:6]

    assert [only(pod).kind for pod in versions] == [Kind.WAITING] * 3 + [Kind.RUNNING] * 2 + [Kind.STOPPED]
    assert "is being started" in only(versions[2]).sentence
    assert only(versions[4]).sentence.endswith("is running, and is being stopped.")


def test_running_after_a_restart() -> None:
    """A container that was started again runs, and what ended it before is said."""
    pod = scenario("sigterm-graceful").versions("Pod")[3]
    before = terminated(last("oomkilled"))
    pod["status"]["containerStatuses"][0] |= {"lastState": {"terminated": before}}

    assert only(pod).kind is Kind.RUNNING
    assert "is running again, for it was killed by the kernel for lack of memory" in only(pod).sentence


def test_unseen_end() -> None:
    """A pod that was deleted before anybody saw it end ended in an unknown way."""
    pod = scenario("sigterm-graceful").versions("Pod")[3]

    assert only(pod, gone=True).kind is Kind.UNKNOWN
    assert "was deleted; how it ended was not seen" in only(pod, gone=True).sentence


def test_other_containers() -> None:
    """With several containers the one that tells is named: of two, the one that failed."""
    pod = last("succeeded")
    failed = terminated(last("exit2-failjob"))
    pod["status"]["containerStatuses"].insert(0, {"name": "a", "state": {"terminated": failed}})
    pod["spec"]["containers"].append({"name": "a"})

    assert "whose container a tells, cannot be run as asked (exit 2)" in only(pod).sentence
    pod["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert "whose container c tells, succeeded (exit 0)" in only(pod).sentence


def test_init_container() -> None:
    """A pod whose init container failed is told of by that one."""
    pod = scenario("sigterm-graceful").versions("Pod")[2]
    pod["status"] |= {
        "phase": "Failed",
        "initContainerStatuses": [
            {"name": "wait", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
        ],
    }

    assert only(pod).kind is Kind.FAILED
    assert "whose init container wait tells, failed (exit 1)" in only(pod).sentence


def suspended(stage: str) -> Any:
    recording = scenario("suspended-then-resumed")
    return diagnose(Seen(job=recording.moments[stage], events=recording.events)).job


def test_suspended() -> None:
    """A suspended Job is said to be, with what resumes it; one that was resumed is not."""
    assert suspended("job-1-created-suspended").kind is Kind.SUSPENDED
    assert "kubectl patch job suspended-then-resumed" in suspended("job-1-created-suspended").advice
    assert suspended("job-2-resumed").kind is Kind.ACTIVE
    assert suspended("job-3-suspended-again").kind is Kind.SUSPENDED


def test_deleting() -> None:
    """A Job that is being deleted is not said to run."""
    recording = scenario("job-deleted")
    job = recording.versions("Job")[3]

    assert diagnose(Seen(job=job, pods=recording.moments["pods-before"]["items"])).job.kind is Kind.DELETING


def test_failing_and_finishing() -> None:
    """FailureTarget and SuccessCriteriaMet are not the end yet."""
    failing = next(
        job for job in scenario("sigterm-untrapped").versions("Job") if "conditions" in job["status"]
    )
    met = next(job for job in scenario("evicted").versions("Job") if "conditions" in job["status"])

    assert diagnose(Seen(job=failing)).job.kind is Kind.FAILING
    assert diagnose(Seen(job=met)).job.kind is Kind.FINISHING


def test_conditions_that_do_not_hold() -> None:
    """A condition that is not true says nothing, and neither do two that contradict each other."""
    recording = scenario("oomkilled")
    conditions = recording.job["status"]["conditions"]
    for condition in conditions:
        condition["status"] = "False"
    assert diagnose(Seen(job=recording.job)).job.kind is Kind.UNKNOWN

    for condition, kind in zip(conditions, ("Failed", "Complete"), strict=True):
        condition |= {"status": "True", "type": kind}
    assert diagnose(Seen(job=recording.job)).job.kind is Kind.UNKNOWN


def test_no_job() -> None:
    """A Job that is not there is said not to be, and what is left of its pods is told."""
    found = diagnose(scenario("oomkilled").seen(job=None))

    assert found.job.kind is Kind.UNKNOWN
    assert found.job.sentence.startswith(
        "Job oomkilled is not there; its last pod oomkilled-l96rb was killed"
    )
    assert diagnose(Seen(job=None, name="x")).job.sentence == "Job x is not there."


def forbidden(message: str) -> Any:
    recording = scenario("quota-exceeded")
    for event in recording.events:
        event["message"] = message
    return diagnose(recording.seen()).job


def test_no_pod() -> None:
    """Why a Job has no pod is told from its events: a quota, what the cluster forbids, or something else."""
    security = 'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot'
    account = 'Error creating: error looking up service account m/x: serviceaccount "x" not found'

    assert forbidden(security).kind is Kind.FORBIDDEN
    assert "for the cluster forbids it: pods" in forbidden(security).sentence
    assert forbidden(account).kind is Kind.NOT_CREATED
    assert diagnose(scenario("quota-exceeded").seen(events=[])).job.kind is Kind.UNKNOWN


def test_pod_made_after_all() -> None:
    """A refusal that is over, for a pod was made since, is not told any more."""
    recording = scenario("quota-exceeded")
    made = dict(recording.events[0], reason="SuccessfulCreate", lastTimestamp="2026-11-22T03:00:00Z")

    assert diagnose(recording.seen(events=[made, *recording.events])).job.kind is Kind.UNKNOWN
    recording.job["status"]["active"] = 1
    assert diagnose(recording.seen(job=recording.job)).job.kind is Kind.ACTIVE


def other(recording: Scenario) -> dict[str, Any]:
    """An earlier Job of the same name, as its pods and events name it."""
    return dict(recording.job, metadata=recording.job["metadata"] | {"uid": "another"})


def test_earlier_job_of_the_name() -> None:
    """Pods and events of an earlier Job of the same name are not this Job's."""
    recording = scenario("quota-exceeded")
    assert diagnose(recording.seen(job=other(recording))).job.kind is Kind.UNKNOWN

    killed = scenario("oomkilled")
    assert not diagnose(killed.seen(job=other(killed))).pods


def test_what_was_ignored_is_not_the_cause() -> None:
    """A failed Job tells of the pod it counted, not of a later one it was told to ignore."""
    recording = scenario("exit2-failjob")
    condition = recording.job["status"]["conditions"]
    for one in condition:
        one |= {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    later = json.loads(json.dumps(recording.pods[0]))
    later["metadata"] |= {"name": "later", "uid": "later"}
    terminated(later).update(exitCode=75, finishedAt="2026-11-22T03:00:00Z")

    found = diagnose(Seen(job=recording.job, pods=[*recording.pods, later]))
    assert "pod exit2-failjob-4qbmm cannot be run as asked" in found.job.sentence


HOSTILE = "\x1b[2J\x1b[1;1H\u202e\u2066\r\n\t\x00\ud800" + "A" * 100_000


def test_hostile_texts() -> None:
    """Control characters, turned writing and endless texts reach neither a sentence nor its evidence."""
    for name in SCENARIOS:
        recording = scenario(name)
        poison(recording.pods)
        poison(recording.events)
        poison(recording.job)
        found = diagnose(Seen(job=recording.job, pods=recording.pods, events=recording.events))
        for ending in (found.job, *(ending for _, ending in found.pods)):
            for shown in (ending.sentence, ending.advice, *ending.evidence):
                assert shown.isprintable()
                assert len(shown) < 2_000


def poison(value: Any) -> None:
    """Append something hostile to every text but those that decide."""
    if isinstance(value, dict):
        for key in value:
            if isinstance(value[key], str) and key in ("message", "name"):
                value[key] += HOSTILE
            else:
                poison(value[key])
    if isinstance(value, list):
        for item in value:
            poison(item)
