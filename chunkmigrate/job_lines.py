"""Job lines: what `job watch` and `job diagnose` print where no screen is: plain lines, or JSON objects.

A name, a message and a log's line come from a cluster: they are made harmless before they get here.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkmigrate import server
from chunkmigrate.kubernetes.ending import GOING, STUCK, Kind
from chunkmigrate.kubernetes.fields import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chunkmigrate.kubernetes.diagnosis import Diagnosis
    from chunkmigrate.kubernetes.ending import Ending
    from chunkmigrate.lastruns import Stand

STAND_SECONDS = 10.0

_PODS_SAY = GOING - STUCK | {Kind.ACTIVE, Kind.UNKNOWN}


@dataclass(slots=True)
class Lines:
    """Writes lines; ``write`` is given each, without its end."""

    write: Callable[[str], Any]
    as_json: bool = False
    clock: Callable[[], float] = time.monotonic
    _stood: str = ""
    _stood_at: float = 0.0

    def job(self, ending: Ending) -> None:
        """Say how the Job stands, unless its pods say so themselves."""
        if ending.kind not in _PODS_SAY:
            self._line("job", ending.sentence, kind=ending.kind)

    def pod(self, name: str, ending: Ending) -> None:
        """Say how a pod stands."""
        self._line("pod", ending.sentence, pod=name, kind=ending.kind, exit_code=ending.exit_code)

    def event(self, event: Mapping[str, Any]) -> None:
        """Say what the cluster warns of."""
        about, reason = text(event, "involvedObject", "name"), text(event, "reason")
        self._line("event", f"{reason}, {about}: {text(event, 'message')}", about=about, reason=reason)

    def stand(self, stand: Stand) -> None:
        """Say where the migration stands, if that has changed, at most every ten seconds."""
        shown, now = stand.shown(), self.clock()
        if shown == self._stood or (self._stood and now - self._stood_at < STAND_SECONDS):
            return
        self._stood, self._stood_at = shown, now
        facts = {"status": stand.status, "read": stand.read, "position": stand.position}
        self._line("progress", shown, **facts)

    def log(self, pod: str, line: str) -> None:
        """Repeat a line of a pod's log."""
        self._line("log", line, pod=pod)

    def note(self, message: str) -> None:
        """Say what whoever looks on should know."""
        self._line("note", message)

    def _line(self, event: str, message: str, **facts: Any) -> None:
        at, plain = datetime.now(UTC), server.redacted(message)
        if self.as_json:
            told = {"at": at.isoformat(timespec="milliseconds"), "event": event, "message": plain} | facts
            self.write(json.dumps(told))
            return
        who = f"{facts['pod']}  " if event == "log" else ""
        self.write(f"{at:%H:%M:%S}  {event:<8}  {who}{plain}")


def report(found: Diagnosis, *, as_json: bool) -> Iterator[str]:
    """Yield a diagnosis: the Job first, then its pods, each with what it rests on and what to do."""
    advised = set[str]()
    for what, name, ending in (("job", found.name, found.job), *(("pod", *pod) for pod in found.pods)):
        yield from [_object(what, name, ending)] if as_json else _paragraph(ending, advised)


def _object(what: str, name: str, ending: Ending) -> str:
    told = {
        "object": what,
        "name": name,
        "kind": ending.kind,
        "sentence": server.redacted(ending.sentence),
        "exit_code": ending.exit_code,
        "evidence": [*map(server.redacted, ending.evidence)],
        "advice": ending.advice,
    }
    return json.dumps(told)


def _paragraph(ending: Ending, advised: set[str]) -> Iterator[str]:
    """Yield the lines of one ending. Ten pods that were killed the same way need the same advice once."""
    yield server.redacted(ending.sentence)
    yield from (f"    {server.redacted(line)}" for line in ending.evidence)
    if ending.advice and ending.advice not in advised:
        advised.add(ending.advice)
        yield f"    -> {ending.advice}"
