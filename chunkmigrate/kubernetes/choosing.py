"""Choosing: which Job is meant, and which migration it applies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import UnknownJobError
from chunkmigrate.kubernetes.fields import at, items, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.kubernetes.cluster import Cluster

# What `job render` writes on each Job: the migration's whole name, which no label can hold.
MIGRATION = "chunkmigrate/migration"

# The options of `run` that are not followed by a value of their own.
_FLAGS = ("--all", "--dry-run", "--only", "--show-values")


def chosen(cluster: Cluster, name: str | None) -> Mapping[str, Any]:
    """Return the Job of a name, or of a migration whose name holds it; without a name the only one there is.

    Raises `UnknownJobError`, which says which there are.
    """
    exact = cluster.job(name) if name else None
    if exact is not None:
        return exact
    there = cluster.jobs()
    fitting = [job for job in there if name is None or _fits(job, name)]
    if len(fitting) == 1:
        return fitting[0]
    raise UnknownJobError(_sentence(cluster.namespace, name, fitting or there, many=bool(fitting)))


def migration(job: Mapping[str, Any] | None) -> str:
    """Return the migration a Job applies: as it is annotated, else as its container's command has it.

    Empty where neither is plain.
    """
    if annotated := text(job, "metadata", "annotations", MIGRATION):
        return annotated
    for container in items(job, "spec", "template", "spec", "containers"):
        words = [*_words(container, "command"), *_words(container, "args")]
        if "run" in words:
            return _operand(words[words.index("run") + 1 :])
    return ""


def is_whole(job: Mapping[str, Any] | None) -> bool:
    """Say whether the migration of a Job is known by its whole name, and not by a part an operator typed."""
    return bool(text(job, "metadata", "annotations", MIGRATION))


def _words(container: Mapping[str, Any], field: str) -> list[str]:
    found = at(container, field)
    return [word for word in found if isinstance(word, str)] if isinstance(found, list) else []


def _operand(words: Sequence[str]) -> str:
    """Return the first word that is neither an option nor the value of one."""
    skip = False
    for place, word in enumerate(words):
        if word == "--":
            return "".join(words[place + 1 : place + 2])
        if skip or word.startswith("-"):
            skip = not skip and word.startswith("--") and "=" not in word and word not in _FLAGS
            continue
        return word
    return ""


def _fits(job: Mapping[str, Any], name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return plain in text(job, "metadata", "name") or name in migration(job)


def _sentence(namespace: str, name: str | None, there: Sequence[Mapping[str, Any]], *, many: bool) -> str:
    names = ", ".join(sorted(text(job, "metadata", "name") for job in there))
    if many:
        which = f"{name} fits several Jobs" if name else "There are several Jobs of migrations"
        return f"{which} in namespace {namespace}: {names}. Name one."
    others = f" There are: {names}." if names else " There is no Job of a migration at all."
    return f"There is no Job {name or 'of a migration'} in namespace {namespace}.{others if name else ''}"
