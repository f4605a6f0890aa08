"""The life of a folder on a real server: files added, edited, renamed, deleted and run, against a model."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chunkmigrate import history, sequence
from chunkmigrate.disorder import DeletedError, RenamedError
from chunkmigrate.ledger import Ledger
from chunkmigrate.memory import Sensor
from chunkmigrate.migration import discover
from chunkmigrate.runner import Run
from chunkmigrate.standing import standings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient

NAMES = [f"{number}_m" for number in range(4)]
SOURCE = '"""Say it."""\n\n\ndef upgrade(db):\n    db.log.insert_one({{"means": {means}}})\n'


class Life(RuleBasedStateMachine):
    """What a folder and its database go through. A file means a number, and leaves it when it is run."""

    def __init__(self, client: MongoClient[Any]) -> None:
        super().__init__()
        self.client = client
        self.stack = TemporaryDirectory()
        self.folder = Path(self.stack.name) / "migrations"
        self.folder.mkdir()
        self.db = self.client[f"chunkmigrate_test_{uuid4().hex}"]
        # The model: what each file means, what was applied as what, what each run followed, what was left.
        self.files: dict[str, int] = {}
        self.applied: dict[str, int] = {}
        self.followed: set[tuple[str, str]] = set()
        self.left: list[int] = []
        self.made = 0

    def teardown(self) -> None:
        self.client.drop_database(self.db.name)
        self.stack.cleanup()

    @rule(name=st.sampled_from(NAMES))
    def write(self, name: str) -> None:
        """Add a file, or edit one: it means what none has meant before."""
        self.made += 1
        self.files[name] = self.made
        (self.folder / f"{name}.py").write_text(SOURCE.format(means=self.made))

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def comment(self, data: st.DataObject) -> None:
        """Change a file so that it means the same."""
        path = self.folder / f"{data.draw(st.sampled_from(sorted(self.files)))}.py"
        path.write_text("# A note.\n" + path.read_text().replace("Say it", "Say it again"))

    @precondition(lambda self: self.files)
    @rule(data=st.data(), to=st.sampled_from(NAMES))
    def rename(self, data: st.DataObject, to: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.files)))
        if to not in self.files:
            (self.folder / f"{name}.py").rename(self.folder / f"{to}.py")
            self.files[to] = self.files.pop(name)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.files)))
        (self.folder / f"{name}.py").unlink()
        del self.files[name]

    @rule()
    def run_all(self) -> None:
        self.run(None, only=False)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), only=st.booleans())
    def run_one(self, data: st.DataObject, only: bool) -> None:  # noqa: FBT001 - hypothesis names it
        self.run(data.draw(st.sampled_from(sorted(self.files))), only=only)

    def run(self, target: str | None, *, only: bool) -> None:
        wanted = sequence.wanted(self.folder, target, only=only)
        refused = self.refusal(target if only else None)
        if refused:
            with pytest.raises(refused):
                sequence.chosen(wanted, Ledger(self.db))
            return
        for one in sequence.chosen(wanted, Ledger(self.db))[0]:
            run = Run(one, self.db, Sensor(), writers=1, about={"follows": one.follows})
            list(run)
        self.expect(target, only=only)

    def refusal(self, alone: str | None) -> type[Exception] | None:
        """Return what a run is refused with, by the model."""
        gone = {name: means for name, means in self.applied.items() if name not in self.files}
        now = {means: name for name, means in self.files.items()}
        renamed = {now[means] for means in gone.values() if means in now and now[means] not in self.applied}
        if alone in renamed or (alone is None and renamed):
            return RenamedError
        proved = {before for before, behind in self.followed if behind in self.files}
        if alone is None and any(name in proved and means not in now for name, means in gone.items()):
            return DeletedError
        return None

    def expect(self, target: str | None, *, only: bool) -> None:
        """Do in the model what a run does."""
        names = sorted(self.files)
        for place, name in enumerate(names):
            if name not in self.applied and (not only or name == target):
                self.applied[name] = self.files[name]
                self.left.append(self.files[name])
                self.followed.add((names[place - 1] if place else "", name))
            if name == target:
                return

    @invariant()
    def stands(self) -> None:
        """Check that the database has what the model has, and that status says so."""
        rows = {row.name: row for row in standings(self.db, discover(self.folder))}
        last = max((name for name in self.files if name in self.applied), default="")

        assert [one["means"] for one in self.db.log.find().sort("$natural", 1)] == self.left
        assert len([*history.runs(self.db, None, show_values=False)]) == len(self.left)
        assert {*rows} == {*self.files, *self.applied}
        for name, row in rows.items():
            means = self.files.get(name)
            assert row.status == ("applied" if name in self.applied else "pending")
            assert row.missing == (means is None)
            assert row.drifted == (means is not None and self.applied.get(name, means) != means)
            assert row.late == (name not in self.applied and name < last)


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
def test_life(client: MongoClient[Any]) -> None:
    """Whatever becomes of the files, each meaning is done at most once, and status tells what is what."""
    how = settings(
        max_examples=40,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # to find the shortest life that fails would take minutes
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(lambda: Life(client), settings=how)
