"""A tuner's day through the command line: profile, tune, run; and what may go wrong in an author's code."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from chunkmigrate import limits
from chunkmigrate.scratch import PREFIX
from tests.acceptance.conftest import INCREMENT, CommandLine, last_line
from tests.faults.mongods import Mongod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bson import Timestamp
    from pymongo.database import Database

NAME = "20260101000000_add_one"
PASSWORD = "secret"
MIB = 1024 * 1024
NOBODY = "mongodb://user:pass%40word@127.0.0.1:1/shop?serverSelectionTimeoutMS=200"


def migration(body: str, upgrade: str = "return Backfill(scan(db.c), change)") -> str:
    """A migration whose transform has this body."""
    return (
        '"""Change."""\n\nimport os\nimport sys\nimport threading\n\n'
        "from chunkmigrate import Backfill, UpdateOne, InsertOne, scan\n\n\n"
        f"def upgrade(db):\n    {upgrade}\n\n\n"
        f"def change(document):\n    {body}\n"
        '    return UpdateOne({"_id": document["_id"]}, {"$inc": {"n": 1}})\n'
    )


@pytest.fixture
def filled(db: Database[Any]) -> Database[Any]:
    """Three thousand documents, one of them of 200 KB."""
    db.c.insert_many({"_id": number, "n": number, "name": f"Alice {number}"} for number in range(3_000))
    db.c.update_one({"_id": 2_000}, {"$set": {"pad": "x" * 200_000}})
    db.c.create_index("n")
    return db


def now(db: Database[Any]) -> Timestamp:
    """The server's place in its oplog, which a write of another database's has moved on."""
    db.client[f"{db.name}_clock"].drop_collection("c")
    [last] = db.client.local["oplog.rs"].find().sort("$natural", -1).limit(1)
    ts: Timestamp = last["ts"]
    return ts


def operations(db: Database[Any], since: Timestamp) -> Iterator[tuple[str, int]]:
    """What was written to the database since: the collection's name, and how many operations together."""
    for entry in db.client.local["oplog.rs"].find({"ts": {"$gt": since}}):
        together = entry["o"].get("applyOps", [entry])
        named = [_collection(one) for one in together if one["ns"].partition(".")[0] == db.name]
        for name in set(named):
            yield name, named.count(name)


def _collection(operation: dict[str, Any]) -> str:
    name: str = operation["ns"].partition(".")[2]
    if name != "$cmd":
        return name
    value = next(iter(operation["o"].values()))
    return str(value).rpartition(f"{operation['ns'].partition('.')[0]}.")[2]


def state(db: Database[Any]) -> Any:
    indexes = {name: [*db[name].list_indexes()] for name in db.list_collection_names()}
    return db.command("dbHash")["collections"], indexes


def profile_of(cli: CommandLine, *flags: str) -> dict[str, Any]:
    done = cli("profile", "add_one", "--json", "--sample", "200", *flags)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return last_line(done.stdout)


def paces(profile: dict[str, Any], against: str) -> list[float]:
    """The paces of the rehearsals of one kind, each of which has one."""
    points = [point for step in profile["steps"] for point in step["sweep"] if point["against"] == against]
    found = [point["documents_per_second"] for point in points]
    assert all(found)
    return found


def refused(cli: CommandLine, *flags: str, code: int) -> str:
    """The one sentence a command ends with; no traceback, and nothing of a document."""
    done = cli("profile", "add_one", "--sample", "50", *flags)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert "Alice" not in done.stdout + done.stderr
    return done.stderr


def test_day(cli: CommandLine, filled: Database[Any]) -> None:
    """Profile, tune, run: the run says that its memory was tuned, and keeps to the chunk size."""
    cli.write(INCREMENT)
    measured = profile_of(cli, "--sweep")
    tuned = last_line(cli("tune", "add_one", "--json", "--write").stdout)
    kept = json.loads((cli.folder / "migrations" / f"{NAME}.tuning.json").read_text("utf-8"))
    settled = kept | {"chunk_documents": 70}
    (cli.folder / "migrations" / f"{NAME}.tuning.json").write_text(json.dumps(settled), "utf-8")
    since = now(filled)
    done = cli("run", "add_one")
    chunks = [count for name, count in operations(filled, since) if name == "c"]

    assert measured["steps"][0]["documents"] == 3_000
    assert kept["memory"] == tuned["tuned"]["memory"]
    assert done.returncode == 0
    assert "tuned memory" in done.stdout
    assert last_line(done.stdout)["budget"] == kept["memory"]
    assert last_line(done.stdout)["peak"] < kept["memory"]
    assert sum(chunks) == 3_000
    assert max(chunks) == 70
    again = cli("tune", "add_one")
    assert "over 1 run, +15 %" in again.stdout


