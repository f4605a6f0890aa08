from __future__ import annotations

import json
import re
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import INCREMENT, CommandLine, last_line, started
from tests.faults.webserver import WebServer, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

NAME = "20260101000000_add_one"
SECRET = "services/T0/B0/hush"  # the path of a webhook is as good as a password
MAIL = "ada@example.com"
DOCUMENTS = 3_000
SLOW = INCREMENT.replace("def add_one(document):", "def add_one(document):\n    time.sleep(0.01)").replace(
    "\n\nfrom", "\n\nimport time\n\nfrom", 1
)
RAISES = INCREMENT.replace(", fields=[]", "").replace(
    "    return UpdateOne", "    raise ValueError(document)\n    #"
)


@pytest.fixture
def documents(db: Database[Any]) -> Database[Any]:
    db.c.insert_many({"_id": number, "mail": MAIL} for number in range(DOCUMENTS))
    return db


@pytest.fixture
def hook() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def address(hook: WebServer) -> str:
    return f"{hook.url}/{SECRET}"


def told(hook: WebServer) -> list[dict[str, Any]]:
    """The messages that arrived, each with what all of them have checked."""
    found = []
    for asked in hook.asked:
        assert (asked.method, asked.path) == ("POST", f"/{SECRET}")
        assert asked.headers["Content-Type"] == "application/json"
        message = json.loads(asked.body)
        assert message["version"] == version("chunkmigrate")
        assert message["host"]
        assert message["text"]
        found.append(message)
    return found


def test_applied(cli: CommandLine, documents: Database[Any], hook: WebServer) -> None:
    """A run that is applied is told once, with the sentence and the numbers of its last line."""
    cli.write(INCREMENT)
    done = cli("run", "add_one", "--notify", address(hook), CHUNKMIGRATE_POD="migrate-x7k2p")
    line, (message,) = last_line(done.stdout), told(hook)

    assert done.returncode == 0
    assert (message["event"], message["status"], message["exit_code"]) == ("applied", "applied", 0)
    assert (message["migration"], message["database"]) == (NAME, documents.name)
    assert message["pod"] == "migrate-x7k2p"
    assert message["message"] == line["message"]
    assert {name: message[name] for name in line.keys() - {"at", "event", "message"}} == {
        name: value for name, value in line.items() if name not in ("at", "event", "message")
    }
    assert SECRET not in done.stdout + done.stderr


def test_failed(cli: CommandLine, documents: Database[Any], hook: WebServer) -> None:
    """A failure is told with its sentence and where the run stands, and quotes no document."""
    cli.write(RAISES)
    done = cli("run", "add_one", CHUNKMIGRATE_NOTIFY=address(hook))
    (message,) = told(hook)

    assert done.returncode == message["exit_code"] == 1
    assert (message["event"], message["status"]) == ("failed", "failed")
    assert message["message"].startswith(last_line(done.stdout)["message"])
    assert "add_one raised ValueError. It was given document _id 0." in message["message"]
    assert f"It was raised in migrations/{NAME}.py, line 11." in message["message"]
    assert MAIL not in str(message)
    assert documents.c.count_documents({"n": 1}) == 0


def test_values(cli: CommandLine, documents: Database[Any], hook: WebServer) -> None:
    """With `--show-values` the exception's text is told, too."""
    cli.write(RAISES)
    cli("run", "add_one", "--show-values", "--notify", address(hook))
    (message,) = told(hook)

    assert MAIL in message["message"]


def test_stopped(cli: CommandLine, documents: Database[Any], hook: WebServer) -> None:
    """A run that was asked to stop tells where it stands, and that it is to be run again."""
    cli.write(SLOW)
    process = cli.start("run", "add_one", "--notify", address(hook))
    started(process)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    (message,) = told(hook)

    assert process.returncode == message["exit_code"] == 75
    assert (message["event"], message["status"]) == ("stopped", "stopped")
    assert message["message"] == last_line(out)["message"]


def test_cancelled_and_held(cli: CommandLine, documents: Database[Any], hook: WebServer) -> None:
    """A run that is cancelled says so, and so does one that is refused, for that or for another run."""
    cli.write(SLOW)
    first = cli.start("run", "add_one", "--notify", address(hook))
    while not documents.chunkmigrate_leases.find_one({"_id": NAME, "released": False}):
        assert first.poll() is None
    held = cli("run", "add_one", "--notify", address(hook))
    cli("cancel", "add_one")
    first.communicate(timeout=60)
    refused = cli("run", "add_one", "--notify", address(hook))
    messages = told(hook)

    assert (held.returncode, first.returncode, refused.returncode) == (5, 1, 2)
    assert [(message["event"], message["status"], message["exit_code"]) for message in messages] == [
        ("lease_held", None, 5),
        ("cancelled", "cancelled", 1),
        ("cancelled", None, 2),
    ]
    assert f"{NAME} is being run by" in messages[0]["message"]
    assert "was cancelled by" in messages[2]["message"]
    assert {message["migration"] for message in messages} == {NAME}


