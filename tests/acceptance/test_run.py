from __future__ import annotations

import os
import pty
import random
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
from pymongo import MongoClient

from tests.acceptance.conftest import INCREMENT, CommandLine, last_line, started

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

MIB = 1024 * 1024
SLOW = INCREMENT.replace("def add_one(document):", "def add_one(document):\n    sum(range(2_000))")


def test_sigkill_at_fifty_moments(cli: CommandLine, db: Database[Any]) -> None:
    """Killed with SIGKILL at 50 random moments and run again each time, an `$inc` applies exactly once."""
    cli.write(INCREMENT)
    random_, kills = random.Random(50), 0
    while kills < 50:
        for name in db.list_collection_names():
            db.drop_collection(name)
        db.c.insert_many({"_id": n} for n in range(30_000))
        while not finishes(cli, random_, kill=kills < 50):
            kills += 1

        assert db.c.count_documents({"n": 1}) == db.c.count_documents({}) == 30_000


def finishes(cli: CommandLine, random_: random.Random, *, kill: bool) -> bool:
    """Run once, killed a random moment after its start; whether it finished before that."""
    process = cli.start("run", "add_one", "--writers", str(random_.randint(1, 4)))
    assert process.stdout is not None
    if not any('"started"' in line for line in process.stdout):
        process.communicate()
        return process.returncode == 0  # the run before was killed when its work was done
    killer = threading.Timer(random_.uniform(0, 0.5), process.kill)
    if kill:
        killer.start()
    _, err = process.communicate()
    killer.cancel()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(cli: CommandLine, db: Database[Any], number: signal.Signals) -> None:
    """SIGTERM and SIGINT finish the chunk and exit 75; running again does the rest, once."""
    cli.write(SLOW)
    db.c.insert_many({"_id": n} for n in range(30_000))
    process = cli.start("run", "add_one")
    started(process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    line = last_line(out)

    assert process.returncode == 75
    assert line["event"] == "stopped"
    assert 0 <= line["read"] < 30_000
    assert db.c.count_documents({"n": 1}) == line["read"]
    assert "run again to" in line["message"]

    again = cli("run", "add_one")

    assert again.returncode == 0
    assert last_line(again.stdout)["read"] == 30_000 - line["read"]
    assert db.c.count_documents({"n": 1}) == 30_000


STUCK = """
    if document["_id"] == 2_500 and not os.path.exists("waiting"):
        open("waiting", "w").close()
        time.sleep(600)
"""


def test_second_interrupt(cli: CommandLine, db: Database[Any]) -> None:
    """A second SIGINT ends the process at once, in the middle of a chunk, and nothing is lost."""
    stuck = INCREMENT.replace("def add_one(document):", f"def add_one(document):{STUCK}")
    cli.write(stuck.replace("\n\nfrom", "\n\nimport os\nimport time\n\nfrom", 1))
    db.c.insert_many({"_id": n} for n in range(6_000))
    process = cli.start("run", "add_one")
    wait_for(cli.folder / "waiting", process)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 75
    assert "Stopped at once" in err
    assert db.c.count_documents({"n": 1}) <= 2_000
    assert cli("run", "add_one").returncode == 0
    assert db.c.count_documents({"n": 1}) == 6_000


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None


def test_last_line_tells_everything(cli: CommandLine, db: Database[Any]) -> None:
    """The last line holds counts, peak against budget, time and where it stands, in words and as fields."""
    cli.write(
        INCREMENT.replace("    return UpdateOne", "    return document['_id'] % 4 and UpdateOne").replace(
            "})\n", "}) or None\n"
        )
    )
    db.c.insert_many({"_id": n} for n in range(1_000))
    done = cli("run", "add_one", "--memory", "64Mi")
    line = last_line(done.stdout)

    assert done.returncode == 0
    assert (line["read"], line["written"], line["skipped"]) == (1_000, 750, 250)
    assert line["budget"] == 64 * MIB
    assert line["start"] <= line["peak"] < 64 * MIB
    assert re.search(
        r"add_one applied: 1,000 documents read, 750 written, 250 skipped; "
        r"peak memory [\d.]+ MiB of 64 MiB; .*s; it is complete",
        line["message"],
    )


def test_starts_small(cli: CommandLine, db: Database[Any]) -> None:
    """A run starts with at most 42 MiB of RSS, and fits a budget of 64 MiB."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(3_000))

    assert last_line(cli("run", "add_one", "--memory", "64Mi").stdout)["start"] <= 42 * MIB


def test_applied_already(cli: CommandLine, db: Database[Any]) -> None:
    """A migration is applied once; asked again, the run says so, and that the file has changed if it has."""
    cli.write(INCREMENT)
    db.c.insert_one({"_id": 1})
    cli("run", "add_one")
    again = cli("run", "add_one")
    cli.write(INCREMENT + "\n# changed\n")
    formatted = cli("run", "add_one")
    cli.write(INCREMENT.replace("1}", "2}"))
    changed = cli("run", "add_one")

    assert (again.returncode, changed.returncode) == (0, 0)
    assert again.stdout.strip() == "20260101000000_add_one is applied already."
    assert formatted.stdout == again.stdout
    assert "changed since" in changed.stdout
    assert "their files mean something else since: 20260101000000_add_one." in changed.stderr
    assert db.c.find_one(1) == {"_id": 1, "n": 1}


def test_all_pending_in_order(cli: CommandLine, db: Database[Any]) -> None:
    """`run` applies what is pending, in order, and stops at the first failure: it says what was not begun."""
    cli.write("def upgrade(db):\n    db.log.insert_one({'_id': 1})\n", "1_first")
    cli.write(
        "def upgrade(db):\n    db.log.insert_one({'_id': 2, 'after': db.log.find_one()['_id']})\n", "2_second"
    )
    cli.write("def upgrade(db):\n    raise RuntimeError('no')\n", "3_third")
    cli.write("def upgrade(db):\n    db.log.insert_one({'_id': 4})\n", "4_fourth")
    cli.write("def upgrade(db):\n    pass\n", "5_fifth")
    done = cli("run")

    assert done.returncode == 1
    assert "Not begun: 4_fourth, 5_fifth.\n" in done.stderr
    assert "upgrade(db) of 3_third raised RuntimeError. It was raised in migrations/3_third.py, line 2." in (
        done.stderr
    )
    assert [d["_id"] for d in db.log.find()] == [1, 2]
    assert db.log.find_one(2) == {"_id": 2, "after": 1}


def test_steps_in_order(cli: CommandLine, db: Database[Any]) -> None:
    """A list of backfills is run one after the other, and resumed in the step that was stopped."""
    second = "[Backfill(scan(db.c, fields=[]), add_one), Backfill(scan(db.c), check)]"
    check = (
        "\n\ndef check(document):\n    assert document['n'] == 1\n"
        "    return UpdateOne({'_id': document['_id']}, {'$set': {'second': True}})\n"
    )
    cli.write(SLOW.replace("Backfill(scan(db.c, fields=[]), add_one)", second) + check)
    db.c.insert_many({"_id": n} for n in range(12_000))
    process = cli.start("run", "add_one")
    started(process)
    process.terminate()
    process.communicate(timeout=60)

    assert process.returncode == 75
    assert cli("run", "add_one").returncode == 0
    assert db.c.count_documents({"n": 1, "second": True}) == 12_000


def test_on_a_terminal(cli: CommandLine, db: Database[Any]) -> None:
    """On a terminal a run shows progress, and ends with the sentence."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(4_000))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chunkmigrate", "run", "add_one", "--memory", "96Mi"],
        cwd=cli.folder,
        env=os.environ | {"MONGODB_URI": cli.uri, "COLUMNS": "160", "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = everything(ours)

    assert process.wait() == 0
    assert "4000/4000" in shown
    for part in ("documents/s", "chunk", "of 96 MiB"):
        assert part in shown
    assert "it is complete." in shown.strip().splitlines()[-1]


def everything(terminal: int) -> str:
    shown = b""
    try:
        while part := os.read(terminal, 65_536):
            shown += part
    except OSError:  # Linux says so when the other end of a terminal is closed
        pass
    os.close(terminal)
    return shown.decode()


def test_standalone_server(tmp_path: Path, standalone_uri: str) -> None:
    """On a standalone server a run says once that a kill may repeat a chunk, and works."""
    cli = CommandLine(tmp_path, standalone_uri.replace("/?", "/alone?"))
    cli.write(INCREMENT)
    with MongoClient[Any](standalone_uri) as client:
        client.drop_database("alone")
        client.alone.c.insert_many({"_id": n} for n in range(5_000))
        done = cli("run", "add_one")

        assert done.returncode == 0
        assert done.stdout.count("may be migrated twice") == 1
        assert client.alone.c.count_documents({"n": 1}) == 5_000


def test_without_a_server_named(cli: CommandLine) -> None:
    """Without MONGODB_URI a developer's machine gets an embedded server, and is told so."""
    cli.write("def upgrade(db):\n    db.c.insert_one({'_id': 1})\n")
    done = cli("run", "add_one", MONGODB_URI="")
    shown = cli("status", MONGODB_URI="")

    assert (done.returncode, shown.returncode) == (0, 0)
    assert "using an embedded MongoDB in .chunkmigrate/mongod" in done.stderr
    assert "applied    20260101000000_add_one" in shown.stdout


@pytest.mark.parametrize("secret", ["s3cr:et", "p%40ss/word"])
def test_password_is_never_shown(cli: CommandLine, standalone_uri: str, secret: str) -> None:
    """Wrong credentials get a sentence, exit 2, and no password anywhere."""
    cli.write(INCREMENT)
    quoted = quote_plus(secret)
    named = standalone_uri.replace("://", f"://admin:{quoted}@").replace("/?", "/shop?")
    done = cli("run", "add_one", MONGODB_URI=named)

    assert done.returncode == 2
    assert "MongoDB refused access: Authentication failed" in done.stderr
    assert secret not in done.stdout + done.stderr
    assert quoted not in done.stdout + done.stderr


@dataclass(frozen=True)
class Wrong:
    """Something that cannot work, the exit code it deserves, and a part of its sentence."""

    what: str
    code: int
    sentence: str
    name: str = "add_one"
    uri: str = ""
    options: tuple[str, ...] = ()
    source: str = ""
    answer: str = "None"


NOWHERE = "mongodb://u:secret@127.0.0.1:1/x?serverSelectionTimeoutMS=300"
SHARED = "UpdateOne({'_id': document['_id']}, {'$set': {'unique': 1}})"
LARGE = "UpdateOne({'_id': document['_id']}, {'$set': {'a': 'x' * 17_000_000}})"
HINTED = """from chunkmigrate import Backfill, scan

def upgrade(db):
    return Backfill(scan(db.c, {"s": 1}, hint="s_1__id_1"), lambda _: None)
"""
EXAMPLE = ".*A migration looks like this:.*def upgrade"

WRONG = [
    Wrong("unreachable", 1, r"No MongoDB server answered at mongodb://u:\*\*\*@127.0.0.1:1", uri=NOWHERE),
    Wrong("no connection string", 2, "not a connection string", uri="http://localhost/x"),
    Wrong("no database", 2, "No database is named", uri="mongodb://127.0.0.1:1/"),
    Wrong("unknown migration", 2, "There is no migration nope. There is 2026.*_add_one.", name="nope"),
    Wrong("no import", 2, "ModuleNotFoundError.*install what it imports", source="import nowhere\n"),
    Wrong("syntax error", 2, "cannot be imported: SyntaxError.*Correct it", source="def upgrade(db:\n"),
    Wrong("no upgrade", 2, rf"has no function upgrade\(db\){EXAMPLE}", source="def up(db): ...\n"),
    Wrong("a dict", 2, rf"returned a dict{EXAMPLE}", source="def upgrade(db):\n    return {}\n"),
    Wrong(
        "upgrade exits", 1, "upgrade.*raised SystemExit", source="def upgrade(db):\n    raise SystemExit\n"
    ),
    Wrong("transform exits", 1, "add_one raised SystemExit.*_id 0", answer="exit()"),
    Wrong("no such database", 2, "'a b' cannot be a database's name", options=("--database", "a b")),
    Wrong("answers a dict", 1, "add_one returned a dict, which is no write.*_id 0", answer="{}"),
    Wrong(
        "no operators", 1, r"needs update operators such as \$set.*_id 0", answer="UpdateOne({}, {'a': 1})"
    ),
    Wrong(
        "memory misspelled", 2, "512Mb is not a memory quantity; write 512Mi", options=("--memory", "512Mb")
    ),
    Wrong("memory too small", 2, r"budget is 32 MiB \(--memory 32Mi\), but", options=("--memory", "32Mi")),
    Wrong("too many writers", 2, "5 is not a number of writers", options=("--writers", "5")),
    Wrong("duplicate key", 1, "refused the write for document _id .*duplicate key", answer=SHARED),
    Wrong("no such index", 2, "There is no index s_1__id_1 in .*, which has _id_, unique_1", source=HINTED),
    Wrong("over 16 MiB", 1, "_id 0 is too large: 16.2 MiB", answer=LARGE),
]


@pytest.mark.parametrize("wrong", WRONG, ids=[wrong.what for wrong in WRONG])
def test_one_clear_sentence(cli: CommandLine, db: Database[Any], wrong: Wrong) -> None:
    """What cannot work gets one clear sentence and the right exit code, and changes no document."""
    cli.write(wrong.source or re.sub(r"return UpdateOne\(.*", lambda _: f"return {wrong.answer}", INCREMENT))
    db.c.create_index("unique", unique=True, sparse=True)
    before = [{"_id": n} for n in range(50)]
    db.c.insert_many(before)
    done = cli("run", wrong.name, *wrong.options, MONGODB_URI=wrong.uri or cli.uri)

    assert done.returncode == wrong.code, done.stderr
    assert re.search(wrong.sentence, done.stderr, re.DOTALL), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "secret" not in done.stderr + done.stdout
    assert list(db.c.find()) == before


def test_refused_by_schema_validation(cli: CommandLine, db: Database[Any]) -> None:
    """A write refused by the collection's schema names the document; repaired, the run goes on from there."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(2_500))
    db.command("collMod", "c", validator={"$or": [{"_id": {"$ne": 2_100}}, {"n": {"$exists": False}}]})
    refused = cli("run", "add_one")
    db.command("collMod", "c", validator={})
    done = cli("run", "add_one")

    assert refused.returncode == 1
    assert "refused the write for document _id 2100" in refused.stderr
    assert "failed" in last_line(refused.stdout)["event"]
    assert done.returncode == 0
    assert db.c.count_documents({"n": 1}) == 2_500


def test_careless_connection_string(cli: CommandLine, db: Database[Any]) -> None:
    """A connection string that prefers secondaries and waits for no acknowledgement loses nothing."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(2_500))
    careless = f"{cli.uri}&readPreference=secondaryPreferred&w=0&readConcernLevel=majority&retryWrites=false"
    done = cli("run", "add_one", MONGODB_URI=careless)

    assert done.returncode == 0, done.stderr
    assert db.c.count_documents({"n": 1}) == 2_500


def test_no_output(cli: CommandLine, db: Database[Any]) -> None:
    """A run that was started with stdin, stdout and stderr closed is a run like any other."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(1_000))
    run = f"exec {sys.executable} -m chunkmigrate run add_one <&- >&- 2>&-"
    for workers in ("1", "2"):
        environment = {"MONGODB_URI": cli.uri, "CHUNKMIGRATE_WORKERS": workers}
        db.chunkmigrate_migrations.drop()
        db.chunkmigrate_checkpoints.drop()
        subprocess.run(
            ["sh", "-c", run], cwd=cli.folder, env=os.environ | environment, timeout=60, check=True
        )

    assert db.c.count_documents({"n": 2}) == 1_000


def test_reader_gone(cli: CommandLine, db: Database[Any]) -> None:
    """A run whose output nobody reads any more comes to its end, and says so by its exit code."""
    cli.write(INCREMENT)
    db.c.insert_many({"_id": n} for n in range(1_000))
    process = cli.start("run", "add_one")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr as complaints:
        err = complaints.read()

    assert (process.wait(60), err) == (0, "")
    assert db.c.count_documents({"n": 1}) == 1_000
    assert (db.chunkmigrate_migrations.find_one() or {})["status"] == "applied"