def test_writes_nothing(cli: CommandLine, filled: Database[Any]) -> None:
    """Without a sweep not one operation reaches the database; with it they go to scratch collections only."""
    cli.write(INCREMENT.replace("add_one)", "add_one, on_error='quarantine', if_unchanged=True)"))
    before, since = state(filled), now(filled)
    plain = profile_of(cli)
    assert [*operations(filled, since)] == []

    swept = profile_of(cli, "--sweep")
    written = {name for name, _ in operations(filled, since)}
    assert written
    assert all(name.startswith((PREFIX, "tmp.agg_out")) for name in written), written
    assert state(filled) == before
    assert paces(plain, "scratch") == []
    assert len(paces(plain, "encode path")) >= 5
    assert len(paces(swept, "scratch")) == 4


def test_what_it_tells(cli: CommandLine, filled: Database[Any]) -> None:
    """A profile shows sizes, stages, lines and its own time, and nothing of a document."""
    cli.write(migration('kept = [document["name"]] * 1000'))
    done = cli("profile", "add_one", "--sample", "100")
    saved = (cli.folder / "profiles" / f"{NAME}.json").read_text("utf-8")
    seconds = json.loads(saved)["seconds"]

    assert done.returncode == 0, done.stderr
    assert f"{NAME}: measured in {seconds:.0f} s." in done.stdout
    assert "3,000 documents" in done.stdout
    assert 'kept = [document["name"]] * 1000' in done.stdout
    assert f"Written to profiles/{NAME}.json." in done.stdout
    assert "Alice" not in done.stdout + done.stderr + saved
    assert json.loads(saved)["steps"][0]["size"] > 200_000
    assert seconds < 30


def test_changed_file(cli: CommandLine, filled: Database[Any]) -> None:
    """Once the file has changed its profile is refused, and a tuning of it is not used, with a warning."""
    cli.write(INCREMENT)
    profile_of(cli)
    assert cli("tune", "add_one", "--write").returncode == 0
    cli.write(INCREMENT.replace('"n": 1', '"n": 2'))
    tuned, done = cli("tune", "add_one"), cli("run", "add_one", "--memory", "64Mi")

    assert tuned.returncode == 2
    assert f"{NAME}.py has changed since it was made" in tuned.stderr
    assert done.returncode == 0
    assert f"{NAME}.tuning.json is of another version of the migration and is not used" in done.stdout
    assert "tuned memory" not in done.stdout


@pytest.mark.parametrize("content", ["", "{", '{"format": 2}', "[" * 50_000])
def test_broken_files(cli: CommandLine, filled: Database[Any], content: str) -> None:
    """A profile or a tuning file that is none is a sentence and exit 2."""
    cli.write(INCREMENT)
    (cli.folder / "profiles").mkdir()
    (cli.folder / "profiles" / f"{NAME}.json").write_text(content, "utf-8")
    (cli.folder / "migrations" / f"{NAME}.tuning.json").write_text(content, "utf-8")
    for done in (cli("tune", "add_one"), cli("run", "add_one")):
        assert done.returncode == 2
        assert done.stderr.startswith("Error: ")
        assert "Traceback" not in done.stderr
    assert filled.c.count_documents({"$expr": {"$eq": ["$n", "$_id"]}}) == 3_000


def test_nothing_to_tune_from(cli: CommandLine, filled: Database[Any]) -> None:
    """Without a profile and without a run there is nothing to tune from."""
    cli.write(INCREMENT)
    done = cli("tune", "add_one")

    assert done.returncode == 2
    assert "neither a profile nor a finished run" in done.stderr


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (migration("", 'db.c.create_index("name")'), "createIndexes"),
        (
            migration(
                'document["_id"] and DB.c.insert_one({})',
                "global DB; DB = db; " + "return Backfill(scan(db.c), change)",
            ),
            "insert",
        ),
        (
            migration("", "import pymongo; pymongo.MongoClient(os.environ['MONGODB_URI'])[db.name].c.drop()"),
            "drop",
        ),
    ],
    ids=["upgrade", "transform", "a client of its own"],
)
def test_acts_by_itself(cli: CommandLine, filled: Database[Any], source: str, command: str) -> None:
    """Code that writes by itself is refused before anything is sent, wherever it does it, with exit 2."""
    cli.write(source)
    before, since = state(filled), now(filled)
    said = refused(cli, code=2)

    assert f"The code of {NAME} acts by itself ({command})" in said
    assert [*operations(filled, since)] == []
    assert state(filled) == before


