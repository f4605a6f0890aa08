"""Recordings of a real API server, as values."""

from __future__ import annotations

import gzip
import json
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chunkmigrate.kubernetes.diagnosis import Seen

FOLDER = Path(__file__).parent / "recordings"
SCENARIOS = sorted(path.name.removesuffix(".json.gz") for path in (FOLDER / "scenarios").iterdir())


@dataclass(frozen=True, slots=True)
class Scenario:
    """A Job from its creation to its end."""

    job: dict[str, Any]
    pods: list[dict[str, Any]]
    events: list[dict[str, Any]]
    watch: list[dict[str, Any]]
    moments: dict[str, Any]
    logs: dict[str, str]

    def versions(self, kind: str) -> list[dict[str, Any]]:
        """Every version of the Job, or of its pods, that was watched."""
        return [event["object"] for event in self.watch if event["object"]["kind"] == kind]

    def gone(self) -> frozenset[str]:
        return frozenset(e["object"]["metadata"]["uid"] for e in self.watch if e["type"] == "DELETED")

    def ended(self) -> list[dict[str, Any]]:
        """The last version of each pod, the deleted ones included."""
        return [*{pod["metadata"]["uid"]: pod for pod in self.versions("Pod")}.values()]

    def seen(self, **other: Any) -> Seen:
        """All of it, as somebody who watched from the beginning has seen it."""
        job = self.versions("Job")[-1]
        values = {"job": job, "pods": self.ended(), "events": self.events, "gone": self.gone()}
        return Seen(**(values | other))


def scenario(name: str) -> Scenario:
    return Scenario(**deepcopy(_loaded(f"scenarios/{name}.json.gz")))


def recorded(name: str) -> Any:
    return deepcopy(_loaded(f"{name}.json.gz"))


@cache
def _loaded(path: str) -> Any:
    return json.loads(gzip.decompress((FOLDER / path).read_bytes()))
