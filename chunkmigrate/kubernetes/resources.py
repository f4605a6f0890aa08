"""Resources: how much memory and CPU a migration's pod asks for, and who says so.

Requests equal limits, so that the pod is of the class Guaranteed: nothing it uses is borrowed, and it is the
last to be killed when its node runs short. That needs a limit of CPU, too. It costs next to nothing: Python
runs on one core at a time, and one core is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate import tuned
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.units import MI, format_bytes, parse_bytes, quantity

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.choices import Choices
    from chunkmigrate.migration import Migration

# A run has some 35 MiB in use before it reads a document. With less there is no point in asking a cluster.
LEAST_MEMORY = 40 * MI


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Bytes of memory that are guaranteed (``request``) and enforced (``limit``), CPU, and what to know."""

    request: int
    limit: int
    cpu: str
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, dict[str, str]]:
        """Return them as a container has them."""
        requests, limits = ({"cpu": self.cpu, "memory": _exact(size)} for size in (self.request, self.limit))
        return {"requests": requests, "limits": limits}


def find(migration: Migration, choices: Choices) -> Resources:
    """Return what the pod gets; `InvalidSettingError` where nothing says how much memory, or too little.

    The operator says it (``--memory``), or what `tune` settled for this very file, or the file itself.
    """
    settled, unused = tuned.load(migration)
    request = _request(migration, choices, settled)
    limit = parse_bytes(choices.memory_limit) if choices.memory_limit else request
    if request < LEAST_MEMORY:
        raise InvalidSettingError(
            f"{format_bytes(request)} of memory are too little: a run has some 35 MiB in use before it reads "
            "a document. Give it 64Mi or more."
        )
    if limit < request:
        raise InvalidSettingError(
            f"--memory-limit {format_bytes(limit)} is less than the {format_bytes(request)} that are to be "
            "guaranteed. Leave it out, and the limit is the same."
        )
    warnings = (unused, _borrowed(request, limit) if limit > request else "")
    return Resources(request=request, limit=limit, cpu=choices.cpu, warnings=tuple(filter(None, warnings)))


def _request(migration: Migration, choices: Choices, settled: tuned.Tuned | None) -> int:
    if choices.memory:
        return parse_bytes(choices.memory)
    if settled:
        return settled.memory
    if migration.memory:
        return _own(migration)
    raise InvalidSettingError(
        f"Nothing says how much memory {migration.name} needs. Measure it with `chunkmigrate profile "
        f"{migration.name}`, then `chunkmigrate tune {migration.name} --write`. Or give it: --memory 512Mi, "
        'or a line memory = "512Mi" in the migration.'
    )


def _own(migration: Migration) -> int:
    try:
        return parse_bytes(migration.memory)
    except InvalidSettingError as error:
        raise InvalidSettingError(f"{migration.path}: memory = {migration.memory!r}: {error}") from error


def _borrowed(request: int, limit: int) -> str:
    return (
        f"the memory limit ({format_bytes(limit)}) is more than the request ({format_bytes(request)}), and "
        "only the request is guaranteed. What is used above it is borrowed from the node, which takes it "
        "back by killing the pod. A run keeps to its request anyway: leave --memory-limit out"
    )


def _exact(size: int) -> str:
    return str(size) if size % MI else quantity(size)
