"""The report as one page: no script, and nothing from elsewhere. Imported only to make one.

Everything that comes from outside is escaped by the template, and what cannot be seen is spelled out. What
the page says is ``report``'s business, what is drawn on it ``plots``'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from chunkmigrate import sizing
from chunkmigrate.ledger import APPLIED, CANCELLED, DIED, FAILED, PAUSED, ROLLED_BACK, RUNNING, STOPPED
from chunkmigrate.outcome import counted
from chunkmigrate.plain import visible
from chunkmigrate.plots import plots
from chunkmigrate.profiles import STAGES
from chunkmigrate.stretches import rates
from chunkmigrate.units import format_bytes, format_duration

if TYPE_CHECKING:
    from datetime import datetime

    from chunkmigrate.profiles import Function
    from chunkmigrate.report import Report

_TONES = {
    APPLIED: "good",
    CANCELLED: "warn",
    DIED: "bad",
    FAILED: "bad",
    PAUSED: "warn",
    ROLLED_BACK: "good",
    RUNNING: "calm",
    STOPPED: "warn",
}

# What the words of marks are called, and what they look like on the plots: paused, troubled, or only told.
_KINDS = {
    "throttled": "wait",
    "paused": "wait",
    "resumed": "wait",
    "waiting": "wait",
    "retrying": "trouble",
    "smaller_chunks": "trouble",
    "unclean_end": "trouble",
    "warning": "trouble",
}


def page(report: Report, *, made: datetime) -> str:
    """Return the page, made at ``made``."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            made=made,
            counts=counted(report.counts),
            plots=plots(report.timeline),
            rates=_rate_at(report),
            tone=_TONES.get(report.status, "calm"),
            phases=STAGES,
            guard=sizing.GUARD,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("chunkmigrate"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": lambda size: "unknown" if size is None else format_bytes(int(size)),
        "duration": lambda seconds: "unknown" if seconds is None else format_duration(seconds),
        "number": lambda number: "unknown" if number is None else f"{number:,.0f}",
        "share": lambda part, whole: f"{part / whole:.0%}" if whole else "0%",
        "percent": lambda part, whole: round(min(100.0, 100 * part / whole), 2) if whole else 0,
        "time": lambda time: f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else "unknown",
        "prose": _prose,
        "kind": lambda word: _KINDS.get(word, "word"),
        "words": lambda word: word.replace("_", " "),
        "heat": _heat,
    }
    return environment


def _seen(value: Any) -> Any:
    """Return a value as it is printed; markup that was made here is left alone."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _prose(text: str) -> Markup:
    """Return a sentence whose commands stand in backticks as markup."""
    parts = visible(text).split("`")
    marked = (
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )
    return Markup("").join(marked)


def _heat(function: Function, increment: int | None) -> int:
    """Return how much of its function's memory a line took, in percent of the worst line."""
    worst = max((line.increment or 0 for line in function.lines), default=0)
    return round(100 * max(0, increment or 0) / worst) if worst > 0 else 0


def _rate_at(report: Report) -> list[float]:
    """Return how fast the run went at each of its samples."""
    samples = report.timeline.samples
    if len(samples) < 2 or not samples[-1].second:
        return [0.0] * len(samples)
    found = rates(samples)
    return [next((rate for _, end, rate in found if one.second <= end), 0.0) for one in samples]
