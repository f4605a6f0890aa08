"""Choices: what an operator may choose for a Job, by flags or in ``[tool.chunkmigrate.kubernetes]``.

A flag wins over the file; of labels, variables and the like, each one by itself. Whether what was chosen can
be used, and goes together, is ``judging``'s business; what becomes of it, ``workload``'s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from chunkmigrate.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TABLE = "[tool.chunkmigrate.kubernetes]"

# One migration needs more memory than another, so a project says nothing about it.
_FLAGS_ONLY = ("memory", "memory_limit")

_TYPES = {
    "str": "a text in quotes",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


class Choices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was chosen. What was not is empty, and then nothing of it stands in the manifest.

    ``secret`` and ``secret_key`` say where the pod finds ``MONGODB_URI``; ``env_from_secrets`` and
    ``env_from_configmaps`` where it finds other variables, as ``OBJECT/KEY``. ``tolerations`` are spelled as
    taints are: ``KEY=VALUE:EFFECT``.
    """

    format: Literal["job", "helm-hook", "argocd-hook", "cronjob", "airflow"] = "job"
    image: str = ""
    memory: str = ""
    memory_limit: str = ""
    cpu: str = "1"
    pods: int = 1
    mount: bool = False
    namespace: str = ""
    database: str = ""
    secret: str = "mongodb"  # noqa: S105 (its name)
    secret_key: str = "uri"  # noqa: S105 (the key's name)
    service_account: str = ""
    pull_secrets: list[str] = []
    node_selector: dict[str, str] = {}
    tolerations: list[str] = []
    priority_class: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    env: dict[str, str] = {}
    env_from_secrets: dict[str, str] = {}
    env_from_configmaps: dict[str, str] = {}
    deadline: str = ""
    schedule: str = ""
    hook: str = ""
    weight: int = 0


def choose(table: Mapping[str, Any], flags: Mapping[str, Any]) -> Choices:
    """Return the choices of both, not judged yet; `InvalidSettingError` where one is of the wrong kind."""
    for name in _FLAGS_ONLY:
        if name in table:
            message = (
                f"{TABLE} has no setting {name}: it is a migration's own. Use `tune`, or a line in its file."
            )
            raise InvalidSettingError(message)
    project = _converted(table)
    return _converted({**table, **{name: _over(project, name, typed) for name, typed in flags.items()}})


def toleration(text: str) -> tuple[str, str | None, str]:
    """Return key, value and effect of the taint ``KEY=VALUE:EFFECT``. No value is any, no effect is all."""
    tainted, _, effect = text.partition(":")
    key, equals, value = tainted.partition("=")
    return key, value if equals else None, effect


def reference(text: str) -> tuple[str, str]:
    """Return which object ``OBJECT/KEY`` names, and which of its keys."""
    name, _, key = text.partition("/")
    return name, key


def _over(project: Choices, name: str, typed: Any) -> Any:
    """Return what holds of a flag: in place of what the project says, or as well."""
    said = getattr(project, name)
    if typed == "":
        message = f"The {name.replace('_', ' ')} setting: its flag is there, and has no value."
        raise InvalidSettingError(message)
    return {**said, **_pairs(name, typed)} if isinstance(said, dict) else typed


def _pairs(name: str, typed: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in typed:
        key, equals, value = text.partition("=")
        if not equals:
            # Not repeated: a value that was forgotten to be named may be a password.
            message = f"The {name.replace('_', ' ')} setting: one of its flags has no '='; write NAME=VALUE."
            raise InvalidSettingError(message)
        pairs[key] = value
    return pairs


def _converted(raw: Mapping[str, Any]) -> Choices:
    try:
        return msgspec.convert(dict(raw), Choices)
    except msgspec.ValidationError as error:
        raise InvalidSettingError(_sentence(str(error))) from error


def _sentence(message: str) -> str:
    """Say in this project's words what msgspec says of a value, and where it stands."""
    what, _, where = message.partition(" - at `$.")
    name = where.rstrip("`").replace("[...]", "")
    if unknown := re.search(r"unknown field `(.*)`", what):
        known = sorted(set(Choices.__struct_fields__) - set(_FLAGS_ONLY))
        return f"{TABLE} has no setting {unknown[1]}; it has {', '.join(known)}."
    if expected := re.search(r"Expected `(\w+)`", what):
        return f"{TABLE}: the setting {name} is {_TYPES.get(expected[1], expected[1])}."
    return "The format setting: it is job, helm-hook, argocd-hook, cronjob or airflow."
