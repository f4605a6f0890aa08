"""Job options: the flags of every command that makes a Job, with their line of help, and what they make.

A command gets them as one value: what was typed, by the name of the choice. What may be chosen, and what is
wrong with it, is for ``kubernetes.choices`` to say.
"""

from __future__ import annotations

import inspect
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from chunkmigrate import settings as settings_
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.migration import discover, find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkmigrate.kubernetes.choices import Choices
    from chunkmigrate.kubernetes.workload import Workload

Text = str | None
Texts = list[str] | None

# What a project may say for Helm, Argo CD, a CronJob or Airflow, and no Job has.
_OF_OTHER_FORMATS = ("format", "hook", "weight", "schedule")


def with_job_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the flags there are for a Job; what was typed is in its parameter ``flags``."""
    own = inspect.signature(command, eval_str=True).parameters
    theirs = inspect.signature(_typed, eval_str=True).parameters

    @wraps(command)
    def with_flags(**given: Any) -> None:
        flags = _typed(**{name: given.pop(name) for name in theirs})
        command(**given, flags=flags)

    parameters = [parameter for parameter in own.values() if parameter.name != "flags"]
    # What typer reads: the one, and the other.
    with_flags.__signature__ = inspect.Signature([*parameters, *theirs.values()])  # type: ignore[attr-defined]
    with_flags.__annotations__ = get_type_hints(command, include_extras=True) | get_type_hints(
        _typed, include_extras=True
    )
    return with_flags


def chosen(flags: Mapping[str, Any]) -> Choices:
    """Return what was chosen by flags, and by the project."""
    from chunkmigrate.kubernetes import choices

    return choices.choose(settings_.kubernetes(Path()), flags)


def chosen_job(flags: Mapping[str, Any]) -> Choices:
    """Return what was chosen for a plain Job, whatever else the project has rendered."""
    from chunkmigrate.kubernetes import choices

    if (asked := flags.get("format", "job")) != "job":
        message = f"The format setting: a Job is submitted, and {asked} is for something else to start."
        raise InvalidSettingError(message)
    table = settings_.kubernetes(Path())
    plain = {name: value for name, value in table.items() if name not in _OF_OTHER_FORMATS}
    return choices.choose(plain, flags)


def workload(name: str, directory: str | None, choices: Choices) -> Workload:
    """Return the migration of a name, or of part of one, with all its manifest is made of."""
    from chunkmigrate.kubernetes.workload import prepare

    found = discover(settings_.here(dir=directory).folder)
    return prepare(find(found, name), found, choices)


def _option(flag: str, help_: str, metavar: str | None = None) -> Any:
    return typer.Option(flag, help=help_, metavar=metavar, show_default=False)


def _typed(
    *,
    image: Annotated[Text, _option("--image", "The image; it has chunkmigrate in it. Always needed.")] = None,
    format_: Annotated[
        Text, _option("--format", "job, helm-hook, argocd-hook, cronjob or airflow. [default: job]")
    ] = None,
    memory: Annotated[Text, _option("--memory", "Memory, such as 512Mi; else what `tune` settled.")] = None,
    memory_limit: Annotated[
        Text,
        _option("--memory-limit", "A limit above it: what is borrowed is taken back by killing the pod."),
    ] = None,
    cpu: Annotated[Text, _option("--cpu", "CPU, such as 500m. [default: 1]")] = None,
    pods: Annotated[int | None, _option("--pods", "How many pods, of an Indexed Job. [default: 1]")] = None,
    mount: Annotated[
        bool | None,
        typer.Option("--mount", help="Mount the migration; else it is in the image.", show_default=False),
    ] = None,
    namespace: Annotated[
        Text,
        typer.Option(
            "--namespace", "-n", help="The namespace; else whoever applies it says so.", show_default=False
        ),
    ] = None,
    database: Annotated[Text, _option("--database", "The database, where the URI names none.")] = None,
    secret: Annotated[Text, _option("--secret", "The Secret that holds the URI. [default: mongodb]")] = None,
    secret_key: Annotated[Text, _option("--secret-key", "Its key. [default: uri]")] = None,
    service_account: Annotated[Text, _option("--service-account", "The pod's ServiceAccount.")] = None,
    pull_secrets: Annotated[
        Texts, _option("--pull-secret", "A Secret for pulling the image.", "NAME")
    ] = None,
    node_selector: Annotated[Texts, _option("--node-selector", "A label its node has.", "NAME=VALUE")] = None,
    tolerations: Annotated[
        Texts, _option("--toleration", "A taint its node may have.", "KEY[=VALUE][:EFFECT]")
    ] = None,
    priority_class: Annotated[Text, _option("--priority-class", "The pod's priority class.")] = None,
    labels: Annotated[Texts, _option("--label", "A label.", "NAME=VALUE")] = None,
    annotations: Annotated[Texts, _option("--annotation", "An annotation.", "NAME=VALUE")] = None,
    env: Annotated[Texts, _option("--env", "An environment variable, nothing secret.", "NAME=VALUE")] = None,
    env_from_secrets: Annotated[
        Texts, _option("--env-from-secret", "A variable from a Secret.", "NAME=SECRET/KEY")
    ] = None,
    env_from_configmaps: Annotated[
        Texts, _option("--env-from-configmap", "A variable from a ConfigMap.", "NAME=CONFIGMAP/KEY")
    ] = None,
    deadline: Annotated[
        Text, _option("--deadline", "End the Job after so long, such as 6h. [default: never]")
    ] = None,
    schedule: Annotated[
        Text, _option("--schedule", "When a CronJob or a DAG starts, in UTC: '0 3 * * *'. [default: by hand]")
    ] = None,
    hook: Annotated[
        Text, _option("--hook", "When a hook runs. [default: pre-upgrade for Helm, PreSync for Argo CD]")
    ] = None,
    weight: Annotated[int | None, _option("--weight", "Its place among the hooks. [default: 0]")] = None,
) -> dict[str, Any]:
    """Return what was typed, by the name of the choice."""
    return {name.rstrip("_"): value for name, value in locals().items() if value is not None}