def test_returns_nothing(cli: CommandLine, filled: Database[Any]) -> None:
    """A migration that returns nothing and does nothing has nothing to profile."""
    cli.write(migration("", "return None"))

    assert "returns no Backfill: there is nothing to profile" in refused(cli, code=2)


def test_raises(cli: CommandLine, filled: Database[Any]) -> None:
    """Documents that fail are counted by class; the rest is measured, and tuning says so."""
    cli.write(migration('if document["_id"] % 2: raise ValueError(document["name"])'))
    done = cli("profile", "add_one", "--sample", "100")

    assert done.returncode == 0, done.stderr
    assert "with ValueError" in done.stdout
    assert "Alice" not in done.stdout + done.stderr
    assert (
        "sampled documents failed (ValueError); correct the migration first." in cli("tune", "add_one").stdout
    )


def test_prints(cli: CommandLine, filled: Database[Any]) -> None:
    """What an author's code prints, by whatever way, does not get into what is measured."""
    cli.write(migration('print(document); sys.stdout.flush(); os.write(1, b"x" * 100)'))
    measured = profile_of(cli)

    assert measured["steps"][0]["failures"] == {}
    assert measured["steps"][0]["writes_per_document"] == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("os.kill(os.getpid(), 9)", "ended with signal 9. No document was changed."),
        (
            "print(document, file=sys.stderr, flush=True); os._exit(7)",
            "ended with exit 7. No document was changed.",
        ),
        ("os._exit(0)", "ended without an answer"),
    ],
)
def test_dies(cli: CommandLine, filled: Database[Any], body: str, sentence: str) -> None:
    """A process that the author's code ends is a sentence, without a word of what it printed."""
    cli.write(migration(body))
    before = state(filled)

    assert sentence in refused(cli, code=1)
    assert state(filled) == before


def test_exits(cli: CommandLine, filled: Database[Any]) -> None:
    """A transform that calls sys.exit fails, document by document; an upgrade that does is a sentence."""
    cli.write(migration("sys.exit(3)"))
    assert profile_of(cli)["steps"][0]["failures"].keys() == {"SystemExit"}

    cli.write(migration("", "sys.exit(3)"))
    assert "upgrade(db) of" in refused(cli, code=1)


def test_killed_sweep(cli: CommandLine, filled: Database[Any]) -> None:
    """Copies of a process that was killed in the middle of a sweep are dropped all the same."""
    body = "if any('scratch' in name for name in DB.list_collection_names()): os.kill(os.getpid(), 9)"
    cli.write(migration(body, "global DB; DB = db; return Backfill(scan(db.c), change)"))
    before = state(filled)

    assert "ended with signal 9" in refused(cli, "--sweep", code=1)
    assert state(filled) == before


def test_no_server(cli: CommandLine) -> None:
    """Without a server there is a sentence, and exit 1, as with a run."""
    cli.write(INCREMENT)
    said = refused(cli, "--uri", NOBODY, code=1)

    assert "No MongoDB server answered at" in said
    assert "word" not in said


def test_tuned_without_the_server(cli: CommandLine, filled: Database[Any]) -> None:
    """Where the server does not answer a profile is enough to tune from, with a warning about past runs."""
    cli.write(INCREMENT)
    profile_of(cli)
    done = cli("tune", "add_one", "--json", "--uri", NOBODY)

    assert done.returncode == 0, done.stderr
    assert last_line(done.stdout) == last_line(cli("tune", "add_one", "--json").stdout)
    assert done.stderr.startswith("Warning: past runs are not looked at, only the profile is. No MongoDB ")
    assert "word" not in done.stderr


def test_nothing_without_the_server(cli: CommandLine) -> None:
    """Without a profile there is nothing else to tune from: exit 1, as with a run."""
    cli.write(INCREMENT)
    done = cli("tune", "add_one", "--uri", NOBODY)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: No MongoDB server answered at")


@pytest.mark.parametrize("sample", ["0", "9", "-1", "100001"])
def test_sample_bounds(cli: CommandLine, sample: str) -> None:
    """A sample has from ten to a hundred thousand documents."""
    cli.write(INCREMENT)
    done = cli("profile", "add_one", "--sample", sample)

    assert done.returncode == 2
    assert f"--sample {sample} is not a number of documents from 10 to 100,000." in done.stderr


