"""What an API server says of a manifest: by its schema, made strict, and by the rules that no schema says.

The schema, and the cases that prove this, were recorded from a server (Kubernetes 1.33). It shares nothing
with the code it judges.
"""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft4Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parents[1] / "data" / "kubernetes"

JOB = "io.k8s.api.batch.v1.Job"
CRON_JOB = "io.k8s.api.batch.v1.CronJob"
POD = "io.k8s.api.core.v1.PodTemplateSpec"
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")
WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
ENV = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
QUANTITY = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)?")
POWERS = {"": 1, "m": Decimal("0.001"), "k": 1000, "Ki": 1024}
POWERS |= {letter: 1000**n for n, letter in enumerate("MGTPE", start=2)}
POWERS |= {f"{letter}i": 1024**n for n, letter in enumerate("MGTPE", start=2)}
FIELDS = {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName"}


@cache
def recorded_cases() -> list[dict[str, Any]]:
    """89 manifests, with what the server answered."""
    lines = gzip.decompress((RECORDED / "dry-run-cases.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def schema_problems(one: Any, kind: str = JOB) -> list[str]:
    """What the schema finds wrong, where it takes no field it does not know, and no number that overflows."""
    errors = _validator(kind).iter_errors(one)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


@cache
def _validator(kind: str) -> Draft4Validator:
    document = json.loads(gzip.decompress((RECORDED / "openapi-batch-v1.json.gz").read_bytes()))
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
            for field in schema["properties"].values():
                if field.get("format") == "int32":
                    field.update(minimum=-(1 << 31), maximum=(1 << 31) - 1)
    return Draft4Validator({"$ref": f"#/components/schemas/{kind}", "components": {"schemas": schemas}})


def problems(text: str | dict[str, Any]) -> list[str]:
    """What a server finds wrong with a Job, given as data or as JSON."""
    one = json.loads(text, object_pairs_hook=_once) if isinstance(text, str) else text
    return schema_problems(one) or list(job_problems(one))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A name that is there twice becomes one that is not known.
    return dict(pairs) | ({"twice": 1} if len(dict(pairs)) < len(pairs) else {})


def job_problems(job: dict[str, Any]) -> Iterator[str]:
    if job.get("kind", "Job") != "Job" or job.get("apiVersion", "batch/v1") != "batch/v1":
        yield "it is no Job"
    yield from metadata_problems(job.get("metadata", {}), most=63)
    yield from specification_problems(job["spec"])
    pods = job["spec"].get("completions", 1) if job["spec"].get("completionMode") == "Indexed" else 0
    if pods and len(f"{job['metadata'].get('name', '')}-{pods - 1}") > 63:
        yield "the names of its pods are no host names"


def metadata_problems(metadata: dict[str, Any], *, most: int = 253) -> Iterator[str]:
    name = metadata.get("name", metadata.get("generateName", "").rstrip("-"))
    if not SUBDOMAIN.fullmatch(name) or len(name) > most:
        yield f"{name!r} is no name"
    yield from label_problems(metadata.get("labels", {}))
    annotations = metadata.get("annotations", {})
    yield from (f"{key} is no annotation's name" for key in annotations if not _is_qualified(key))
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > 256 * 1024:
        yield "too many annotations"


def label_problems(labels: dict[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        if not _is_qualified(key):
            yield f"{key} is no label's name"
        if value and (not WORD.fullmatch(value) or len(value) > 63):
            yield f"{value!r} is no label's value"


def _is_qualified(key: str) -> bool:
    domain, slash, word = key.rpartition("/")
    fits = bool(WORD.fullmatch(word)) and len(word) <= 63
    return fits and (not slash or (bool(SUBDOMAIN.fullmatch(domain)) and len(domain) <= 253))


def specification_problems(spec: dict[str, Any]) -> Iterator[str]:
    for name, value in spec.items():
        if isinstance(value, int) and value < 0:
            yield f"{name} is negative"
    if "selector" in spec:
        yield "the selector is the server's"
    indexed, completions = spec.get("completionMode") == "Indexed", spec.get("completions")
    if indexed and "parallelism" in spec and completions is None:
        yield "Indexed without completions"
    if "backoffLimitPerIndex" in spec and not indexed:
        yield "backoffLimitPerIndex without Indexed"
    if "maxFailedIndexes" in spec:
        if "backoffLimitPerIndex" not in spec:
            yield "maxFailedIndexes without backoffLimitPerIndex"
        if spec["maxFailedIndexes"] > (completions or 1):
            yield "maxFailedIndexes over completions"
    if "podFailurePolicy" in spec:
        yield from policy_problems(spec)
    yield from label_problems(spec["template"].get("metadata", {}).get("labels", {}))
    yield from pod_problems(spec["template"]["spec"])


def policy_problems(spec: dict[str, Any]) -> Iterator[str]:
    rules, pod = spec["podFailurePolicy"]["rules"], spec["template"]["spec"]
    if pod.get("restartPolicy") != "Never":
        yield "podFailurePolicy needs restartPolicy Never"
    if spec.get("podReplacementPolicy", "Failed") != "Failed":
        yield "podFailurePolicy needs podReplacementPolicy Failed"
    if len(rules) > 20:
        yield "too many rules"
    for rule in rules:
        if ("onExitCodes" in rule) == ("onPodConditions" in rule):
            yield "a rule is for exit codes or for conditions"
        if rule["action"] == "FailIndex" and "backoffLimitPerIndex" not in spec:
            yield "FailIndex without backoffLimitPerIndex"
        codes = rule.get("onExitCodes", {})
        if any(first >= second for first, second in pairwise(codes.get("values", []))):
            yield "exit codes out of order"
        if codes.get("operator") == "In" and 0 in codes["values"]:
            yield "exit code 0 is no failure"
        if codes.get("containerName") not in (None, *(one["name"] for one in pod["containers"])):
            yield "a rule for a container that is not there"


def pod_problems(pod: dict[str, Any]) -> Iterator[str]:
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield "restartPolicy is Never or OnFailure"
    if not pod["containers"]:
        yield "no container"
    volumes = [volume["name"] for volume in pod.get("volumes", [])]
    for volume in pod.get("volumes", []):
        if not LABEL.fullmatch(volume["name"]) or volumes.count(volume["name"]) > 1 or len(volume) != 2:
            yield f"{volume['name']} is no volume"
        if "sizeLimit" in volume.get("emptyDir", {}):
            yield from quantity_problems(volume["emptyDir"]["sizeLimit"])
    for tolerated in pod.get("tolerations", []):
        if "value" in tolerated and tolerated.get("operator", "Equal") != "Equal":
            yield "a toleration of any value has none"
    yield from label_problems(pod.get("nodeSelector", {}))
    for container in pod["containers"]:
        yield from container_problems(container, set(volumes))


def container_problems(container: dict[str, Any], volumes: set[str]) -> Iterator[str]:
    if not container.get("image") or container["image"].strip() != container["image"]:
        yield "no image"
    if not LABEL.fullmatch(container["name"]) or len(container["name"]) > 63:
        yield f"{container['name']!r} is no container's name"
    yield from resource_problems(container.get("resources", {}))
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{mount['name']} is not there to be mounted"
    paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
    if len(set(paths)) < len(paths):
        yield "two mounts in one place"
    names = [variable["name"] for variable in container.get("env", [])]
    if len(set(names)) < len(names):
        yield "a variable is given twice"
    for variable in container.get("env", []):
        yield from variable_problems(variable, container["name"])


def variable_problems(variable: dict[str, Any], container: str) -> Iterator[str]:
    if not ENV.fullmatch(variable["name"]):
        yield f"{variable['name']!r} is no variable's name"
    sources = variable.get("valueFrom")
    if sources is None:
        return
    if variable.get("value") or len(sources) != 1:
        yield "a variable has one source"
    for kind, source in sources.items():
        if kind == "fieldRef" and source["fieldPath"] not in FIELDS:
            yield f"{source['fieldPath']} is no field a pod can be told of"
        if kind == "resourceFieldRef":
            yield from quantity_problems(source["divisor"])
            if source["containerName"] != container:
                yield "another container's resources"
        if kind in ("secretKeyRef", "configMapKeyRef") and not SUBDOMAIN.fullmatch(source["name"]):
            yield f"{source['name']!r} is no object's name"


def resource_problems(resources: dict[str, Any]) -> Iterator[str]:
    wrong = []
    for found in resources.values():
        wrong += [f"{name} is no resource" for name in found if name not in ("cpu", "memory")]
        wrong += [problem for value in found.values() for problem in quantity_problems(value)]
        if "memory" in found and not wrong and quantity(found["memory"]) % 1:
            wrong.append("a part of a byte")
    yield from wrong
    for name, limit in resources.get("limits", {}).items() if not wrong else ():
        if quantity(resources.get("requests", {}).get(name, limit)) > quantity(limit):
            yield f"more {name} requested than allowed"


def quantity_problems(value: Any) -> Iterator[str]:
    if not QUANTITY.fullmatch(str(value)):
        yield f"{value!r} is no quantity"


def quantity(value: Any) -> Decimal:
    match = QUANTITY.fullmatch(str(value))
    assert match
    suffix = match[2] or ""
    if suffix in POWERS:
        return Decimal(match[1]) * POWERS[suffix]
    return Decimal(match[1] + suffix)
