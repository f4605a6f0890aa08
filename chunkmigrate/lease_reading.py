"""Lease reading: what a lease's record says: who has it, since and until when, and what is asked of them.

One that somebody has meddled with, so that it does not say who holds it until when, is nobody's. How a record
is changed is ``lease_record``'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chunkmigrate.holder import Holder
from chunkmigrate.units import format_duration

PAUSE, CANCEL = "pause", "cancel"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What an operator asked of a run: ``what`` is pause or cancel."""

    what: str
    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Former:
    """Who held a lease and never gave it back; ``shown`` is the name people know it by."""

    pod: str
    host: str
    pid: int
    shown: str
    since: datetime
    renewed: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseRecord:
    """The record as the server had it at ``now``, which is the server's time; ``stamp`` tells a renewal.

    ``partition`` counts from 1, and is 0 in the lease of the migration itself.
    """

    migration: str
    generation: int
    holder: Holder | None
    since: datetime
    renewed: datetime
    until: datetime
    released: bool
    asked: Asked | None
    former: Former | None
    now: datetime
    stamp: int | None = None
    step: int = 0
    partition: int = 0

    @property
    def held(self) -> bool:
        """Whether somebody has the lease, and it has not run out."""
        return self.holder is not None and not self.released and self.until > self.now

    @property
    def token(self) -> str:
        """Whose lease it is, or was; empty where an operator took it away."""
        return self.holder.token if self.holder else ""

    @property
    def seconds(self) -> float:
        """How long a renewal lasts."""
        return (self.until - self.renewed).total_seconds()

    def shown(self) -> str:
        """Return who holds it and since when: ``pod x on node-3 (pid 1) since 09:41:07 UTC, last ...``."""
        day = "" if self.since.date() == self.now.date() else "%Y-%m-%d "
        age = (self.now - self.renewed).total_seconds()
        ago = format_duration(age) if age >= 60 else f"{age:.0f} s"
        who = self.holder.shown() if self.holder else "nobody"
        return f"{who} since {self.since:{day}%H:%M:%S} UTC, last renewed {ago} ago"


def read(document: Mapping[str, Any]) -> LeaseRecord:
    """Return what a stored record says. One nobody ever held has no dates: it is over since the epoch."""
    renewed, until = document.get("renewed"), document.get("until")
    dated = isinstance(renewed, datetime) and isinstance(until, datetime)
    name = document["_id"]
    return LeaseRecord(
        **(name if isinstance(name, Mapping) else {"migration": name}),
        generation=document.get("generation") or 0,
        holder=_holder(document.get("holder")) if dated else None,
        since=_utc(document.get("since")),
        renewed=_utc(renewed),
        until=_utc(until),
        released=document.get("released") is True,
        asked=_asked(document.get("asked")),
        former=_told(document.get("former")),
        now=_utc(document.get("now", renewed)),
        stamp=document.get("stamp"),
    )


def _holder(holder: Any) -> Holder | None:
    named = isinstance(holder, Mapping) and isinstance(holder.get("token"), str)
    return Holder.of(holder) if named else None


def _asked(asked: Any) -> Asked | None:
    """Return what is asked; a word nobody here knows, of another version perhaps, asks for nothing."""
    if not isinstance(asked, Mapping) or asked.get("what") not in (PAUSE, CANCEL):
        return None
    return Asked(what=asked["what"], by=str(asked.get("by", "an operator")), at=_utc(asked.get("at")))


def _told(former: Any) -> Former | None:
    holder = _holder(former.get("holder")) if isinstance(former, Mapping) else None
    if holder is None:
        return None
    return Former(
        pod=holder.pod,
        host=holder.host,
        pid=holder.pid,
        shown=holder.shown(),
        since=_utc(former.get("since")),
        renewed=_utc(former.get("renewed")),
    )


def _utc(found: Any) -> datetime:
    at = found if isinstance(found, datetime) else datetime.fromtimestamp(0, UTC)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