def test_no_documents(cli: CommandLine, db: Database[Any]) -> None:
    """An empty collection has a profile that says so, from which nothing can be tuned."""
    cli.write(INCREMENT)
    done, tuned = cli("profile", "add_one"), cli("tune", "add_one")

    assert done.returncode == 0, done.stderr
    assert f"Step 1: 0 documents of {db.name}.c, 0 measured." in done.stdout
    assert tuned.returncode == 2
    assert "No document matched when the profile was made" in tuned.stderr


def test_steps(cli: CommandLine, filled: Database[Any]) -> None:
    """Of two steps of which the second reads what the first writes, the first is measured; that is said."""
    cli.write(
        migration("", 'return [Backfill(scan(db.c), change), Backfill(scan(db.c, {"new": 1}), change)]')
    )
    first, second = profile_of(cli)["steps"]
    tuned = cli("tune", "add_one")

    assert first["sampled"] > 0
    assert second["sampled"] == 0
    assert tuned.returncode == 0, tuned.stderr
    assert "Step 2 was not measured: no document matched." in tuned.stdout


def test_each_chunk(cli: CommandLine, filled: Database[Any]) -> None:
    """What is transformed together is measured together."""
    source = migration("", "return Backfill(scan(db.c), each_chunk=all_of)")
    cli.write(
        source + "\n\ndef all_of(documents):\n    return [change(document) for document in documents]\n"
    )
    [step] = profile_of(cli, "--sweep")["steps"]

    assert step["writes_per_document"] == 1
    assert {function["name"] for function in step["functions"]} == {"all_of", "change"}
    assert paces({"steps": [step]}, "scratch")


def test_holds_on(cli: CommandLine, filled: Database[Any]) -> None:
    """A transform that keeps what it was given climbs the ladder: the budget that held is what it needs."""
    cli.write(migration("KEPT.append(bytes(200_000))") + "\n\nKEPT = []\n")
    [step] = profile_of(cli)["steps"]
    held = [point for point in step["sweep"] if point["held"]]

    assert not step["sweep"][0]["held"]
    assert held[0]["budget"] > step["sweep"][0]["budget"] + 20 * 1024 * 1024
    [change] = [one for one in step["functions"] if one["name"] == "change"]
    kept = max(change["lines"], key=lambda line: line["increment"] or 0)
    assert "KEPT.append" in kept["text"]


def test_large_document(cli: CommandLine, filled: Database[Any]) -> None:
    """A document that needs more than the least budget is met, though it is one in three thousand."""
    filled.c.update_one({"_id": 1_234}, {"$set": {"pad": bytes(15_000_000)}})
    cli.write(migration(""))
    [step] = profile_of(cli)["steps"]
    held = [point for point in step["sweep"] if point["held"]]

    assert held[0]["budget"] > 64 * 1024 * 1024
    assert not step["sweep"][0]["held"]


@pytest.mark.parametrize("kind", ["view", "timeseries", "capped"])
def test_kinds(cli: CommandLine, filled: Database[Any], kind: str) -> None:
    """What is no ordinary collection is profiled, or is a sentence; it is not changed in any case."""
    if kind == "view":
        filled.command("create", "other", viewOn="c", pipeline=[])
    elif kind == "capped":
        filled.create_collection("other", capped=True, size=1_000_000)
        filled.other.insert_many({"_id": number, "n": number} for number in range(500))
    else:
        filled.create_collection("other", timeseries={"timeField": "at"})
    cli.write(migration("", "return Backfill(scan(db.other), change)"))
    before = filled.command("dbHash")["collections"]
    done = cli("profile", "add_one", "--sample", "50", "--sweep")

    assert done.returncode in (0, 1, 2)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or done.stderr.startswith("Error: ")
    assert (done.returncode == 0) == (kind == "capped"), done.stderr
    assert filled.command("dbHash")["collections"] == before


