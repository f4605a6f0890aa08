"""Manifests: a Job and its ConfigMaps, read from YAML or JSON. Whether they are valid the cluster says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import InvalidSettingError, NoClusterError
from chunkmigrate.kubernetes.client import INSTALL
from chunkmigrate.kubernetes.fields import harmless, items, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JOB, CONFIG_MAP = ("batch/v1", "Job"), ("v1", "ConfigMap")

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is to be created: a Job, and its ConfigMaps. ``namespace`` is the one they name, if any."""

    job: Mapping[str, Any]
    config_maps: tuple[Mapping[str, Any], ...]
    namespace: str | None

    @property
    def name(self) -> str:
        """The name of the Job; empty where the cluster is to give it one."""
        return text(self.job, "metadata", "name")


def read(written: str, source: str) -> Manifest:
    """Return what a manifest holds; `InvalidSettingError` says what ``source`` may not."""
    found = [*_flat(_documents(written, source), source)]
    jobs = [one for one in found if _type(one) == JOB]
    others = [one for one in found if _type(one) not in (JOB, CONFIG_MAP)]
    if others:
        kind = text(others[0], "kind") or "an object without a kind"
        version = text(others[0], "apiVersion") or "no apiVersion"
        raise InvalidSettingError(
            f"{source} holds {kind} ({version}). A Job (batch/v1) and its ConfigMaps (v1) can be submitted; "
            "kubectl applies the rest."
        )
    if len(jobs) != 1:
        raise InvalidSettingError(f"{source} holds {len(jobs) or 'no'} Jobs; one is submitted at a time.")
    for one in found:
        if not (
            text(one, "metadata", "name") or (_type(one) == JOB and text(one, "metadata", "generateName"))
        ):
            raise InvalidSettingError(f"A {text(one, 'kind')} of {source} has no metadata.name.")
    config_maps = tuple(one for one in found if _type(one) == CONFIG_MAP)
    return Manifest(jobs[0], config_maps, _namespace(found, source))


def _documents(written: str, source: str) -> list[Any]:
    try:
        return [json.loads(written)]
    except ValueError:
        return _yaml(written, source)
    except RecursionError as error:
        raise InvalidSettingError(f"{source} is nested too deeply.") from error


def _yaml(written: str, source: str) -> list[Any]:
    try:
        import yaml
    except ImportError as error:
        raise NoClusterError(INSTALL) from error

    class Loader(yaml.SafeLoader):
        """A date is a text in Kubernetes."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    try:
        found = [*yaml.load_all(written, Loader)]
        json.dumps(found, allow_nan=False)
    except TypeError as error:
        raise InvalidSettingError(f"{source} holds a value that JSON has none for: {error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidSettingError(f"{source} is neither YAML nor JSON: {harmless(str(error))}.") from error
    return found


def _flat(documents: list[Any], source: str) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        if isinstance(document, dict) and text(document, "kind") == "List":
            yield from items(document, "items")
        elif isinstance(document, dict):
            yield document
        elif document is not None:
            raise InvalidSettingError(f"{source} holds {harmless(repr(document), 40)}, which is no object.")


def _type(one: Mapping[str, Any]) -> tuple[str, str]:
    return text(one, "apiVersion"), text(one, "kind")


def _namespace(found: list[Mapping[str, Any]], source: str) -> str | None:
    named = sorted({text(one, "metadata", "namespace") for one in found} - {""})
    if len(named) > 1:
        raise InvalidSettingError(f"{source} names several namespaces: {', '.join(named)}.")
    return named[0] if named else None
