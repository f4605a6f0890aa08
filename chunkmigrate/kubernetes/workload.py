"""Workload: a migration and all its manifest is made of. Reading and judging end here; the rest is pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkmigrate.kubernetes import judging, mounting, names, resources, rules, together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkmigrate.kubernetes.choices import Choices
    from chunkmigrate.kubernetes.resources import Resources
    from chunkmigrate.migration import Migration

CONTAINER = "chunkmigrate"

# What belongs to one Job.
INSTANCE_LABEL = "app.kubernetes.io/instance"

# What an operator selects by: `kubectl get pods -l chunkmigrate/migration=NAME`.
MIGRATION_LABEL = "chunkmigrate/migration"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A migration, what was chosen for it, what its pod gets, and the ``files`` that are mounted, by name.

    ``name`` is the Job's. ``warnings`` are what its operator should know.
    """

    migration: str
    checksum: str
    name: str
    choices: Choices
    resources: Resources
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def metadata(self, name: str | None = None) -> dict[str, object]:
        """Return an object's metadata, of the Job's name if no other."""
        return {
            "name": name or self.name,
            **({"namespace": self.choices.namespace} if self.choices.namespace else {}),
            "labels": self.labels(),
            "annotations": self.annotations(),
        }

    def labels(self) -> dict[str, str]:
        """Return the labels of everything that belongs to it."""
        return {
            "app.kubernetes.io/name": "chunkmigrate",
            INSTANCE_LABEL: self.name,
            "app.kubernetes.io/component": "migration",
            "app.kubernetes.io/managed-by": "chunkmigrate",
            MIGRATION_LABEL: names.label_value(self.migration),
            **dict(sorted(self.choices.labels.items())),
        }

    def annotations(self) -> dict[str, str]:
        """Return the annotations: the migration's whole name, and which text of it this is."""
        return {
            "chunkmigrate/migration": self.migration,
            "chunkmigrate/checksum": self.checksum,
            **dict(sorted(self.choices.annotations.items())),
        }


def prepare(migration: Migration, found: Sequence[Migration], choices: Choices) -> Workload:
    """Return the workload of a migration among those found; `InvalidSettingError` where it makes none."""
    judging.hold("name", migration.name, rules.plain)
    judging.judge(choices)
    together.judge(choices)
    gets = resources.find(migration, choices)
    texts = mounting.files(migration, found) if choices.mount else {}
    warnings = [*gets.warnings, *(mounting.warnings(migration, texts) if choices.mount else ())]
    if not rules.is_settled(choices.image):
        warnings.append(
            f"the image {choices.image} may be another one tomorrow: name a tag of a version, or a digest"
        )
    return Workload(
        migration=migration.name,
        checksum=migration.checksum,
        name=names.job_name(migration.name),
        choices=choices,
        resources=gets,
        files=texts,
        warnings=tuple(warnings),
    )
