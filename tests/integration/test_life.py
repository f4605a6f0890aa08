"""The life of a folder on a real server, held against a model: files, runs, rollbacks, marks and kills."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from chunkmigrate import disorder, history, marking, rollback, sequence, server, undo
from chunkmigrate.disorder import NoWayBackError
from chunkmigrate.errors import VerificationError
from chunkmigrate.ledger import DIED, FAILED, ROLLED_BACK, RUNNING, Ledger
from chunkmigrate.marking import MARKED, Author, Mark
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import discover
from chunkmigrate.runner import Run
from chunkmigrate.sizing import Most
from chunkmigrate.standing import standings
from tests.integration.living import (
    ACTS,
    APPLIED,
    DOCUMENTS,
    DOWNGRADE,
    KINDS,
    PENDING,
    UNDO,
    File,
    Model,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient

    from chunkmigrate.migration import Migration

NAMES = [f"{number}_m" for number in range(3)]

# Lives to be lived, and processes killed in all of them: each of those takes more than a second.
LIVES = int(os.environ.get("CHUNKMIGRATE_TEST_LIVES", "32"))
KILLS, STEPS = max(1, LIVES // 5), 25

SOURCE = '''"""Say it."""

from chunkmigrate import Backfill, UpdateOne, scan


def upgrade(db):
    return Backfill(scan(db.c, fields=[]), lambda one: add(one, 1), undo={undo})


def add(one, number):
    return UpdateOne({{"_id": one["_id"]}}, {{"$inc": {{"m{means}": number}}}})


def verify(db):
    return not db.unwell.count_documents({{"_id": {means}}})
'''
BACK = "\n\ndef downgrade(db):\n    return Backfill(scan(db.c, fields=[]), lambda one: add(one, -1))\n"
ALONE = '''"""Say it."""


def upgrade(db):
    db.log.insert_one({{"means": {means}}})


def verify(db):
    return not db.unwell.count_documents({{"_id": {means}}})
'''


def source_of(file: File) -> str:
    if file.kind == ACTS:
        return ALONE.format(means=file.means)
    return SOURCE.format(means=file.means, undo=file.kind == UNDO) + BACK * (file.kind == DOWNGRADE)


# How a run ends: by itself, stopped when it has looked so often, or abandoned after so many chunks; at most.
ENDS = [("ends", 0), ("stopped", 40), ("abandoned", 4)]

How = tuple[str, int]

# What is killed: a run as a command's, with chunks of which it commits one after the other.
PROCESS = """
import sys
from pathlib import Path
from pymongo import MongoClient
from chunkmigrate import migration, rollback, server
from chunkmigrate.ledger import Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.runner import Run
from chunkmigrate.sizing import Most

uri, database, folder, name, back = sys.argv[1:]
db = server.database(MongoClient(uri), database)
one, how = migration.find(migration.discover(Path(folder)), name), {"about": {}}
if back:
    how["direction"], one = rollback.way_back(one, db, Ledger(db).entry(name))
else:
    how["about"]["follows"] = one.follows
