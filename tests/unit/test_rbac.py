"""RBAC: the least that handling Jobs takes."""

from __future__ import annotations

from typing import Any

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import rbac, text
from tests.unit.cluster import METADATA, metadata_problems, schema_problems
from tests.unit.workloads import parsed


def allowed(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_least() -> None:
    """Jobs may be handled, pods, logs and events looked at; nothing else, and no secret."""
    [role, _] = rbac.objects("user:jane", namespace="", mount=False)

    assert allowed(role) == {
        *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "delete")),
        *(("", "pods", verb) for verb in ("list", "watch")),
        ("", "pods/log", "get"),
        ("", "events", "list"),
    }


def test_mounting() -> None:
    """With --mount the ConfigMap may be made and taken away, too."""
    least, more = (rbac.objects("user:jane", namespace="", mount=mount)[0] for mount in (False, True))

    assert allowed(more) - allowed(least) == {
        ("", "configmaps", verb) for verb in ("create", "get", "delete")
    }


@pytest.mark.parametrize(
    ("who", "namespace", "subject"),
    [
        ("user:jane@example.org", "", {"kind": "User", "name": "jane@example.org"}),
        ("group:shop:sre", "shop", {"kind": "Group", "name": "shop:sre"}),
        ("serviceaccount:ci", "shop", {"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}),
        ("serviceaccount:build/ci", "shop", {"kind": "ServiceAccount", "name": "ci", "namespace": "build"}),
        ("serviceaccount:build/ci", "", {"kind": "ServiceAccount", "name": "ci", "namespace": "build"}),
    ],
)
def test_subject(who: str, namespace: str, subject: dict[str, str]) -> None:
    """The Role is bound to whom it is for, where the Jobs are."""
    found = parsed(text.of(rbac.objects(who, namespace=namespace, mount=False)))
    group = {} if subject["kind"] == "ServiceAccount" else {"apiGroup": "rbac.authorization.k8s.io"}

    assert [one["kind"] for one in found] == ["Role", "RoleBinding"]
    assert found[1]["subjects"] == [subject | group]
    assert found[1]["roleRef"]["name"] == found[0]["metadata"]["name"]
    for one in found:
        assert one["apiVersion"] == "rbac.authorization.k8s.io/v1"
        assert schema_problems(one["metadata"], METADATA) == []
        assert list(metadata_problems(one["metadata"])) == []
        assert one["metadata"].get("namespace", "") == namespace


def test_bindings_of_two() -> None:
    """Who is bound second takes no right of the first: one Role, and a binding for each."""
    one, other = (rbac.objects(who, namespace="shop", mount=False) for who in ("user:jane", "user:bob"))

    assert one[0] == other[0]
    assert one[1]["metadata"]["name"] != other[1]["metadata"]["name"]
    assert one == rbac.objects("user:jane", namespace="shop", mount=False)


@pytest.mark.parametrize(
    ("who", "namespace", "message"),
    [
        ("jane", "", "--rbac jane: write whom it is for: serviceaccount:NAME, user:NAME or group:NAME."),
        ("user:", "", "--rbac user:: write whom it is for: serviceaccount:NAME, user:NAME or group:NAME."),
        (
            "robot:x",
            "",
            "--rbac robot:x: write whom it is for: serviceaccount:NAME, user:NAME or group:NAME.",
        ),
        (
            "serviceaccount:ci",
            "",
            "--rbac serviceaccount:ci: a ServiceAccount lives in a namespace; name it with",
        ),
        ("serviceaccount:C", "a", "--rbac serviceaccount:C: 'C' is not an object's name; write"),
        ("serviceaccount:A/c", "a", "--rbac serviceaccount:A/c: 'A' is not a name; write"),
        ("user:jane", "A", "The namespace setting: 'A' is not a name; write"),
    ],
)
def test_nobody(who: str, namespace: str, message: str) -> None:
    """Whom it cannot be for is refused with how to write it."""
    with pytest.raises(InvalidSettingError) as caught:
        rbac.objects(who, namespace=namespace, mount=False)

    assert str(caught.value).startswith(message)
