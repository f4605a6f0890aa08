"""What an operator does from another terminal: who may run, pause, resume, cancel, unlock, quarantine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from chunkmigrate import lease_record
from chunkmigrate.holder import Holder
from tests.acceptance.conftest import INCREMENT, CommandLine, answered, last_line, started
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

NAME = "20260101000000_add_one"
DOCUMENTS = 4_000

# Some ten seconds, in chunks: time to do something to it. It hurries once it need not be watched any more.
SLOWLY = """def add_one(document):
    if os.path.exists("slow"):
        time.sleep(0.005)
"""
SLOW = INCREMENT.replace("def add_one(document):\n", SLOWLY).replace(
    "\n\nfrom", "\n\nimport os\nimport time\n\nfrom", 1
)


@pytest.fixture
def slow(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A migration that takes its time, until it is told to `hurry`."""
    cli.write(SLOW)
    (cli.folder / "slow").touch()
    db.c.insert_many({"_id": n} for n in range(DOCUMENTS))
    return cli


def hurry(cli: CommandLine) -> None:
    (cli.folder / "slow").unlink()


@contextmanager
def running(cli: CommandLine, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun; whatever happens, it does not outlive the test."""
    process = cli.start("run", "add_one", *options)
    try:
        started(process)
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.05)


def read(db: Database[Any]) -> int:
    return db.c.count_documents({"n": {"$exists": True}})


def lease(db: Database[Any]) -> dict[str, Any]:
    found = db.chunkmigrate_leases.find_one({"_id": NAME})
    return found or {}


def test_second_run(slow: CommandLine, db: Database[Any]) -> None:
    """A second run beside a living one ends at once with exit 5, says who runs, and changes nothing."""
    with running(slow) as first:
        eventually(lambda: lease(db).get("released") is False)
        began = time.monotonic()
        second = slow("run", "add_one")

        assert second.returncode == 5
        assert time.monotonic() - began < 10
        assert re.search(
            rf"Error: {NAME} is being run by host .* \(pid {first.pid}\) since \d\d:\d\d:\d\d UTC, last "
            r"renewed \d+ s ago\. Wait for it with --wait 5m, stop it with `chunkmigrate cancel",
            second.stderr,
        )
        assert first.poll() is None


def test_second_run_waits(slow: CommandLine, db: Database[Any]) -> None:
    """A second run told to wait says so, goes on when the first one stops, and everything happens once."""
    with running(slow) as first:
        eventually(lambda: read(db) > 0)
        second = slow.start("run", "add_one", "--wait", "2m")
        assert second.stdout
        for line in second.stdout:
            if '"waiting"' in line:
                break
        first.terminate()

        assert ended(first)[0] == 75
        hurry(slow)
        code, out, err = ended(second)

    assert code == 0, err
    assert "is being run by" in line
    assert 0 < last_line(out)["read"] < DOCUMENTS
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_stopped_while_waiting(slow: CommandLine, db: Database[Any]) -> None:
    """A run that waits for another obeys SIGTERM at once, with exit 75, and leaves the other alone."""
    with running(slow) as first:
        eventually(lambda: read(db) > 0)
        second = slow.start("run", "add_one", "--wait", "10m")
        assert second.stdout
        for line in second.stdout:
            if '"waiting"' in line:
                break
        second.terminate()
        code, _, err = ended(second)

        assert code == 75
        assert err.startswith(f"Stopped while waiting. {NAME} is being run by")
        assert first.poll() is None


def test_stopped_while_waiting_in_vain(slow: CommandLine, db: Database[Any]) -> None:
    """A run that waits for another, and loses the server meanwhile, obeys SIGTERM with exit 75, too."""
    address = db.client.address
    assert address is not None
    with running(slow), Proxy(address[1]) as proxy:
        eventually(lambda: read(db) > 0)
        second = slow.start("run", "add_one", "--wait", "10m", MONGODB_URI=proxy.uri(slow.uri))
        assert second.stdout
        for line in second.stdout:
            if '"waiting"' in line:
                break
        with proxy.refusing():
            second.terminate()
            code, _, err = ended(second)

    assert code == 75, err
    assert err.startswith("Stopped while waiting. ")


def test_waits_until_applied(slow: CommandLine, db: Database[Any]) -> None:
    """A second run that waited for one that finished finds the work done, and does nothing again."""
    slow.write("def upgrade(db):\n    import time\n    time.sleep(2)\n    db.log.insert_one({})\n")
    with running(slow) as first:
        eventually(lambda: lease(db).get("released") is False)
        second = slow("run", "add_one", "--wait", "2m")

        assert ended(first)[0] == 0
    assert second.returncode == 0, second.stderr
    assert db.log.count_documents({}) == 1


def test_wait_misspelled(slow: CommandLine) -> None:
    """A duration that is none gets a sentence and exit 2."""
    done = slow("run", "add_one", "--wait", "5 minutes")

    assert done.returncode == 2
    assert done.stderr == "Error: --wait: '5 minutes' is not a duration; write 5m\n"


def test_killed_run(slow: CommandLine, db: Database[Any]) -> None:
    """The run after one that was killed on this machine starts at once: it waits for no lease."""
    with running(slow) as first:
        eventually(lambda: read(db) > 0)
        first.kill()
        first.wait()
        began = time.monotonic()
        with running(slow):
            before = read(db)
            eventually(lambda: read(db) > before)

            assert time.monotonic() - began < 15


def test_pause_and_resume(slow: CommandLine, db: Database[Any]) -> None:
    """A paused run stands still without a lease, its process waiting, and goes on by itself when resumed."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        paused = slow("pause", "add_one")
        stands = read(db)

        assert paused.returncode == 0, paused.stderr
        assert "waiting for the end of its chunk" in paused.stdout
        said = paused.stdout.splitlines()[-1]
        assert re.fullmatch(
            rf"{NAME} is paused behind _id \d+ \([\d,]+ documents read\); go on with "
            rf"`chunkmigrate resume {NAME}`\.",
            said,
        )
        assert f"({stands:,} documents read)" in said
        assert lease(db)["released"] is True
        assert run.poll() is None
        assert slow("status").stdout.startswith("paused ")
        started_with = db.chunkmigrate_runs.find_one()["start"]
        assert psutil.Process(run.pid).memory_info().rss < started_with + 8 * 1024 * 1024

        time.sleep(2)  # nothing to wait for: that nothing happens is the promise

        assert read(db) == stands < DOCUMENTS

        hurry(slow)
        resumed = slow("resume", "add_one")

        assert resumed.returncode == 0, resumed.stderr
        assert f"{NAME} may go on behind _id" in resumed.stdout
        code, out, err = ended(run)

    assert code == 0, err
    assert last_line(out)["read"] == DOCUMENTS
    assert [json.loads(line)["event"] for line in out.splitlines()].count("paused") == 1
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_stopped_while_paused(slow: CommandLine, db: Database[Any]) -> None:
    """A paused run obeys SIGTERM at once, and can be resumed by another process."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        slow("pause", "add_one")
        run.terminate()
        code, out, _ = ended(run)

        assert code == 75
        assert last_line(out)["event"] == "stopped"
    hurry(slow)
    slow("resume", "add_one")

    assert slow("run", "add_one").returncode == 0
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_pause_before_the_start(slow: CommandLine, db: Database[Any]) -> None:
    """A migration can be paused before it is started: the run waits until it is resumed."""
    paused = slow("pause", "add_one")

    assert paused.returncode == 0
    assert "Nobody runs" in paused.stdout
    assert "the next run waits" in paused.stdout

    process = slow.start("run", "add_one")
    assert process.stdout
    for line in process.stdout:
        if '"paused"' in line:
            break
    assert read(db) == 0

    hurry(slow)
    slow("resume", "add_one")

    assert ended(process)[0] == 0
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_cancel(slow: CommandLine, db: Database[Any]) -> None:
    """A cancelled run ends with exit 1 at its next chunk; new ones are refused with exit 2 until `resume`."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        cancelled = slow("cancel", "add_one")
        code, out, _ = ended(run)

    assert cancelled.returncode == 0, cancelled.stderr
    assert re.search(r"is cancelled behind _id \d+ \([\d,]+ documents read\)", cancelled.stdout)
    assert code == 1
    assert last_line(out)["event"] == "cancelled"
    assert slow("status").stdout.startswith("cancelled")

    stands, refused = read(db), slow("run", "add_one")

    assert refused.returncode == 2
    assert re.search(rf"{NAME} was cancelled by .+; what is committed is safe", refused.stderr)
    assert f"`chunkmigrate resume {NAME}`" in refused.stderr
    assert read(db) == stands < DOCUMENTS

    hurry(slow)

    assert "may go on behind _id" in slow("resume", "add_one").stdout
    assert slow("run", "add_one").returncode == 0
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_cancel_while_paused(slow: CommandLine, db: Database[Any]) -> None:
    """A paused run can be cancelled: it ends."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        slow("pause", "add_one")
        slow("cancel", "add_one")

        assert ended(run)[0] == 1
    assert slow("run", "add_one").returncode == 2


def test_nothing_to_do(cli: CommandLine, db: Database[Any]) -> None:
    """Asked of a migration that is applied, or was never paused or run, each verb says so and succeeds."""
    cli.write(INCREMENT)
    db.c.insert_one({"_id": 1})

    assert cli("resume", "add_one").stdout == f"{NAME} is neither paused nor cancelled.\n"
    assert cli("unlock", "add_one").stdout.startswith(f"Nobody holds the lease of {NAME}")
    cli("run", "add_one")
    for verb in ("pause", "cancel"):
        asked = cli(verb, "add_one")

        assert asked.returncode == 0
        assert asked.stdout == f"{NAME} is applied already; there is nothing to {verb}.\n"
    assert lease(db)["asked"] is None
    assert cli("unlock", "add_one").stdout.startswith(f"Nobody holds the lease of {NAME}")


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "unlock"])
def test_unknown_name(cli: CommandLine, db: Database[Any], verb: str) -> None:
    """A name that nothing has gets exit 2, and leaves no record."""
    cli.write(INCREMENT)
    done = cli(verb, "nope")

    assert done.returncode == 2
    assert "There is no migration nope" in done.stderr
    assert db.list_collection_names() == []


def test_without_the_file(slow: CommandLine, db: Database[Any]) -> None:
    """The verbs work where the migration's file is not, by its full name."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        for path in (slow.folder / "migrations").iterdir():
            if path.is_file():
                path.unlink()
        by_part, by_name = slow("cancel", "add_one"), slow("cancel", NAME, "--dir", "nowhere")

        assert (by_part.returncode, by_name.returncode) == (2, 0)
        assert ended(run)[0] == 1


def test_unlock(slow: CommandLine, db: Database[Any]) -> None:
    """`unlock` takes the lease of a frozen run, which writes nothing more and ends with exit 5."""
    with running(slow) as first:
        eventually(lambda: read(db) > 0)
        first.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
        generation = lease(db)["generation"]
        taken = slow("unlock", "add_one", "--yes")

        assert taken.returncode == 0, taken.stderr
        assert re.search(
            rf"is being run by host .* \(pid {first.pid}\) since .*, last renewed \d+ s ago", taken.stdout
        )
        assert "Warning" not in taken.stdout
        assert f"(generation {generation + 1})" in taken.stdout

        hurry(slow)
        second = slow("run", "add_one")

        assert second.returncode == 0, second.stderr
        assert db.c.count_documents({"n": 1}) == DOCUMENTS

        first.send_signal(signal.SIGCONT)
        code, _, err = ended(first)

    assert code == 5, err
    assert "taken over" in err
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_unlock_a_living_run(slow: CommandLine, db: Database[Any]) -> None:
    """`unlock` warns where the process is alive; that run then ends with exit 5, and nothing is lost."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        taken = slow("unlock", "add_one", "--yes")
        since = time.monotonic()
        code, _, err = ended(run)

    assert time.monotonic() - since < 10
    assert "Warning: that process is alive on this machine" in taken.stdout
    assert code == 5, err
    hurry(slow)
    assert slow("run", "add_one").returncode == 0
    assert db.c.count_documents({"n": 1}) == DOCUMENTS


def test_unlock_what_has_run_out(cli: CommandLine, db: Database[Any]) -> None:
    """A lease that has run out and was not given back, as that of a frozen run, is taken away as well."""
    cli.write(INCREMENT)
    leases = lease_record.collection_of(db)
    lease_record.present(db, NAME)
    lease_record.claim(leases, NAME, Holder(token="t", pod="frozen", boot="elsewhere", pid=7), 0.05)
    eventually(lambda: not lease_record.present(db, NAME).held)
    taken = cli("unlock", "add_one", "--yes")

    assert taken.returncode == 0, taken.stderr
    assert "is being run by pod frozen (pid 7) since" in taken.stdout
    assert "That lease has run out, and was not given back." in taken.stdout
    assert "The lease was taken away (generation 2)." in taken.stdout
    assert lease_record.renew(leases, NAME, "t", 30) is None


def test_unlock_asks(slow: CommandLine, db: Database[Any]) -> None:
    """`unlock` asks first, does nothing without a yes, and in a script needs --yes."""
    with running(slow) as run:
        eventually(lambda: read(db) > 0)
        generation = lease(db)["generation"]
        script = subprocess.run(
            [sys.executable, "-m", "chunkmigrate", "unlock", "add_one"],
            cwd=slow.folder,
            env=os.environ | {"MONGODB_URI": slow.uri},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        refused = answered(slow, "n", "unlock", "add_one")

        assert script.returncode == 2
        assert f"use `unlock {NAME} --yes`" in script.stderr
        assert "Take its lease away? [y/N]" in refused
        assert "Nothing was changed." in refused
        assert lease(db)["generation"] == generation
        assert run.poll() is None

        assert "The lease was taken away" in answered(slow, "y", "unlock", "add_one")
        assert ended(run)[0] == 5


POISON = INCREMENT.replace("add_one)", 'add_one, on_error="quarantine")').replace("[]", '["bad"]')
POISON = POISON.replace("    return Up", '    assert not document["bad"], "it is bad"\n    return Up')


def test_mostly_failing(cli: CommandLine, db: Database[Any]) -> None:
    """A run that mostly fails is ended before it has put everything in quarantine, and that can be mended."""
    cli.write(POISON.replace('"quarantine"', '"quarantine", quarantine_limit=100_000'))
    db.c.insert_many({"_id": n, "bad": n % 3 > 0} for n in range(9_000))
    first = cli("run", "add_one", "--memory", "512Mi")

    assert first.returncode == 1
    assert re.search(r"[\d,]+ of the [\d,]+ documents of this run failed and are in quarantine", first.stderr)
    kept = db.chunkmigrate_quarantine.count_documents({})
    assert 500 < kept < 6_000
    assert db.c.count_documents({"n": 1}) < 3_000

    db.c.update_many({}, {"$set": {"bad": False}})

    assert cli("quarantine", "retry", "add_one").returncode == 0
    assert cli("run", "add_one", "--memory", "512Mi").returncode == 0
    assert db.c.count_documents({"n": 1}) == 9_000


def test_quarantine(cli: CommandLine, db: Database[Any]) -> None:
    """`quarantine list` shows what was set aside and why, `retry` migrates it once it is repaired."""
    cli.write(POISON)
    db.c.insert_many({"_id": n, "bad": n in (3, 7)} for n in range(10))

    assert cli("quarantine", "list").stdout == "No document is in quarantine.\n"
    assert cli("run", "add_one").returncode == 0

    listed = ("quarantine", "list", "--show-values")
    shown, as_json = cli(*listed), cli(*listed, "add_one", "--json")
    rows = [json.loads(line) for line in as_json.stdout.splitlines()]

    assert re.findall(r"step 1  _id (\d)  transform: .*it is bad", shown.stdout) == ["3", "7"]
    assert [(row["document"], row["attempts"]) for row in rows] == [("3", 1), ("7", 1)]
    assert {row["migration"] for row in rows} == {NAME}

    db.c.update_one({"_id": 3}, {"$set": {"bad": False}})

    assert cli("quarantine", "retry", "add_one").returncode == 1
    assert re.search(r"_id 7  transform, 2 times: ", cli("quarantine", "list").stdout)

    db.c.update_one({"_id": 7}, {"$set": {"bad": False}})

    assert cli("quarantine", "retry", "add_one").returncode == 0
    assert cli("quarantine", "list").stdout == "No document is in quarantine.\n"
    assert db.c.count_documents({"n": 1}) == 10


def test_max_rate(cli: CommandLine, db: Database[Any]) -> None:
    """`--max-rate` holds: a run takes as long as its documents must take."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(1_500))
    done = cli("run", "add_one", "--max-rate", "500")

    assert done.returncode == 0, done.stderr
    assert last_line(done.stdout)["seconds"] >= 1.5
    assert cli("run", "add_one", "--max-rate", "0").returncode == 2


@pytest.mark.parametrize("command", ["run", "rollback"])
def test_stopped_before_a_server_answers(cli: CommandLine, command: str) -> None:
    """SIGTERM while no server answers is a stop before it had begun: exit 75, not a failure."""
    cli.write(INCREMENT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"mongodb://127.0.0.1:{silent.getsockname()[1]}/x?serverSelectionTimeoutMS=2000"
        process = cli.start(command, "add_one", MONGODB_URI=uri)
        with silent.accept()[0]:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)

    assert process.returncode == 75, err
    assert err.startswith("Stopped while waiting. No MongoDB server answered")
