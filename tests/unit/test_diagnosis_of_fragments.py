"""What is said of fragments: objects with fields missing, texts cut, versions and Jobs mixed up.

The right word may become a weaker one; it must never become a wrong one.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from chunkmigrate.kubernetes import pods
from chunkmigrate.kubernetes.diagnosis import Seen, diagnose
from chunkmigrate.kubernetes.ending import Kind
from tests.recorded import SCENARIOS, scenario
from tests.unit.test_diagnosis import RIGHT

ROUNDS = 40

# What may still be said, truly, when something that is needed for the right word is missing.
WEAKER = {
    Kind.CHILD_OOM_KILLED: {Kind.SUCCEEDED, Kind.EXITED},
    Kind.OOM_KILLED: {Kind.KILLED},
    Kind.OVERDUE: {Kind.KILLED},
    Kind.TERMINATED: {Kind.STOPPED},
    Kind.EVICTED: {Kind.DISRUPTED, Kind.TERMINATED, Kind.STOPPED, Kind.OVERDUE, Kind.KILLED},
    Kind.IMAGE: {Kind.WAITING, Kind.ACTIVE},
    Kind.CONFIG: {Kind.WAITING, Kind.ACTIVE},
    Kind.UNSCHEDULABLE: {Kind.WAITING, Kind.ACTIVE},
    Kind.QUOTA: {Kind.FORBIDDEN, Kind.NOT_CREATED},
    Kind.COMPLETE: {Kind.FINISHING},
    Kind.BACKOFF: {Kind.FAILED, Kind.FAILING},
    Kind.POLICY: {Kind.FAILED, Kind.FAILING},
    Kind.DEADLINE: {Kind.FAILED, Kind.FAILING},
    Kind.INDEXES: {Kind.FAILED, Kind.FAILING},
    # The Job's last version is one in which it still had a pod: whoever missed its deletion sees no more.
    Kind.DELETED: {Kind.DELETING, Kind.ACTIVE},
}


def allowed(kind: Kind) -> set[Kind]:
    return {kind, Kind.UNKNOWN} | WEAKER.get(kind, set())


RIGHT_PODS = {
    pods.name(pod): kind
    for name, (_, endings) in RIGHT.items()
    for pod, (kind, _) in zip(scenario(name).ended(), endings, strict=True)
}
ENDED = [pod for name in SCENARIOS for pod in scenario(name).ended()]
EVENTS = [event for name in SCENARIOS for event in scenario(name).events]


def damaged(value: Any, dice: random.Random, chance: float, *, kept: frozenset[str] = frozenset()) -> Any:
    """A copy with fields missing and texts cut, here and there; ``kept`` fields stay as they are."""
    if isinstance(value, dict):
        held = {key: field for key, field in value.items() if key in kept or dice.random() > chance}
        return {
            key: field if key in kept else damaged(field, dice, chance, kept=kept)
            for key, field in held.items()
        }
    if isinstance(value, list):
        return [damaged(item, dice, chance, kept=kept) for item in value if dice.random() > chance]
    if isinstance(value, str) and dice.random() < chance:
        return value[: dice.randrange(len(value) + 1)]
    return value


def shuffled(events: list[Any], dice: random.Random) -> list[Any]:
    """Events in any order, some missing, some doubled."""
    return dice.choices(events, k=dice.randrange(2 * len(events) + 1)) if events else []


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("chance", [0.0, 0.05, 0.3])
def test_fragments_of_pods(seed: int, chance: float) -> None:
    """Of a pod with fields missing, among pods and events of all Jobs, nothing wrong is said."""
    dice = random.Random(f"{seed} {chance}")
    mixed = [damaged(pod, dice, chance, kept=frozenset({"name"})) for pod in ENDED]
    dice.shuffle(mixed)
    found = diagnose(Seen(job=None, pods=mixed, events=damaged(shuffled(EVENTS, dice), dice, chance)))

    assert found.pods
    for name, ending in found.pods:
        if name in RIGHT_PODS:  # unless its name itself is gone, with what holds it
            assert ending.kind in allowed(RIGHT_PODS[name]), (name, ending)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nothing_missing(seed: int) -> None:
    """In any order, with all versions of each pod and every event doubled, the right word is said."""
    dice = random.Random(seed)
    name = dice.choice(SCENARIOS)
    recording = scenario(name)
    versions, events = recording.versions("Pod") * 2, recording.events * 2
    dice.shuffle(versions)
    dice.shuffle(events)
    found = diagnose(recording.seen(pods=versions, events=events))

    assert found.job.kind is RIGHT[name][0][0]
    assert [ending.kind for _, ending in found.pods] == [kind for kind, _ in RIGHT[name][1]]


@pytest.mark.parametrize("name", SCENARIOS)
def test_unnumbered_versions(name: str) -> None:
    """What has ended does not come back, though nothing tells which version of a pod is the later one."""
    versions = scenario(name).versions("Pod")
    for version in versions:
        del version["metadata"]["resourceVersion"]
    for order in (versions, versions[::-1]):
        found = diagnose(scenario(name).seen(pods=order))

        assert found.job.kind in allowed(RIGHT[name][0][0])
        for (_, ending), (kind, _) in zip(found.pods, RIGHT[name][1], strict=True):
            assert ending.kind in allowed(kind)


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("chance", [0.0, 0.05, 0.3])
def test_fragments_of_jobs(seed: int, chance: float) -> None:
    """Of a Job with fields missing, among pods and events of all Jobs, nothing wrong is said."""
    dice = random.Random(f"{seed} {chance}")
    name = SCENARIOS[seed % len(SCENARIOS)]
    recording = scenario(name)
    some = dice.sample(ENDED, dice.randrange(len(ENDED)))
    seen = recording.seen(
        job=damaged(recording.versions("Job")[-1], dice, chance),
        pods=[damaged(pod, dice, chance, kept=frozenset({"resourceVersion"})) for pod in some],
        events=damaged(shuffled(EVENTS, dice), dice, chance),
    )

    assert diagnose(seen).job.kind in allowed(RIGHT[name][0][0]), diagnose(seen).job


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_anything(seed: int) -> None:
    """Values of any type in any place raise nothing, and end in a sentence."""
    dice = random.Random(seed)
    recording = scenario(dice.choice(SCENARIOS))
    seen = Seen(
        job=wild(recording.job, dice),
        pods=[wild(pod, dice) for pod in recording.pods],
        events=[wild(event, dice) for event in recording.events],
        gone=recording.gone(),
    )

    assert diagnose(seen).job.sentence.endswith(".")


def wild(value: Any, dice: random.Random) -> Any:
    """A copy in which some values are of another type."""
    if isinstance(value, dict):
        return {key: odd(dice) if dice.random() < 0.1 else wild(field, dice) for key, field in value.items()}
    if isinstance(value, list):
        return [odd(dice) if dice.random() < 0.1 else wild(item, dice) for item in value]
    return value


def odd(dice: random.Random) -> Any:
    return dice.choice([None, True, -1, 10**30, 1.5, "", "9" * 5_000, "2026-11-22", [], [[]], {}, {"a": {}}])
