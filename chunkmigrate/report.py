"""The report: what is known of one run, as a value, and how that is spelled as JSON.

What it is made of is ``account``'s business, how it looks ``report_page``'s. Of documents it holds ``_id``s
and nothing else, but for the sentence of a failure where that is asked for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from chunkmigrate.direction import Direction
from chunkmigrate.outcome import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from chunkmigrate.profiles import Profile
    from chunkmigrate.records import Counts
    from chunkmigrate.timeline import Timeline

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: ``title`` in a few words, ``text`` says why and how. Commands stand in backticks."""

    title: str
    text: str
    urgent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a run failed: the class of the exception, that of its cause, and the ``_id`` it was about.

    ``meaning`` is what the class says by itself; ``sentence`` what this one said, where that may be shown.
    ``withheld``: it is on record, and may not.
    """

    kind: str | None
    meaning: str
    cause: str | None
    document: str | None
    sentence: str | None
    withheld: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes: at the start, at the most, at the end, and allowed; None where that is not known.

    ``used`` is what counted against the budget at the most, in second ``used_second``: it may be more than
    ``peak``, the process's own. ``last`` is what was in use when last heard of.
    """

    start: int | None
    peak: int | None
    used: int | None
    used_second: float | None
    last: int | None
    budget: int
    budget_source: str | None
    limit: int | None

    @property
    def most(self) -> int | None:
        """The most bytes that were in use, whichever way they were counted."""
        known = [size for size in (self.peak, self.used, self.last) if size]
        return max(known, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What is known of one run; None is what is not. Times are UTC, ``seconds`` those from begin to end.

    ``seen`` is the last sign of life of a run that has not ended, ``at_work`` the ``_id`` that was at work
    when it died, one of ``among``. ``committing`` is the seconds its writers waited for commits, all of them
    together; ``pauses`` those it was held up, by signal; ``sizes`` how large chunks might be, ``first`` and
    ``last``. ``profile_trouble`` says why there is no profile to show. ``shared``: several runs had
    a share in the work, and the numbers are this one's.
    """

    headline: str = ""
    migration: str
    run: str
    database: str
    status: str
    direction: str
    reason: str
    quarantine_retry: bool
    shared: bool = False
    began: datetime | None
    ended: datetime | None
    seen: datetime | None
    seconds: float | None
    runner: str
    version: str | None
    checksum: str | None
    writers: int | None
    max_rate: float | None
    counts: Counts
    position: str | None
    progress: Mapping[str, Any] | None
    memory: Memory
    committing: float | None
    pauses: Mapping[str, float]
    sizes: Mapping[str, Mapping[str, Any]] | None
    warnings: tuple[str, ...]
    failure: Failure | None
    at_work: str | None
    among: int
    advice: tuple[Advice, ...] = ()
    quarantine: tuple[Mapping[str, Any], ...]
    timeline: Timeline
    profile: Profile | None
    profile_trouble: str | None

    @property
    def paused(self) -> float:
        """How many seconds the run was held up."""
        return sum(self.pauses.values())

    @property
    def command(self) -> str:
        """The command that goes on with it."""
        return Direction(self.direction).command(self.migration)

    @property
    def is_rollback(self) -> bool:
        """Whether it took the migration back."""
        return Direction(self.direction).is_down

    @property
    def rate(self) -> float | None:
        """Documents per second, pauses included."""
        return self.counts.read / self.seconds if self.seconds else None

    def document(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it: see docs/report.md."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"format": FORMAT} | facts | self._spelled()

    def _profiled(self) -> dict[str, Any] | None:
        if self.profile is None:
            return None
        from chunkmigrate import profiles  # late: most reports have none

        return profiles.document(self.profile)

    def _spelled(self) -> dict[str, Any]:
        """Return in the words of JSON what it has none for."""
        times = {name: getattr(self, name) for name in ("began", "ended", "seen")}
        return {
            **{name: time and time.isoformat(timespec="milliseconds") for name, time in times.items()},
            "counts": counted(self.counts),
            "memory": asdict(self.memory) | {"most": self.memory.most},
            "failure": self.failure and asdict(self.failure),
            "advice": [asdict(one) for one in self.advice],
            "timeline": self.timeline.document(),
            "profile": self._profiled(),
        }
