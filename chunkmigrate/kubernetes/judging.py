"""Judging: whether choices can be used. One that cannot is refused with its name, and with what would do.

How Kubernetes spells things is in ``rules``; here is which rule a choice is under. Which go together is in
``together``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import rules
from chunkmigrate.kubernetes.choices import TABLE, reference, toleration
from chunkmigrate.kubernetes.schedules import schedule
from chunkmigrate.kubernetes.together import wrong
from chunkmigrate.units import parse_bytes, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.kubernetes.choices import Choices

# By these a Job and its pods are found again, by chunkmigrate or by Kubernetes itself.
_LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "job-name",
    "controller-uid",
)
_DOMAINS = ("chunkmigrate", "batch.kubernetes.io", "helm.sh", "argocd.argoproj.io")

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def judge(choices: Choices) -> None:
    """Raise `InvalidSettingError` for the first choice that cannot be used."""
    _judge_image(choices)
    for name, text, rule in _texts(choices):
        hold(name, text, rule)


def _texts(choices: Choices) -> Iterator[tuple[str, str, Callable[[str], object]]]:
    """Yield each text with its name and the rule it is under."""
    for name, rule in _RULES.items():
        value = getattr(choices, name)
        for text in value if isinstance(value, list) else [value] if value else []:
            yield name, text, rule
    for name, (left, right) in _PAIRS.items():
        for key, value in getattr(choices, name).items():
            yield name, key, left
            yield name, value, right


def _taint(text: str) -> None:
    key, value, effect = toleration(text)
    rules.qualified(key)
    rules.label_value(value or "")
    if effect and effect not in _EFFECTS:
        raise InvalidSettingError(
            f"{effect!r} is not an effect; it is {', '.join(_EFFECTS)}, or left out for all"
        )


def _reference(text: str) -> None:
    name, key = reference(text)
    if not key:
        raise InvalidSettingError("it names an object and no key of it; write OBJECT/KEY")
    rules.subdomain(name)
    rules.data_key(key)


def _not_ours(name: str) -> None:
    rules.qualified(name)
    if name in _LABELS or name.rpartition("/")[0] in _DOMAINS:
        raise InvalidSettingError(f"{name} is written by chunkmigrate, or by what runs the Job")


_RULES: dict[str, Callable[[str], object]] = {
    "memory": parse_bytes,
    "memory_limit": parse_bytes,
    "cpu": rules.cpu,
    "namespace": rules.label,
    "database": rules.plain,
    "secret": rules.subdomain,
    "secret_key": rules.data_key,
    "service_account": rules.subdomain,
    "pull_secrets": rules.subdomain,
    "tolerations": _taint,
    "priority_class": rules.subdomain,
    "deadline": parse_duration,
    "schedule": schedule,
}
_PAIRS: dict[str, tuple[Callable[[str], object], Callable[[str], object]]] = {
    "node_selector": (rules.qualified, rules.label_value),
    "labels": (_not_ours, rules.label_value),
    "annotations": (_not_ours, rules.plain),
    "env": (rules.variable, rules.plain),
    "env_from_secrets": (rules.variable, _reference),
    "env_from_configmaps": (rules.variable, _reference),
}


def hold(name: str, text: str, rule: Callable[[str], object]) -> None:
    """Hold a text against its rule, and say whose text it is."""
    try:
        rule(text)
    except InvalidSettingError as error:
        raise wrong(name, str(error)) from error


def _judge_image(choices: Choices) -> None:
    if not choices.image:
        raise InvalidSettingError(
            f"No image is named. Use --image, or image in {TABLE} of pyproject.toml: it is one with "
            "chunkmigrate and the migrations in it, and docs/kubernetes.md shows how to build it."
        )
    if choices.format != "helm-hook" or not rules.is_helm_value(choices.image):
        hold("image", choices.image, rules.image)
