"""Metrics on their way: to a scrape, a Pushgateway and a file."""

from __future__ import annotations

import errno
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.ledger import APPLIED, FAILED, STOPPED
from chunkmigrate.metrics import Metrics
from chunkmigrate.outcome import ALREADY
from chunkmigrate.sizing import MIB
from tests.faults.webserver import web_server
from tests.unit.hearing import outcome, progress
from tests.unit.scraped import key, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def served(port: int = 0) -> Iterator[Metrics]:
    """Metrics with a server, which is closed afterwards."""
    metrics = Metrics(port=port, warn=pytest.fail)
    assert metrics.server
    try:
        yield metrics
    finally:
        metrics.server.shutdown()
        metrics.server.server_close()


def test_served() -> None:
    """A scrape gets the numbers as they stand, and any path will do."""
    with served() as metrics, metrics.of_a_run("shop", 40 * MIB) as tally:
        tally.begin("cents", 128 * MIB, "--memory 128Mi")
        tally.show(progress(1))
        with closing(urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=30)) as answer:
            first = parsed(answer.read().decode())
        tally.show(progress(2))
        with closing(urlopen(f"http://127.0.0.1:{metrics.port}/", timeout=30)) as answer:
            second = parsed(answer.read().decode())

    assert (first[key("documents_read_total")], second[key("documents_read_total")]) == (100, 200)


def test_port_in_use() -> None:
    """A port that is taken is refused with a sentence before anything begins."""
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 - the interfaces metrics are served on
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSettingError) as caught:
            Metrics(port=port, warn=pytest.fail)

    assert str(caught.value) == (
        f"Metrics cannot be served on port {port}: Address already in use. Nothing was touched."
    )
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EADDRINUSE


def ended_run(metrics: Metrics, status: str = APPLIED, reason: str = "", migration: str = "cents") -> None:
    with metrics.of_a_run("shop", 40 * MIB) as tally:
        tally.begin(migration, 128 * MIB, "--memory 128Mi")
        tally.show(progress(1))
        tally.end(outcome(status, reason))


@pytest.mark.parametrize("status", [APPLIED, FAILED, STOPPED])
def test_pushed(status: str) -> None:
    """However a run ends, its numbers are put onto the Pushgateway, in a group of its own."""
    warned: list[str] = []
    with web_server(500, 202) as server:
        metrics = Metrics(push=server.url + "/prefix/", warn=warned.append)
        ended_run(metrics, status)
        ended_run(metrics, status, migration="names")
        _, asked, other = server.asked

    assert asked.method == "PUT"
    assert asked.path == "/prefix/metrics/job/chunkmigrate/database/shop/migration/cents"
    assert parsed(asked.body.decode())[key("run_status", status=status)] == 1
    assert other.path.endswith("/migration/names")
    assert b"cents" not in other.body
    assert warned == []


def test_not_pushed() -> None:
    """Where the gateway cannot be reached that is a warning without its secrets, and the run's end stays."""
    warned: list[str] = []
    with web_server(401) as server:
        ended_run(Metrics(push=server.url.replace("://", "://u:hush@"), warn=warned.append))

        assert warned == [
            f"The metrics could not be pushed: {server.url} did not take it: it answered 401 Unauthorized."
        ]


def test_nothing_to_tell(tmp_path: Path) -> None:
    """A run that found its work done overwrites nothing, nor does one that never got so far as to end."""
    with web_server() as server:
        metrics = Metrics(push=server.url, file=tmp_path / "m.prom", warn=pytest.fail)
        ended_run(metrics, APPLIED, ALREADY)
        with metrics.of_a_run("shop", 0) as tally:
            tally.begin("cents", 1, "x")

        assert server.asked == []
    assert [*tmp_path.iterdir()] == []


def test_file(tmp_path: Path) -> None:
    """The file holds all runs of the command, is replaced as a whole, and nothing is left beside it."""
    path = tmp_path / "chunkmigrate.prom"
    path.write_text("what was there before")
    metrics = Metrics(file=path, warn=pytest.fail)
    with path.open() as reader:
        ended_run(metrics)
        ended_run(metrics, migration="names")

        assert reader.read() == "what was there before"
    found = parsed(path.read_text())

    assert found[key("run_status", status=APPLIED)] == 1
    assert found[key("run_status", status=APPLIED, migration="names")] == 1
    assert [*tmp_path.iterdir()] == [path]


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A file that cannot be written is a warning that names it, and the push is done all the same."""
    warned: list[str] = []
    with web_server() as server:
        ended_run(Metrics(file=tmp_path / "no" / "m.prom", push=server.url, warn=warned.append))

        assert len(server.asked) == 1
    assert warned == [f"The metrics could not be written to {tmp_path}/no/m.prom: No such file or directory."]
