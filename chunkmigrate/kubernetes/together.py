"""Together: which choices go together, and which are not the operator's: the pod's own variables.

Each by itself is held against its rule by ``judging``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import rules
from chunkmigrate.units import parse_duration

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.choices import Choices

# A pod is of use where there is a part of the collection for it; a hundred are more than a server bears.
MOST_PODS = 100
MOST_WEIGHT = 1_000_000
# Seconds are kept in 31 bits.
MOST_SECONDS = (1 << 31) - 1

# An object may have twice as many. What chunkmigrate, kubectl and others write has to go in, too.
MOST_ANNOTATIONS = 128 * 1024

# What a pod is told by these is not the operator's to say.
_VARIABLES = (
    "CHUNKMIGRATE_DATABASE",
    "CHUNKMIGRATE_LIVENESS_FILE",
    "CHUNKMIGRATE_MEMORY_REQUEST",
    "CHUNKMIGRATE_NODE",
    "CHUNKMIGRATE_POD",
    "CHUNKMIGRATE_POD_UID",
)
HOOKS = {
    "helm-hook": ("pre-upgrade", "post-upgrade", "pre-install", "post-install"),
    "argocd-hook": ("PreSync", "Sync", "PostSync"),
}
_SCHEDULED = ("cronjob", "airflow")


def judge(choices: Choices) -> None:
    """Raise `InvalidSettingError` for the first choice that does not go with the others."""
    _judge_environment(choices)
    _judge_format(choices)
    _judge_numbers(choices)


def wrong(name: str, what: str) -> InvalidSettingError:
    """Return the error that says which setting it is."""
    return InvalidSettingError(f"The {name.replace('_', ' ')} setting: {what.removesuffix('.')}.")


def _judge_environment(choices: Choices) -> None:
    for name, value in choices.env.items():
        if value and rules.is_secret(name):
            raise wrong(
                "env",
                f"{name} is a secret by its name, and many may read a manifest; put it into a Secret and "
                f"write --env-from-secret {name}=SECRET/KEY",
            )
    names = [*choices.env, *choices.env_from_secrets, *choices.env_from_configmaps]
    for name in names:
        if name == "MONGODB_URI":
            raise wrong(
                "env",
                "MONGODB_URI comes from a Secret; say which with --secret, and its key with --secret-key",
            )
        if name in _VARIABLES or (choices.mount and name == "CHUNKMIGRATE_DIR"):
            raise wrong("env", f"{name} is set by chunkmigrate")
        if names.count(name) > 1:
            raise wrong("env", f"{name} is given more than once")


def _judge_format(choices: Choices) -> None:
    if choices.schedule and choices.format not in _SCHEDULED:
        raise wrong("schedule", f"--format {choices.format} has none; use --format cronjob or airflow")
    if (choices.hook or choices.weight) and choices.format not in HOOKS:
        raise wrong("hook" if choices.hook else "weight", "it needs --format helm-hook or argocd-hook")
    known = HOOKS.get(choices.format, ())
    for hook in choices.hook.split(",") if choices.hook else []:
        if hook not in known:
            raise wrong("hook", f"{hook!r} is not one of {', '.join(known)}")
    if choices.format == "airflow" and choices.mount:
        raise wrong("mount", "a DAG mounts nothing; put the migration into the image")
    if choices.format == "airflow" and choices.pods > 1:
        raise wrong("pods", "a DAG starts one pod; use another --format for several")


def _judge_numbers(choices: Choices) -> None:
    if not 1 <= choices.pods <= MOST_PODS:
        raise wrong("pods", f"{choices.pods} is not a number of pods; there may be 1 to {MOST_PODS}")
    if abs(choices.weight) > MOST_WEIGHT:
        raise wrong("weight", f"{choices.weight} is more than any order needs")
    if choices.deadline and not 1 <= parse_duration(choices.deadline) <= MOST_SECONDS:
        raise wrong("deadline", f"{choices.deadline} is not a time a Job could take; write one such as 6h")
    size = sum(len(name.encode()) + len(text.encode()) for name, text in choices.annotations.items())
    if size > MOST_ANNOTATIONS:
        raise wrong("annotations", f"they are {size:,} bytes, and there is room for {MOST_ANNOTATIONS:,}")
