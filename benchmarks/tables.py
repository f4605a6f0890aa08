"""Tables: what was measured, as text. Medians, with the least and the most beside them."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from chunkmigrate.units import MI, format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.foretold import Foretold
    from benchmarks.kernel import Confined
    from benchmarks.measured import Measured
    from benchmarks.rounds import Result
    from benchmarks.telemetry import Telemetry

UNKNOWN = "—"
PAIR = ("chunkmigrate", "tuned")


def compared(results: Sequence[Result], rounds: int) -> Table:
    """Return all shapes and all ways."""
    table = _table(
        f"Medians of {rounds}; ratio: chunkmigrate to tuned within each round; CPU: ms per 1,000 documents",
        *("shape", "documents", "bytes", "way", "documents/s", "least to most", "ratio"),
        *("peak above start", "CPU client", "CPU server"),
    )
    for result in results:
        for way, runs in result.runs.items():
            first = way == next(iter(result.runs))
            about = (result.shape.name, f"{result.documents:,}", format_bytes(result.size))
            ratio = _ratio(result) if way == PAIR[0] else ""
            table.add_row(*(about if first else ("", "", "")), _named(way, runs, rounds), *_row(runs, ratio))
        table.add_section()
    return table


def growth(results: Sequence[Result]) -> Table:
    """Return the peaks of one shape at several sizes."""
    table = _table(
        "Growth: the same shape, more of it", "shape", "documents", "peak above start", "least to most"
    )
    for result in results:
        above = [run.above / MI for run in result.runs["chunkmigrate"]]
        spread = f"{min(above):.1f} to {max(above):.1f}"
        table.add_row(result.shape.name, f"{result.documents:,}", f"{median(above):.1f} MiB", spread)
    return table


def limits(rows: Sequence[Confined]) -> Table:
    """Return how the command ended inside limits of the kernel's."""
    table = _table(
        "chunkmigrate run inside a memory limit; the group is not charged for files others read before",
        *("shape", "limit", "exit code", "peak of the group", "peak RSS", "budget", "starts with"),
    )
    for row in rows:
        code = f"{row.exit_code} (killed)" if row.killed else str(row.exit_code)
        sizes = (row.group_peak, row.told.get("peak"), row.told.get("budget"), row.start)
        table.add_row(row.shape, _size(row.limit), code, *map(_size, sizes))
    return table


def foretold(rows: Sequence[Foretold]) -> Table:
    """Return what profiles foretold, and what came."""
    table = _table(
        "Foretold by `profile --sweep` and `tune` of 2,000 documents; measured inside the request (medians)",
        *("shape", "documents", "profile took", "peak foretold", "measured", "off"),
        *("duration foretold", "measured", "off", "request", "enough in", "smallest", "ratio"),
    )
    for row in rows:
        peaks, seconds = (row.peak, row.measured_peak), (row.seconds, row.measured_seconds)
        ratio = f"{row.request / row.smallest:.2f}" if row.smallest else ""
        table.add_row(
            row.shape,
            f"{row.documents:,}",
            f"{row.profile_seconds:.0f} s",
            *(_size(round(peak)) for peak in peaks),
            _off(*peaks),
            *(f"{_number(one)} s" for one in seconds),
            _off(*seconds),
            f"{row.request // MI} MiB",
            f"{row.enough} of {len(row.runs)}",
            f"{row.smallest // MI} MiB" if row.smallest else "",
            ratio,
        )
    return table


def telemetry(rows: Sequence[Telemetry]) -> Table:
    """Return what it costs a run to be told of."""
    table = _table(
        "Telemetry: runs with JSON lines, metrics and a record beside runs without (medians)",
        *("shape", "documents", "seconds with", "without", "ratio", "least to most"),
        *("its own CPU", "share of the run", "with its waiting"),
    )
    for row in rows:
        table.add_row(
            row.shape,
            f"{row.documents:,}",
            _number(row.seconds),
            _number(median(run.seconds for run in row.untold)),
            f"{median(row.ratios):.2f}",
            f"{min(row.ratios):.2f} to {max(row.ratios):.2f}",
            f"{_number(1_000 * median(run.cpu for run in row.told))} ms",
            f"{row.cpu_share:.2%}",
            f"{row.own_share:.2%}",
        )
    return table


def _off(told: float, came: float) -> str:
    return f"{100 * (told / came - 1):+.0f} %" if came else UNKNOWN


def starts_with(rows: Sequence[Confined]) -> str:
    """Return the sentence about a run's first bytes."""
    starts = [row.start for row in rows if row.start]
    return f"run starts with: {_size(round(median(starts))) if starts else UNKNOWN}"


def _row(runs: Sequence[Measured], ratio: str) -> tuple[str, ...]:
    rates = [run.rate for run in runs]
    spread = f"{_number(min(rates))} to {_number(max(rates))}" if len(runs) > 1 else ""
    above = f"{median(run.above for run in runs) / MI:.1f} MiB"
    client = _number(median(1e6 * run.client_cpu / run.documents for run in runs))
    served = [1e6 * run.server_cpu / run.documents for run in runs if run.server_cpu is not None]
    server = _number(median(served)) if served else UNKNOWN
    return _number(median(rates)), spread, ratio, above, client, server


def _ratio(result: Result) -> str:
    ours, theirs = (result.runs.get(way, []) for way in PAIR)
    ratios = [one.rate / other.rate for one, other in zip(ours, theirs, strict=False)]
    return f"{median(ratios):.2f}" if ratios else ""


def _named(way: str, runs: Sequence[Measured], rounds: int) -> str:
    return way if len(runs) == rounds else f"{way} (once)"


def _size(size: int | None) -> str:
    return UNKNOWN if size is None else f"{size / MI:.1f} MiB"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        text = name in {"shape", "way"}
        table.add_column(name, justify="left" if text else "right", no_wrap=True)
    return table
