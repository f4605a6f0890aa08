"""Metrics: the tallies of a command's runs under Prometheus' names; served, pushed, and written to a file.

The only module that imports prometheus-client, an extra; it is imported only where metrics were asked for.
What each metric means is written in ``families``; what is counted, and when, is ``tally``'s business.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, push_to_gateway, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from chunkmigrate.delivery import deliver
from chunkmigrate.errors import InvalidSettingError, UndeliveredError
from chunkmigrate.families import FAMILIES, LABELS, PREFIX, Histogram
from chunkmigrate.holder import who
from chunkmigrate.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.core import Metric

    from chunkmigrate.families import Family

JOB = "chunkmigrate"
_EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - a pod is scraped from outside

_KINDS: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Metrics:
    """The metrics of one command.

    They are served on ``port``, or on a free one for 0, by threads that end with the process; raises
    `InvalidSettingError` where that port cannot be had. After each run they go to ``push``, a Pushgateway's
    address, and to ``file``, where node_exporter looks. What fails there is told to ``warn``, in a sentence.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        push: str | None = None,
        file: Path | None = None,
        warn: Callable[[str], Any],
    ) -> None:
        self._push, self._file, self._warn = push, file, warn
        self._tallies: list[Tally] = []
        self._who = who()
        self.registry = registry_of(self._tallies)
        self.server = None if port is None else _served(self.registry, port)

    @property
    def port(self) -> int | None:
        """The port they are served on."""
        return self.server.server_port if self.server else None

    @contextmanager
    def of_a_run(self, database: str, start: int) -> Iterator[Tally]:
        """Yield the tally of the next run, which begins with ``start`` bytes resident; then pass it on."""
        tally = Tally(database, start, self._who)
        self._tallies.append(tally)
        try:
            yield tally
        finally:
            if tally.worth_telling:
                self._pass_on(tally)

    def _pass_on(self, tally: Tally) -> None:
        try:
            if self._file:
                write_to_textfile(str(self._file), self.registry)
        except OSError as error:
            self._warn(f"The metrics could not be written to {self._file}: {error.strerror}.")
        try:
            if self._push:
                push(self._push, tally)
        except UndeliveredError as error:
            self._warn(f"The metrics could not be pushed: {error}.")


def registry_of(tallies: Sequence[Tally]) -> CollectorRegistry:
    """Return a registry of these tallies and nothing else, as they stand whenever it is asked."""
    registry = CollectorRegistry()
    registry.register(_Collector(tallies))
    return registry


def _served(registry: CollectorRegistry, port: int) -> WSGIServer:
    try:
        server, _ = start_http_server(port, _EVERY_INTERFACE, registry)
    except OSError as error:
        message = f"Metrics cannot be served on port {port}: {error.strerror}. Nothing was touched."
        raise InvalidSettingError(message) from error
    return server


def push(gateway: str, tally: Tally) -> None:
    """Put the metrics of one run onto a Pushgateway, in place of what an earlier run of the same has left.

    Raises `UndeliveredError`.
    """

    def sender(url: str, method: str, timeout: Any, headers: Any, data: bytes) -> Callable[[], None]:  # noqa: ARG001
        return lambda: deliver(url, data, dict(headers), method=method)

    group = {"migration": tally.migration, "database": tally.database}
    push_to_gateway(gateway, JOB, registry_of([tally]), group, handler=sender)


class _Collector:
    """Makes the samples of tallies, each time it is asked."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """Yield each metric."""
        # One that has not begun has no name yet: its samples would be a series of their own, for ever.
        tallies = [tally for tally in self._tallies if tally.migration]
        for family in FAMILIES:
            yield _collected(family, tallies)


def _collected(family: Family, tallies: Sequence[Tally]) -> Metric:
    metric = _KINDS[family.kind](PREFIX + family.name, family.meaning, labels=(*LABELS, *family.labels))
    for tally in tallies:
        for extra, value in family.values(tally).items():
            labels = (tally.migration, tally.database, *extra)
            if isinstance(value, Histogram):
                metric.add_metric(labels, value.buckets, value.total)
            else:
                metric.add_metric(labels, float(value))
    return metric  # type: ignore[no-any-return]
