from __future__ import annotations

import json
import math
import socket
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from chunkmigrate import control
from chunkmigrate.sizing import Zone
from tests.acceptance.conftest import INCREMENT, CommandLine, last_line
from tests.faults.webserver import web_server
from tests.unit.scraped import parsed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.database import Database

NAME = "20260101000000_add_one"
DOCUMENTS = 6_000

# It goes on once there is a file, so that a test can look at it in the middle.
WAITING = '''"""Add one to every n."""

import time
from pathlib import Path

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), add_one)


def add_one(document):
    while document["_id"] == 4_500 and not Path("go").exists():
        time.sleep(0.01)
    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})
'''
SLOW = (
    WAITING.replace("while document", "if document").replace("== 4_500", ">= 3_000").replace("0.01", "0.02")
)
THROTTLED = INCREMENT.replace("\n\nfrom", "\n\nfrom pathlib import Path\n\nfrom", 1).replace(
    "add_one)", "add_one, throttle=lambda: not Path('go').exists())"
)
AT_FAULT = (10, 20, 30)
FAULTY = INCREMENT.replace("add_one)", "add_one, on_error='quarantine')").replace(
    "    return UpdateOne", f"    assert document['_id'] not in {AT_FAULT}\n    return UpdateOne"
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def documents(db: Database[Any]) -> Database[Any]:
    db.c.insert_many({"_id": number} for number in range(DOCUMENTS))
    return db


class Scraped:
    """What a scrape of a database's migration says, by name."""

    def __init__(self, samples: Samples, database: str) -> None:
        self.samples, self.labels = samples, {"migration": NAME, "database": database}

    def __call__(self, name: str, **labels: str) -> float:
        """The value of a sample, or what is equal to nothing where there is none yet."""
        return self.samples.get((f"chunkmigrate_{name}", frozenset((self.labels | labels).items())), math.nan)


@contextmanager
def running(cli: CommandLine, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run with metrics on a port of its own, and that port."""
    process = cli.start("run", "add_one", "--metrics-port", "0", *options)
    assert process.stdout
    line = json.loads(process.stdout.readline())
    assert line["event"] == "metrics"
    try:
        yield process, line["port"]
    finally:
        process.kill()
        process.communicate()


def scraped(port: int, database: str, condition: Callable[[Scraped], bool]) -> Scraped:
    """Scrape until the condition holds; what was there then."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with closing(urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30)) as answer:
            found = Scraped(parsed(answer.read().decode()), database)
        if condition(found):
            return found
        time.sleep(0.02)
    pytest.fail("it never came true")


def test_scraped_while_it_runs(cli: CommandLine, documents: Database[Any]) -> None:
    """A run can be scraped while it goes, and shows what it has done, in which memory, where it stands."""
    cli.write(WAITING)
    with running(cli, "--memory", "96Mi") as (process, port):
        found = scraped(port, documents.name, lambda now: now("documents_read_total") >= 1_000)

        assert found("documents_read_total") == found("documents_written_total") < 4_500
        assert found("writes_total") == found("documents_read_total")
        assert found("chunks_total") == found("chunk_commit_seconds_count") >= 1
        assert found("memory_budget_bytes") == 96 * 1024 * 1024
        assert 0 < found("memory_start_bytes") <= found("memory_peak_bytes") < found("memory_budget_bytes")
        assert found("run_status", status="running") == 1
        assert (found("step"), found("steps")) == (1, 1)
        assert found("documents_quarantined_total") == found("pauses_total", signal="rate") == 0

        (cli.folder / "go").touch()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert last_line(out)["event"] == "applied"
    assert documents.c.count_documents({"n": 1}) == DOCUMENTS


def test_scraped_while_throttled(cli: CommandLine, documents: Database[Any]) -> None:
    """A run that pauses can be scraped, and its pause grows while it lasts."""
    cli.write(THROTTLED)
    with running(cli) as (process, port):
        pause = {"signal": "predicate"}
        first = scraped(port, documents.name, lambda now: now("paused_seconds_total", **pause) > 0)
        before = first("paused_seconds_total", **pause)
        scraped(port, documents.name, lambda now: now("paused_seconds_total", **pause) > before)

        assert first("pauses_total", **pause) == 1
        assert first("documents_read_total") == 0

        (cli.folder / "go").touch()
        process.communicate(timeout=60)

    assert process.returncode == 0


def test_scraped_while_paused(cli: CommandLine, documents: Database[Any]) -> None:
    """A run that an operator has paused can be scraped, and says so."""
    cli.write(SLOW)
    with running(cli) as (process, port):
        scraped(port, documents.name, lambda now: now("documents_read_total") >= 1_000)
        control.ask(documents, NAME, control.PAUSE, "ada")
        found = scraped(port, documents.name, lambda now: now("run_status", status="paused") == 1)
        scraped(port, documents.name, lambda now: now("paused_seconds_total", signal="operator") > 0)

        assert found("run_status", status="running") == 0
        assert found("pauses_total", signal="operator") == 1
        (cli.folder / "go").touch()
        control.clear(documents, NAME)
        process.communicate(timeout=60)

    assert process.returncode == 0
    assert documents.c.count_documents({"n": 1}) == DOCUMENTS


# A run that serves metrics takes some 42 MiB: in 54 its chunks may not grow, in 512 they may.
@pytest.mark.parametrize("memory", ["54Mi", "512Mi"])
def test_troubles(cli: CommandLine, documents: Database[Any], memory: str) -> None:
    """What was set aside and what had to be tried again is counted; one zone is 1, that of the last line."""
    cli.write(FAULTY)
    with documents.client.start_session() as somebody, somebody.start_transaction():
        documents.c.update_one({"_id": 4_500}, {"$set": {"edited": True}}, session=somebody)
        with running(cli, "--memory", memory, "--metrics-file", "end.prom") as (process, port):
            scraped(port, documents.name, lambda now: now("retries_total") > 0)
            somebody.abort_transaction()
            out, err = process.communicate(timeout=60)
    found = Scraped(parsed((cli.folder / "end.prom").read_text()), documents.name)
    zone = [line["zone"] for line in map(json.loads, out.splitlines()) if line["event"] == "progress"][-1]

    assert process.returncode == 0, err
    assert found("documents_quarantined_total") == len(AT_FAULT)
    assert found("documents_read_total") == DOCUMENTS
    assert found("retries_total") > 0
    assert {str(one): found("zone", zone=one) for one in Zone} == {
        str(one): float(one == zone) for one in Zone
    }
    assert documents.c.count_documents({"n": 1}) == DOCUMENTS - len(AT_FAULT)


def test_port_in_use(cli: CommandLine, documents: Database[Any]) -> None:
    """A port that is taken ends the command with exit 2 and a sentence, before anything is touched."""
    cli.write(INCREMENT)
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 - the interfaces metrics are served on
        port = taken.getsockname()[1]
        done = cli("run", "add_one", CHUNKMIGRATE_METRICS_PORT=str(port))

    assert done.returncode == 2
    assert done.stderr == (
        f"Error: Metrics cannot be served on port {port}: Address already in use. Nothing was touched.\n"
    )
    assert documents.list_collection_names() == ["c"]


@pytest.mark.parametrize(
    "option",
    [("--metrics-port", "0"), ("--metrics-push", "http://127.0.0.1:1"), ("--metrics-file", "x.prom")],
)
def test_without_the_extra(
    cli: CommandLine, documents: Database[Any], tmp_path: Path, option: tuple[str, str]
) -> None:
    """Without the library metrics need, the command ends with exit 2, says so, and touches nothing."""
    cli.write(INCREMENT)
    missing = tmp_path / "missing" / "prometheus_client"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ModuleNotFoundError(name='prometheus_client')\n")
    done = cli("run", "add_one", *option, PYTHONPATH=str(missing.parent))

    assert done.returncode == 2
    assert done.stderr == (
        "Error: Metrics need prometheus-client, which is not installed: pip install 'chunkmigrate[metrics]'. "
        "Nothing was touched.\n"
    )
    assert documents.list_collection_names() == ["c"]
    assert cli("run", "add_one", PYTHONPATH=str(missing.parent)).returncode == 0


def test_passed_on(cli: CommandLine, documents: Database[Any]) -> None:
    """In the end the metrics are pushed and written to a file, whatever that end is."""
    cli.write(
        INCREMENT.replace("    return UpdateOne", "    1 / (document['_id'] - 3_000)\n    return UpdateOne")
    )
    with web_server(202) as server:
        options = ("--metrics-push", server.url, "--metrics-file", "chunkmigrate.prom")
        done = cli("run", "add_one", *options)
        (asked,) = server.asked
    pushed = Scraped(parsed(asked.body.decode()), documents.name)
    written = Scraped(parsed((cli.folder / "chunkmigrate.prom").read_text()), documents.name)

    assert done.returncode == 1
    assert asked.path == f"/metrics/job/chunkmigrate/database/{documents.name}/migration/{NAME}"
    assert pushed.samples == written.samples
    assert pushed("run_status", status="failed") == 1
    assert pushed("documents_read_total") == last_line(done.stdout)["read"] > 0
    assert pushed("memory_peak_bytes") == last_line(done.stdout)["peak"]
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("code", [500, 0], ids=["fails", "hangs"])
def test_not_passed_on(cli: CommandLine, documents: Database[Any], code: int) -> None:
    """A gateway that fails or hangs, a file that cannot be written, are warnings; the run is what it is."""
    cli.write(INCREMENT)
    with web_server(code) as server:
        secret = server.url.replace("://", "://ada:hush@")
        done = cli("run", "add_one", "--metrics-push", secret, "--metrics-file", "no/x.prom")

        assert done.returncode == 0
        assert last_line(done.stdout)["event"] == "applied"
        assert (
            "Warning: The metrics could not be written to no/x.prom: No such file or directory."
            in done.stderr
        )
        assert f"Warning: The metrics could not be pushed: {server.url} did not take it" in done.stderr
        assert "hush" not in done.stdout + done.stderr
        assert server.asked
    assert documents.c.count_documents({"n": 1}) == DOCUMENTS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--metrics-port", "70000"), "70000 is not a port"),
        (("--metrics-port", "x"), "'x' is not a valid int"),
        (("--metrics-push", "ftp://u:hush@host"), "it does not begin with http:// or https://"),
        (("http://u:hush@host/hush",), "unexpected extra argument"),
    ],
)
def test_wrong_settings(cli: CommandLine, options: tuple[str, ...], sentence: str) -> None:
    """What cannot be used gets a sentence and exit 2, and no secret of it is shown."""
    cli.write(INCREMENT)
    done = cli("run", "add_one", *options)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert "hush" not in done.stderr
    assert "Traceback" not in done.stderr


def test_all(cli: CommandLine, documents: Database[Any]) -> None:
    """Of several migrations each is pushed for itself, and all of them are in the file."""
    for name in ("1_first", "2_second"):
        cli.write(INCREMENT, name)
    with web_server(202) as server:
        done = cli("run", "--all", "--metrics-push", server.url, "--metrics-file", "all.prom")
        paths = [asked.path.rpartition("/")[2] for asked in server.asked]
    samples = parsed((cli.folder / "all.prom").read_text())

    assert done.returncode == 0, done.stderr
    assert paths == ["1_first", "2_second"]
    assert {dict(labels)["migration"] for _, labels in samples} == {"1_first", "2_second"}
    assert {dict(labels)["database"] for _, labels in samples} == {documents.name}
