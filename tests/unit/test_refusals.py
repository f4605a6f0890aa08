from __future__ import annotations

import json
from typing import Any

import pytest

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.kubernetes.refusals import explained
from tests.recorded import recorded

RECORDED = recorded("api-errors")

# The sentence of each recorded refusal begins and goes on like this.
SENTENCES = {
    "400-bad-quantity.json": [
        "could not read what was sent to",
        "an amount of memory or CPU that is misspelled",
    ],
    "400-env-value-not-string.json": ["could not read what was sent", "containers.env.value of type string."],
    "400-log-container-waiting.json": ["is waiting to start: ErrImageNeverPull."],
    "400-log-previous-absent.json": ["previous terminated container"],
    "400-log-unknown-container.json": ["container other is not valid for pod"],
    "400-malformed-json.json": ["unexpected end of JSON input"],
    "400-namespace-mismatch.json": ["does not match the namespace sent on the request."],
    "400-unknown-field-strict.json": ['unknown field "spec.backofLimit".'],
    "400-wrong-type.json": ["JobSpec.spec.backoffLimit of type int32."],
    "401-bad-token.json": ["does not know who asks it to do it (401 Unauthorized)", "log in again"],
    "401-no-token.json": ["does not know who asks it to do it (401 Unauthorized)", "--context"],
    "403-create-job.json": ["You may not do it: jobs.batch is forbidden", "Ask for a Role"],
    "403-list-pods.json": ["You may not do it: pods is forbidden", "`chunkmigrate job render --rbac"],
    "403-watch-jobs.json": ["You may not do it", 'cannot watch resource "jobs"'],
    "403-exceeded-quota.json": ["The namespace's quota does not allow to do it", "exceeded quota: memory"],
    "403-quota-needs-limits.json": [
        "The namespace's quota does not allow to do it",
        "must specify limits.memory",
    ],
    "404-job.json": ['did not do it (404 NotFound): jobs.batch "absent" not found.'],
    "404-namespace.json": ["Namespace nowhere is not there, to do it."],
    "404-outside-apis.txt": ["did not do it (404): 404 page not found."],
    "404-pod-log.json": ['did not do it (404 NotFound): pods "absent" not found.'],
    "404-unknown-path.json": ["the server could not find the requested resource."],
    "405-method-not-allowed.json": ["did not do it (405 MethodNotAllowed)"],
    "409-already-exists.json": ["(409 AlreadyExists)", "It is not replaced while it is there."],
    "409-conflict.json": ["(409 Conflict)", "Somebody else changed it meanwhile"],
    "413-too-large.json": ["for it is too large (413 RequestEntityTooLarge): ", "limit is 3145728."],
    "415-patch-content-type.json": ["did not do it (415 UnsupportedMediaType)"],
    "422-annotations-too-long.json": ["invalid: metadata.annotations: Too long"],
    "422-bad-enum.json": ['invalid: spec.completionMode: Unsupported value: "Sometimes"'],
    "422-bad-restartpolicy.json": ["spec.template.spec.restartPolicy: Required value"],
    "422-immutable-completions.json": ["spec.completions: Invalid value: 3: field is immutable."],
    "422-immutable.json": ["spec.template: Invalid value"],
    "422-podfailurepolicy-onfailure.json": ['only "Never" is supported when podFailurePolicy is specified.'],
    "422-several-causes.json": [
        "metadata.name: Invalid value",
        "; spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0; ",
        "containers[0].image: Required value",
        "must be less than or equal to memory limit of 64Mi.",
    ],
}
PASSING = {
    "429-eviction-budget.json": "could not do it: Cannot evict pod as it would violate",
    "504-list-future-version.json": "could not do it: Timeout: Too large resource version",
}
NO_REFUSALS = {"201-unknown-field-warned.json", "watch-410-expired.jsonl"}


def said(name: str) -> ClusterRefusedError | ClusterError:
    found = RECORDED[name]
    return explained(found["status"], found["headers"], found["body"].encode(), "do it")


def test_all_are_known() -> None:
    """No recorded answer is left without its sentence."""
    assert set(RECORDED) == set(SENTENCES) | set(PASSING) | NO_REFUSALS


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_refusals(name: str) -> None:
    """What the cluster refuses is told in a sentence that names what is wrong, and what to do."""
    error = said(name)

    assert isinstance(error, ClusterRefusedError)
    assert error.status == RECORDED[name]["status"]
    assert error.reason == json_of(name).get("reason", "")
    for part in SENTENCES[name]:
        assert part in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 1_200


def json_of(name: str) -> Any:
    try:
        return json.loads(RECORDED[name]["body"])
    except ValueError:
        return {}


@pytest.mark.parametrize("name", sorted(PASSING))
def test_what_passes(name: str) -> None:
    """What may be otherwise a little later is another error, and says how long to wait."""
    error = said(name)

    assert isinstance(error, ClusterError)
    assert PASSING[name] in str(error)
    assert error.wait == (1.0 if name.startswith("504") else 0.0)


def test_wait_of_a_header() -> None:
    """A number of seconds in Retry-After is heeded; anything else there is not."""
    waits = [
        explained(503, {"Retry-After": told}, b"{}", "do it") for told in ("7", "Wed, 21 Oct", "9" * 9, "-1")
    ]

    assert [error.wait for error in waits if isinstance(error, ClusterError)] == [7.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[1]", b"\xff\x00", b"[" * 100_000, b'"x"'])
def test_answers_of_somebody_else(body: bytes) -> None:
    """What a proxy answers in the API's place is an answer, too."""
    error = explained(502, {}, body, "do it")

    assert isinstance(error, ClusterError)
    assert "could not do it" in str(error)
    assert str(error).isprintable()
    assert explained(404, {}, body, "do it").args[0].startswith("The cluster did not do it (404)")
