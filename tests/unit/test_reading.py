from __future__ import annotations

import json

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes.reading import read

JOB = """
apiVersion: batch/v1
kind: Job
metadata:
  name: m
  namespace: migrations
  annotations: {since: 2026-11-22, when: 2026-11-22T02:27:01Z}
spec: {template: {spec: {containers: [{name: c, image: i, env: [{name: N, value: "1"}]}]}}}
"""
CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: m, namespace: migrations}
data: {m.py: "pass"}
"""


def test_documents() -> None:
    """A Job and the ConfigMaps beside it are read, in whatever order, with the namespace they name."""
    found = read(f"{CONFIG_MAP}---{JOB}---\n", "file")

    assert (found.name, found.namespace) == ("m", "migrations")
    assert [one["data"] for one in found.config_maps] == [{"m.py": "pass"}]


def test_dates_stay_texts() -> None:
    """A date in an annotation is a text in Kubernetes, as it is written."""
    annotations = read(JOB, "file").job["metadata"]["annotations"]

    assert annotations == {"since": "2026-11-22", "when": "2026-11-22T02:27:01Z"}


def test_json() -> None:
    """JSON is read, and a List is what is in it."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "m-"}}
    found = read(json.dumps({"apiVersion": "v1", "kind": "List", "items": [job]}), "file")

    assert found.job == job
    assert (found.name, found.namespace) == ("", None)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("", "file holds no Jobs; one is submitted at a time"),
        (f"{JOB}---{JOB}", "file holds 2 Jobs"),
        (CONFIG_MAP, "file holds no Jobs"),
        (
            JOB.replace("kind: Job", "kind: CronJob"),
            "file holds CronJob (batch/v1). A Job (batch/v1) and its",
        ),
        (f"{JOB}---\nkind: Secret\napiVersion: v1\n", "file holds Secret (v1)"),
        (f"{JOB}---\nx: 1\n", "file holds an object without a kind (no apiVersion)"),
        (JOB.replace("name: m\n", "labels: {}\n"), "A Job of file has no metadata.name"),
        (
            f"{JOB}---{CONFIG_MAP.replace('migrations', 'other')}",
            "file names several namespaces: migrations, other",
        ),
        (": : :", "file is neither YAML nor JSON"),
        ("{", "file is neither YAML nor JSON"),
        ("a: !!python/object:os.system {}", "file is neither YAML nor JSON"),
        (JOB.replace('"1"', "!!binary aGk="), "file holds a value that JSON has none for"),
        (JOB.replace('"1"', ".nan"), "file is neither YAML nor JSON"),
        ("just text", "file holds 'just text', which is no object"),
        ("[" * 100_000, "file is"),
    ],
)
def test_what_cannot_be_submitted(written: str, sentence: str) -> None:
    """What is no manifest of one Job is refused before anything is sent, with what it is."""
    with pytest.raises(InvalidSettingError) as raised:
        read(written, "file")

    assert sentence in str(raised.value)
    assert str(raised.value).isprintable()