NOWHERE = "mongodb://u:hush@127.0.0.1:1/x?serverSelectionTimeoutMS=300"


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("broken", "--only"), 2, "cannot be imported: ModuleNotFoundError"),
        (("nope",), 2, "There is no migration nope"),
        (("add_one", "--uri", NOWHERE), 1, "No MongoDB server answered"),
        (("add_one", "--memory", "32Mi"), 2, "The budget is 32 MiB"),
        (("add_one", "--dir", "nowhere"), 2, "There is no folder nowhere"),
        (("add_one", "--wait", "5"), 2, "--wait: 5 is not a duration"),
        (("--only",), 2, "--only is about one migration"),
    ],
    ids=["no module", "no migration", "no server", "no memory", "no folder", "no duration", "no name"],
)
def test_failed_early(
    cli: CommandLine, hook: WebServer, options: tuple[str, ...], code: int, sentence: str
) -> None:
    """A command that fails before it has read a document tells why, with its exit code."""
    cli.write(INCREMENT)
    cli.write("import nowhere\n", "2_broken")
    done = cli("run", *options, "--notify", address(hook))
    (message,) = told(hook)

    assert done.returncode == message["exit_code"] == code
    assert message["event"] == "failed"
    assert sentence in message["message"]
    assert sentence in done.stderr
    assert "hush" not in str(message) + done.stdout + done.stderr


def test_applied_already(cli: CommandLine, documents: Database[Any], hook: WebServer) -> None:
    """Asked to run what is applied, a command tells that; of all migrations, those it has applied itself."""
    cli.write(INCREMENT)
    cli("run", "add_one")
    again = cli("run", "add_one", "--notify", address(hook))
    (message,) = told(hook)

    assert (message["event"], message["exit_code"]) == ("already_applied", 0)
    assert message["message"] == again.stdout.strip()

    cli.write(INCREMENT, "3_second")
    cli.write("def upgrade(db):\n    raise RuntimeError\n", "4_third")
    done = cli("run", "--all", "--notify", address(hook))

    assert done.returncode == 1
    assert [(one["event"], one["migration"], one["exit_code"]) for one in told(hook)[1:]] == [
        ("applied", "3_second", 0),
        ("failed", "4_third", 1),
    ]


@pytest.mark.parametrize("code", [500, 404, 302, 0], ids=["fails", "is not there", "redirects", "hangs"])
def test_not_told(cli: CommandLine, documents: Database[Any], code: int) -> None:
    """A webhook that cannot be told is a warning, without its path, in bounded time, and nothing else."""
    cli.write(INCREMENT)
    with web_server() as other, web_server(code, location=f"{other.url}/{SECRET}") as hook:
        began = time.monotonic()
        done = cli("run", "add_one", "--notify", address(hook))

        assert done.returncode == 0
        assert last_line(done.stdout)["event"] == "applied"
        assert done.stderr.startswith(f"Warning: The webhook was not told: {hook.url} did not take it")
        assert "hush" not in done.stdout + done.stderr
        assert hook.asked
        assert not other.asked
        assert time.monotonic() - began < 55  # the webhook that hangs does so for a minute
    assert documents.c.count_documents({"n": 1}) == DOCUMENTS


def test_told_in_the_end(cli: CommandLine, documents: Database[Any]) -> None:
    """A webhook that fails in passing is told all the same, once."""
    cli.write(INCREMENT)
    with web_server(503, 503, 200) as hook:
        done = cli("run", "add_one", "--notify", address(hook))

        assert len(told(hook)) == 3
        assert len({asked.body for asked in hook.asked}) == 1
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_address(cli: CommandLine, documents: Database[Any]) -> None:
    """What is no address is refused with exit 2, before anything is touched, and is not shown."""
    cli.write(INCREMENT)
    done = cli("run", "add_one", "--notify", f"hooks.example.com/{SECRET}")

    assert done.returncode == 2
    assert re.search(
        "The notify setting is not an address to send to: it does not begin with http", done.stderr
    )
    assert "hush" not in done.stderr
    assert documents.list_collection_names() == ["c"]
