"""RBAC: the least that has to be allowed to submit, watch, diagnose and cancel. A pod needs nothing."""

from __future__ import annotations

from typing import Any

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import names, rules
from chunkmigrate.kubernetes.judging import hold

NAME = "chunkmigrate-operator"

_GROUP = "rbac.authorization.k8s.io"
_KINDS = {"user": "User", "group": "Group"}

# What those commands ask for, and no more: a test compares the two.
_RULES = [
    (["batch"], ["jobs"], ["get", "list", "watch", "create", "delete"]),
    ([""], ["pods"], ["list", "watch"]),
    ([""], ["pods/log"], ["get"]),
    # Why a pod was never made is told by events alone.
    ([""], ["events"], ["list"]),
]
# With --mount, submit puts the module there, and cancel takes it away.
_MOUNTING = ([""], ["configmaps"], ["get", "create", "delete"])


def objects(who: str, *, namespace: str, mount: bool) -> list[dict[str, Any]]:
    """Return the Role, and the RoleBinding that gives it to ``who``.

    That is ``user:NAME``, ``group:NAME`` or ``serviceaccount:NAME``, or ``serviceaccount:NAMESPACE/NAME`` of
    another namespace.
    """
    if namespace:
        hold("namespace", namespace, rules.label)
    metadata: dict[str, Any] = {
        "name": NAME,
        **({"namespace": namespace} if namespace else {}),
        "labels": {"app.kubernetes.io/name": "chunkmigrate", "app.kubernetes.io/managed-by": "chunkmigrate"},
    }
    allowed = [*_RULES, *([_MOUNTING] if mount else [])]
    return [
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [
                {"apiGroups": groups, "resources": resources, "verbs": verbs}
                for groups, resources, verbs in allowed
            ],
        },
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "RoleBinding",
            # Of one name for all, who is bound next would take the rights of whoever was before.
            "metadata": metadata | {"name": f"{NAME}-{names.digest(who, namespace)}"},
            "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": NAME},
            "subjects": [_subject(who, namespace)],
        },
    ]


def _subject(who: str, namespace: str) -> dict[str, str]:
    kind, _, name = who.partition(":")
    try:
        if kind == "serviceaccount":
            return _account(name, namespace)
        if kind in _KINDS and name:
            rules.plain(name)
            return {"kind": _KINDS[kind], "apiGroup": _GROUP, "name": name}
    except InvalidSettingError as error:
        message = f"--rbac {who}: {error}."
        raise InvalidSettingError(message) from error
    message = f"--rbac {who}: write whom it is for: serviceaccount:NAME, user:NAME or group:NAME."
    raise InvalidSettingError(message)


def _account(name: str, namespace: str) -> dict[str, str]:
    of, _, account = name.rpartition("/")
    if not (of or namespace):
        raise InvalidSettingError("a ServiceAccount lives in a namespace; name it with --namespace")
    rules.subdomain(account)
    rules.label(of or namespace)
    return {"kind": "ServiceAccount", "name": account, "namespace": of or namespace}
