"""Audience: who is told of the runs of one command: a terminal or a pipe, whoever was asked for besides.

It puts the consumers together; what each does with what it is told is its own module's business.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from chunkmigrate import pod
from chunkmigrate.consumers import Together
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.memory import Share
from chunkmigrate.notify import Notifier, nobody, webhook
from chunkmigrate.opening import database_of
from chunkmigrate.telemetry import JsonLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chunkmigrate.consumers import Consumer
    from chunkmigrate.metrics import Metrics
    from chunkmigrate.settings import Settings

_NO_METRICS = (
    "Metrics need prometheus-client, which is not installed: pip install 'chunkmigrate[metrics]'. "
    "Nothing was touched."
)


class Audience:
    """Makes the consumers of one run after the other. ``say`` writes a line where no terminal is."""

    def __init__(
        self, say: Callable[[str], Any], notifier: Notifier, *, metrics: Metrics | None = None
    ) -> None:
        self._say, self._notifier, self._metrics = say, notifier, metrics
        self._port = metrics and metrics.port

    @contextmanager
    def of_a_run(self, database: str, start: int) -> Iterator[Consumer]:
        """Yield whoever is told of the next run, in ``database``; it begins with ``start`` bytes resident."""
        with ExitStack() as stack:
            consumers: list[Consumer] = [stack.enter_context(self._shown()), self._notifier]
            if self._metrics:
                consumers.append(stack.enter_context(self._metrics.of_a_run(database, start)))
            together = Together(consumers)
            if self._port:
                together.note("metrics", f"Metrics are served on port {self._port}.", port=self._port)
                self._port = None
            yield together

    @contextmanager
    def _shown(self) -> Iterator[Consumer]:
        if not sys.stdout or not sys.stdout.isatty():  # None where it was closed
            yield JsonLines(self._say)
            return
        from chunkmigrate.progress import Display  # late: a pod has no terminal

        with Display() as display:
            yield display


def notifier_of(settings: Settings, warn: Callable[[str], Any]) -> Notifier:
    """Return who tells how runs end: the pod's kubelet, and the webhook that was asked for.

    ``warn`` is told where the webhook cannot be. A process that is one of several tells of none: who has
    started them does.
    """
    if Share.of(os.environ):
        return Notifier()
    told = webhook(settings.notify, warn) if settings.notify else nobody

    def deliver(message: Mapping[str, Any]) -> None:
        pod.last_word(message)
        told(message)

    return Notifier(deliver, database=database_of(settings))


def metrics_of(settings: Settings, warn: Callable[[str], Any]) -> Metrics | None:
    """Return the metrics that were asked for; `InvalidSettingError` says why they cannot be had.

    ``warn`` is told, in a sentence, where they cannot be passed on in the end.
    """
    port, push, file = settings.metrics_port, settings.metrics_push, settings.metrics_file
    if port is None and push is None and file is None:
        return None
    try:
        from chunkmigrate.metrics import Metrics  # late: an extra, and 1.4 MiB that few runs need
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise InvalidSettingError(_NO_METRICS) from error
    return Metrics(port=port, push=push, file=file, warn=warn)