list(Run(one, db, Sensor(), writers=1, most=Most(chunk_documents=3), max_rate=20, **how))
"""


class Life:
    """What a folder and its database go through: each step is one of its public methods, at random."""

    def __init__(self, client: MongoClient[Any], uri: str, chance: random.Random) -> None:
        self.client, self.uri, self.chance = client, uri, chance
        self.stack = TemporaryDirectory()
        self.folder = Path(self.stack.name) / "migrations"
        self.folder.mkdir()
        self.db = server.database(self.client, f"chunkmigrate_test_{uuid4().hex}")
        self.db.c.insert_many({"_id": number} for number in range(DOCUMENTS))
        self.model, self.made = Model(), 0

    def end(self) -> None:
        self.client.drop_database(self.db.name)
        self.stack.cleanup()

    def step(self) -> str:
        """Do one thing, and check what is told of it; return what was done."""
        files = [self.write] * 2 + [self.comment, self.rename, self.delete, self.edit, self.fall_ill]
        migrations = [self.run_all] * 3 + [self.run_one] * 4 + [self.roll_back] * 6 + [self.mark] * 3
        done = self.chance.choice(files + migrations)()
        self.check_data()
        self.check_record()
        return done

    def drawn(self) -> str:
        """Return the name of a file, where there is any."""
        return self.chance.choice(sorted(self.model.files) or [""])

    def how(self) -> How:
        end, most = self.chance.choice(ENDS)
        return end, self.chance.randint(1, most or 1)

    # What becomes of files.

    def write(self) -> str:
        """Add a file, or edit one: it means what none has meant before."""
        name = self.chance.choice(NAMES)
        self.made += 1
        entry = self.model.entries.get(name)
        file = File(self.made, entry.kind if entry and entry.half else self.chance.choice(KINDS))
        self.model.files[name] = file
        (self.folder / f"{name}.py").write_text(source_of(file))
        return f"write {name}: {file}"

    def comment(self) -> str:
        """Change a file so that it means the same."""
        if name := self.drawn():
            path = self.folder / f"{name}.py"
            path.write_text("# A note.\n" + path.read_text().replace("Say it", "Say it again"))
        return f"comment {name}"

    def rename(self) -> str:
        name, to, files = self.drawn(), self.chance.choice(NAMES), self.model.files
        entry = self.model.entries.get(to)
        if name and to not in files and not (entry and entry.half and entry.kind != files[name].kind):
            (self.folder / f"{name}.py").rename(self.folder / f"{to}.py")
            files[to] = files.pop(name)
        return f"rename {name} {to}"

    def delete(self) -> str:
        if name := self.drawn():
            (self.folder / f"{name}.py").unlink()
            del self.model.files[name]
        return f"delete {name}"

    def edit(self) -> str:
        """Somebody else changes what a migration may have written into a document."""
        known = {means for kept in self.model.kept.values() for one in kept.values() for means in one.fields}
        means = self.chance.choice(sorted(known or {0}))
        for number in self.chance.sample(range(DOCUMENTS), 3):
            self.db.c.update_one({"_id": number}, {"$set": {f"m{means}": 100}})
            self.model.documents[number] = self.model.documents[number] | {means: 100}
        return f"edit {means}"

    def fall_ill(self) -> str:
        """What the verification of a file finds becomes another."""
        if name := self.drawn():
            means = self.model.files[name].means
            self.model.unwell ^= {means}
            self.db.unwell.delete_one({"_id": means})
            for one in self.model.unwell & {means}:
                self.db.unwell.insert_one({"_id": one})
        return f"fall ill {name}"

    # What becomes of migrations.

    def run_all(self) -> str:
        return self.run(None, self.how(), only=False)

    def run_one(self) -> str:
        able = [name for name in sorted(self.model.files) if self.can_run(name)]
        name = self.chance.choice(able or [self.drawn()])
        return self.run(name, self.how(), only=self.chance.random() < 0.8) if name else ""

    def run(self, target: str | None, how: How, *, only: bool) -> str:
        wanted = sequence.wanted(self.folder, target, only=only)
        if refused := self.model.refusal(target, only=only):
            with pytest.raises(getattr(disorder, refused)):
                sequence.chosen(wanted, Ledger(self.db))
            return f"run {target}: {refused}"
        chosen = sequence.chosen(wanted, Ledger(self.db))[0]
        assert [one.name for one in chosen] == self.model.chosen(target, only=only)
        for one in chosen:
            if self.model.status(one.name) == APPLIED:
                continue
            self.model.begin(one.name)
            self.after_run(one.name, self.live(one, how, about={"follows": one.follows}))
            if self.model.status(one.name) != APPLIED:
                break
        return f"run {target}, only {only}: {how}"

    def roll_back(self) -> str:
        how, steps, begun = self.how(), self.chance.choice([None, None, None, 1, 2]), self.model.begun()
        able = [name for name in begun if self.can_go_back(name)]
        name = self.chance.choice(able or [None, *begun]) if steps is None else None
        planned = rollback.plan(discover(self.folder), Ledger(self.db).entries(), name, steps)
        assert [one.name for one in planned.migrations] == ([name] if name else begun[: steps or 1])
        for one in planned.migrations:
            if not self.rolled_back(one, how):
                break
        return f"roll back {name}, {steps} steps: {how}"

    def rolled_back(self, one: Migration, how: How) -> bool:
        """Whether it was rolled back, to its end."""
        way, entry = self.model.way_back(one.name), Ledger(self.db).entry(one.name)
        if way == DOWNGRADE and one.name not in self.model.files:
            return False  # what was begun by a downgrade needs the file
        if not way:
            with pytest.raises(NoWayBackError):
                rollback.way_back(one, self.db, entry)
            return False
        direction, back = rollback.way_back(one, self.db, entry)
        assert direction.way == way
        self.model.begin_back(one.name, way)
        self.after_rollback(one.name, self.live(back, how, direction=direction))
        return self.model.status(one.name) == PENDING

    def mark(self) -> str:
        known, applied = sorted({*self.model.files, *self.model.entries}), self.chance.random() < 0.3
        half = [name for name in known if self.model.status(name) not in (APPLIED, PENDING)]
        name = self.chance.choice(half or known or [""])
        if known and self.model.status(name) != (APPLIED if applied else PENDING):
            here = {one.name: one for one in discover(self.folder)}.get(name)
            checksum = here.checksum if here else Ledger(self.db).entry(name)["checksum"]
            gone = not applied and here is None
            mark = Mark(migration=name, applied=applied, origin=MARKED, checksum=checksum, gone=gone)
            marking.put(self.db, [mark], Author(by="somebody"))
            self.model.mark(name, applied=applied)
        return f"mark {name} {applied}"

    def kill(self) -> str:
        """Kill a process that applies a migration, or rolls it back, with SIGKILL, where one can."""
        can = {back: self.can_go_back if back else self.can_run for back in (True, False)}
        fit = [(name, back) for name in sorted(self.model.files) for back in can if can[back](name)]
        if not fit:
            return ""
        name, back = self.chance.choice(fit)
        if back:
            self.model.begin_back(name, self.model.way_back(name))
        else:
            self.model.begin(name)
        ended = self.killed(name, self.chance.uniform(0, 0.5), back=back)
        (self.after_rollback if back else self.after_run)(name, ended)
        self.check_data()
        self.check_record()
        return f"kill {name}, on its way back {back}: {ended}"

    def can_run(self, name: str) -> bool:
        return self.model.status(name) != APPLIED and not self.model.refusal(name, only=True)

    def can_go_back(self, name: str) -> bool:
        return self.model.status(name) != PENDING and bool(self.model.way_back(name))

    def killed(self, name: str, seconds: float, *, back: bool) -> str:
        """Return how a process has ended that was killed so many seconds after it had begun."""
        runs = self.db.chunkmigrate_runs
        before = runs.count_documents({})
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, self.uri, self.db.name, str(self.folder), name, "back" * back],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while runs.count_documents({}) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.wait(60)
        last = runs.find_one({"migration": name}, sort=[("began", -1)])
        assert runs.count_documents({}) == before + 1
        return str(last["status"]).replace(RUNNING, DIED)

    def live(self, migration: Any, how: How, **what: Any) -> str:
        """Run a migration, and return how that ended."""
        end, number = how
        looks = iter(range(number))
        run = Run(
            migration,
            self.db,
            Sensor(),
            writers=1,
            most=Most(chunk_documents=3),
            stopped=lambda: end == "stopped" and next(looks, None) is None,
            **what,
        )
        going = iter(run)
        try:
            for chunk, _ in enumerate(going, 1):
                if end == "abandoned" and chunk == number:
                    going.close()  # type: ignore[attr-defined]
                    return DIED
        except VerificationError:
            return FAILED
        return run.outcome.status

    # What came of it is learned from the data, and the model holds the rest against that.

    def after_run(self, name: str, ended: str) -> None:
        model, means, entry = self.model, self.model.files[name].means, self.model.entries[name]
        model.history.append(ended)
        if entry.kind == ACTS:
            more = [one["means"] for one in self.db.log.find().sort("$natural", 1)][len(model.log) :]
            assert more in ([], [means])
            model.log += more
        else:
            found = [one.get(f"m{means}", 0) for one in self.db.c.find().sort("_id", 1)]
            done = sum(now != was.get(means, 0) for now, was in zip(found, model.documents, strict=True))
            entry.begun = bool(self.db.chunkmigrate_checkpoints.count_documents({"migration": name}))
            entry.kept = bool(undo.marked(self.db, name))
            assert entry.kept == (entry.begun and entry.kind == UNDO) or ended == DIED
            model.apply(name, done)
        entry.status = ended
        if ended in (APPLIED, FAILED):
            assert entry.up == DOCUMENTS or entry.kind == ACTS
            assert (ended == FAILED) == (means in model.unwell)

    def after_rollback(self, name: str, ended: str) -> None:
        model, entry = self.model, self.model.entries[name]
        model.history.append(ended)
        if entry.way == UNDO:
            left = self.db.chunkmigrate_undo.count_documents(undo.records_of(name))
            done = len(model.kept.get(name, {})) - left
        else:
            means = model.files[name].means
            found = [one.get(f"m{means}", 0) for one in self.db.c.find().sort("_id", 1)]
            done = sum(now != was.get(means, 0) for now, was in zip(found, model.documents, strict=True))
        model.back(name, done)
        entry.status = ended
        if ended == ROLLED_BACK:
            assert entry.way == UNDO or entry.down == DOCUMENTS
            model.rolled_back(name)

    def check_data(self) -> None:
        """Check that the documents, and what is kept of them, are what the model has."""
        for number, one in enumerate(self.db.c.find().sort("_id", 1)):
            has = {int(name[1:]): value for name, value in one.items() if name != "_id" and value}
            assert has == {means: value for means, value in self.model.documents[number].items() if value}
        assert self.db.chunkmigrate_undo.count_documents({"_id.left": {"$exists": True}}) == self.model.left
        kept = [one["_id"] for one in self.db.chunkmigrate_undo.find({"_id.migration": {"$exists": True}})]
        assert sorted((one["migration"], one["document"]) for one in kept) == sorted(
            (name, number) for name, numbers in self.model.kept.items() for number in numbers
        )

    def check_record(self) -> None:
        """Check that status and history tell what was done."""
        model = self.model
        rows = {row.name: row for row in standings(self.db, discover(self.folder))}
        last = max((name for name in model.files if model.status(name) == APPLIED), default="")
        told = sorted(
            run.status.replace(RUNNING, DIED) for run in history.runs(self.db, None, show_values=False)
        )

        assert told == sorted(model.history)
        assert {*rows} == {*model.files, *filter(model.is_missing, model.entries)}
        for name, row in rows.items():
            entry, file, status = model.entries.get(name), model.files.get(name), model.status(name)
            assert row.status.replace(RUNNING, DIED) == status
            assert row.direction == ("down" if entry and entry.way else "up")
            assert row.missing == (file is None)
            drifted = bool(entry and file) and status == APPLIED and entry.means != file.means
            assert row.drifted == drifted
            assert row.late == (status != APPLIED and name < last and file is not None)


@pytest.fixture
def _own_modules() -> Iterator[None]:
    """What loading migrations leaves in sys is gone after the test."""
    path = sys.path.copy()
    yield
    sys.path[:] = path
    for name in NAMES:
        with suppress(KeyError):
            del sys.modules[f"chunkmigrate_migration_{name}"]


@pytest.mark.usefixtures("_own_modules")
def test_life(client: MongoClient[Any], mongodb_uri: str) -> None:
    """Whatever becomes of files, runs and rollbacks, data, status and history are those of the model."""
    kills = KILLS
    for seed in range(LIVES):
        life, done = Life(client, mongodb_uri, random.Random(seed)), []
        try:
            done.extend(life.step() for _ in range(STEPS))
            if kills and life.kill():
                kills -= 1
                done += [life.step(), life.step()]
        except BaseException as error:
            error.add_note("\n".join([f"Life {seed}:", *done]))
            raise
        finally:
            life.end()
    assert kills < KILLS
