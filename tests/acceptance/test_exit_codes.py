"""Exit codes: what docs/exit-codes.md says of each, and which test proves it."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import cli as cli_
from chunkmigrate import jobs_live, lease_record, server
from chunkmigrate.holder import this_process
from chunkmigrate.kubernetes import manifest
from tests import surface
from tests.acceptance.test_control import NAME, POISON

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "exit-codes.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z -]+)` \| (\d+) \|", re.MULTILINE)

PROVED = {
    ("run", 1): "acceptance/test_run.py::test_all_pending_in_order",
    ("run", 2): "acceptance/test_control.py::test_cancel",
    ("run", 5): "acceptance/test_control.py::test_second_run",
    ("run", 75): "acceptance/test_run.py::test_asked_to_stop",
    ("run --dry-run", 1): "acceptance/test_dry_run.py::test_would_stop",
    ("rollback", 2): "acceptance/test_rollback.py::test_one_after_the_other",
    ("status --check", 3): "acceptance/test_new_and_status.py::test_status_lists_in_order",
    ("lint", 1): "unit/test_lint.py::test_found",
    ("verify", 1): "acceptance/test_verify.py::test_verify",
    ("mark", 5): "acceptance/test_bookkeeping.py::test_mark_held",
    ("baseline", 5): "acceptance/test_bookkeeping.py::test_mark_held",
    ("import", 5): "acceptance/test_bookkeeping.py::test_mark_held",
    ("profile", 2): "acceptance/test_profile.py::test_acts_by_itself",
    ("tune", 2): "acceptance/test_profile.py::test_nothing_to_tune_from",
    ("quarantine retry", 1): "acceptance/test_control.py::test_quarantine",
    ("quarantine retry", 5): "acceptance/test_exit_codes.py::test_retry_beside_a_run",
    ("quarantine retry", 75): "acceptance/test_exit_codes.py::test_retry_is_stopped",
    ("job watch", 1): "acceptance/test_jobs_live.py::test_watch",
    ("job watch", 2): "acceptance/test_jobs_live.py::test_watch",
    ("job watch", 75): "acceptance/test_jobs_live.py::test_watch",
    ("job watch", 130): "acceptance/test_jobs_live.py::test_interrupt",
    ("job submit --watch", 2): "acceptance/test_jobs_live.py::test_submit_and_watch",
    ("job cancel", 1): "unit/test_job_cancel.py::test_job_that_does_not_go",
}


def test_each_code_has_a_meaning() -> None:
    """The codes that are documented are those the command line has, and the two a Job's rules name."""
    meanings = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    ours = {cli_.DONE, cli_.FAILED, cli_.UNUSABLE, cli_.PENDING, cli_.HELD, cli_.AGAIN}

    assert sorted(meanings) == sorted({*ours, jobs_live.INTERRUPTED})
    assert (manifest.UNUSABLE, manifest.AGAIN) == (cli_.UNUSABLE, cli_.AGAIN)


def test_each_end_is_proved() -> None:
    """Each end of a command that is documented is proved by a test that is there, and no other is."""
    assert {(command, int(code)) for command, code in ROW.findall(PAGE)} == set(PROVED)
    for place in PROVED.values():
        file, _, name = place.partition("::")
        tree = ast.parse((TESTS / file).read_text("utf-8"))

        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


@pytest.mark.parametrize("command", dict(surface.commands()))
def test_each_command_with_a_wrong_option(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option that a command does not have ends it with 2, and says which."""
    monkeypatch.setattr(sys, "argv", ["chunkmigrate", *command.split(), "--wrong"])
    with pytest.raises(SystemExit) as ended:
        cli_.main()

    assert ended.value.code == cli_.UNUSABLE
    assert "--wrong" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "plan", "history", "run", "report", "quarantine list"])
def test_no_server(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where no server answers a command ends with 1: it may pass."""
    (tmp_path / "migrations").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=100")
    monkeypatch.setattr(sys, "argv", ["chunkmigrate", *command.split()])
    with pytest.raises(SystemExit) as ended:
        cli_.main()

    assert ended.value.code == cli_.FAILED
    assert "No MongoDB server answered" in capsys.readouterr().err


@pytest.fixture
def held(cli: CommandLine, db: Database[Any]) -> CommandLine:
    """A document in quarantine, and a process that lives and holds the lease."""
    cli.write(POISON)
    db.c.insert_one({"_id": 1, "bad": True})
    assert cli("run", "add_one").returncode == 0
    opened = server.database(db.client, db.name)
    over = lease_record.present(opened, NAME)
    lease_record.claim(lease_record.collection_of(opened), NAME, this_process(), 600, over=over)
    return cli


def test_retry_beside_a_run(held: CommandLine) -> None:
    """`quarantine retry` beside a run ends with 5, and says who runs."""
    done = held("quarantine", "retry", "add_one")

    assert done.returncode == 5
    assert f"(pid {os.getpid()})" in done.stderr


def test_retry_is_stopped(held: CommandLine) -> None:
    """`quarantine retry` that is told to stop while it waits ends with 75."""
    process = held.start("quarantine", "retry", "add_one", "--wait", "10m")
    try:
        assert process.stdout
        assert any('"waiting"' in line for line in process.stdout)
        process.terminate()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 75
    assert err.startswith("Stopped while waiting.")