def test_standalone(cli: CommandLine, standalone_uri: str) -> None:
    """On a server without transactions a profile and a sweep work as well."""
    cli.write(INCREMENT)
    alone = CommandLine(cli.folder, f"{standalone_uri.partition('/?')[0]}/chunkmigrate_test_alone")
    with MongoClient[Any](standalone_uri) as client:
        database = client["chunkmigrate_test_alone"]
        database.c.insert_many({"_id": number, "n": number} for number in range(500))
        [step] = profile_of(alone, "--sweep")["steps"]

        assert paces({"steps": [step]}, "scratch")
        assert database.list_collection_names() == ["c"]
        client.drop_database("chunkmigrate_test_alone")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server that asks for a password, with a user who may only read."""
    with Mongod(tmp_path_factory.mktemp("guarded") / "data", "--auth") as mongod:
        with mongod.client() as client:
            # Without any user, a client on the same machine may make the first.
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with MongoClient[Any](mongod.address, username="root", password=PASSWORD) as client:
            read = [{"role": "read", "db": "shop"}]
            client.admin.command("createUser", "reader", pwd=PASSWORD, roles=read)
            client.shop.c.insert_many({"_id": number, "n": number} for number in range(500))
        yield mongod


def test_reader(tmp_path: Path, guarded: Mongod) -> None:
    """Who may only read can profile; a sweep is refused with a sentence that says what it would take."""
    host = guarded.address.removeprefix("mongodb://").partition("/")[0]
    options = "authSource=admin&directConnection=true"
    reader = CommandLine(tmp_path, f"mongodb://reader:{PASSWORD}@{host}/shop?{options}")
    reader.write(INCREMENT)

    assert profile_of(reader)["steps"][0]["documents"] == 500
    said = refused(reader, "--sweep", code=2)
    assert "MongoDB refused access" in said
    assert "--sweep writes copies to collections named chunkmigrate_scratch_*" in said
    assert PASSWORD not in said


def a_minute_later(db: Database[Any]) -> None:
    """As it then is behind a killed run: its lease is over, the server has ended what it left open."""
    db.chunkmigrate_leases.delete_many({})
    db.client.admin.command("killAllSessions", [])


def test_killed_run(cli: CommandLine, filled: Database[Any]) -> None:
    """Of a run that was killed, tuning says with how much in use, and whether more would have helped."""
    cli.write(migration('if document["_id"] == 2_500 and "KILL" in os.environ: os.kill(os.getpid(), 9)'))
    profile_of(cli)
    assert cli("run", "add_one", "--memory", "64Mi", KILL="1").returncode == -9
    a_minute_later(filled)
    tuned = cli("tune", "add_one")

    assert tuned.returncode == 0, tuned.stderr
    assert re.search(
        r"The last run was killed with \d+ MiB of 64 MiB in use\. \d+Mi is enough: more", tuned.stdout
    )


def test_killed_by_kernel(cli: CommandLine, filled: Database[Any]) -> None:
    """A run that the kernel ended, in more than the sample held in, is not said to need more memory."""
    limiter = limits.available()
    if limiter is None:
        pytest.skip("no memory cgroup can be made on this machine")
    cli.write(migration('"KILL" in os.environ and document["_id"] == 2_500 and KEPT.append(b"x" * 10**9)'))
    with (cli.folder / "migrations" / f"{NAME}.py").open("a", encoding="utf-8") as file:
        file.write("\n\nKEPT = []\n")
    profile_of(cli)
    limit = last_line(cli("tune", "add_one", "--json").stdout)["tuned"]["memory"] - MIB
    run = [sys.executable, "-m", "chunkmigrate", "run", "add_one", "--uri", cli.uri]
    run += ["--dir", str(cli.folder / "migrations"), "--memory", str(limit)]
    killed = limiter.run(run, limit, env=dict(os.environ) | {"KILL": "1"}, timeout=120)
    a_minute_later(filled)
    tuned = cli("tune", "add_one")

    assert killed.killed_by_kernel, killed.stderr
    assert re.search(r"was killed with .* But the sample held in .*: smaller chunks suffice", tuned.stdout)


def test_killed_without_a_profile(cli: CommandLine, filled: Database[Any]) -> None:
    """Where nothing else is known, what is known of the death is said before what to do."""
    cli.write(migration('if document["_id"] == 2_500: os.kill(os.getpid(), 9)'))
    assert cli("run", "add_one", "--memory", "64Mi").returncode == -9
    a_minute_later(filled)
    tuned = cli("tune", "add_one")

    assert tuned.returncode == 2
    assert re.match(
        r"Error: The last run was killed with \d+ MiB of 64 MiB in use\. There is neither", tuned.stderr
    )


def test_memray(cli: CommandLine, filled: Database[Any]) -> None:
    """With memray there is a flamegraph beside the profile, also where the server does the first step."""
    pytest.importorskip("memray")
    by_server = 'Backfill(scan(db.c, {"n": -1}), server=[{"$set": {"n": 0}}])'
    cli.write(migration("", f"return [{by_server}, Backfill(scan(db.c), change)]"))
    [step] = profile_of(cli, "--memray")["steps"]

    assert step["step"] == 1
    assert "<html" in (cli.folder / "profiles" / f"{NAME}.memray.html").read_text("utf-8")
