"""What the tests of profiles and tuning make theirs of: measurements as a profile has them, and past runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.checksum import checksum_of, parsed
from chunkmigrate.migration import Migration
from chunkmigrate.profiles import ENCODE_PATH, FORMAT, SCRATCH, Point, Profile, Seconds, Sizes, Step
from chunkmigrate.sizing import MIB
from chunkmigrate.tuning import PastRun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SOURCE = "def upgrade(db): ...\n"

ALIKE = Sizes(mean=30, median=30, p95=30, max=30)


def migration_in(folder: Path, source: str = SOURCE, name: str = "1_prices") -> Migration:
    """A migration's file, in the migrations of a project."""
    path = folder / "migrations" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(source, "utf-8")
    return Migration.read(path)


def point_of(budget: int, documents: int = 1_000, **facts: Any) -> Point:
    """A rehearsal in so many MiB that held, faster than any run where chunks were only encoded."""
    known: dict[str, Any] = {
        "chunk_bytes": MIB,
        "page_bytes": MIB,
        "start": 36 * MIB,
        "peak": (budget - 8) * MIB,
        "documents": 2_000,
        "documents_per_second": 90_000.0,
        "against": ENCODE_PATH,
        "held": True,
    }
    return Point(budget=budget * MIB, chunk_documents=documents, **known | facts)


def step_of(*budgets: Point, paces: Mapping[int, float] | None = None, **facts: Any) -> Step:
    """A step of a million documents; ``paces`` of chunk sizes, where chunks were committed."""
    committed = [
        point_of(58, size, documents_per_second=pace, against=SCRATCH) for size, pace in (paces or {}).items()
    ]
    known: dict[str, Any] = {
        "step": 0,
        "namespace": "shop.orders",
        "documents": 1_000_000,
        "size": 30_000_000,
        "sampled": 2_000,
        "whole": False,
        "sizes": ALIKE,
        "expansion": 4.0,
        "writes_per_document": 1.0,
        "write_bytes": ALIKE,
        "seconds_per_document": Seconds(read=2e-6, decode=3e-6, transform=4e-6, encode=1e-6),
        "failures": {},
        "functions": (),
    }
    sweep = (*(budgets or (point_of(50),)), *(committed or [point_of(58, 500)]))
    return Step(**{"sweep": sweep} | known | facts)


def profile_of(*steps: Step, **facts: Any) -> Profile:
    """A profile of a process that starts with 36 MiB."""
    known: dict[str, Any] = {
        "format": FORMAT,
        "migration": "1_prices",
        "checksum": checksum_of(SOURCE.encode(), parsed(SOURCE.encode())),
        "version": "0.1.0",
        "at": "2026-01-01T00:00:00+00:00",
        "writers": 2,
        "baseline": 36 * MIB,
        "seconds": 12.0,
    }
    return Profile(**{"steps": steps or (step_of(),)} | known | facts)


def past(**facts: Any) -> PastRun:
    """A run that came to its end: 71 MiB at its peak, ten thousand documents a second."""
    known: dict[str, Any] = {
        "applied": True,
        "died": False,
        "peak": 71 * MIB,
        "used": 0,
        "budget": 128 * MIB,
        "start": 36 * MIB,
        "read": 1_000_000,
        "seconds": 100.0,
    }
    return PastRun(**known | facts)


def killed(used: int, budget: int) -> PastRun:
    """A run that was killed, with so many of so many MiB in use."""
    return past(applied=False, died=True, peak=0, used=used * MIB, budget=budget * MIB, seconds=0.0, read=0)
