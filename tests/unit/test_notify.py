"""Notify: what a webhook is told of an end."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chunkmigrate.consumers import Together
from chunkmigrate.errors import (
    CancelledError,
    ChunkmigrateError,
    InvalidSettingError,
    LeaseHeldError,
    StoppedError,
    SupersededError,
    TransformError,
)
from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, ROLLED_BACK, STOPPED
from chunkmigrate.notify import MAX_TEXT, Notifier
from chunkmigrate.outcome import ALREADY
from chunkmigrate.sizing import MIB
from chunkmigrate.telemetry import NUMBERS, numbers, sentence
from tests.unit.hearing import WHO, outcome, progress


class Told:
    """A notifier, and what it has sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.notifier = Notifier(self.sent.append, database="shop")
        self.notifier.about("cents")

    def one(self) -> dict[str, Any]:
        """The one message; its time is checked here."""
        (message,) = self.sent
        age = datetime.now(UTC) - datetime.fromisoformat(message.pop("at"))
        assert timedelta() <= age < timedelta(minutes=1)
        return dict(message)


HELD = LeaseHeldError(
    "cents is being run by pod a.",
    migration="cents",
    pod="a",
    host="b",
    pid=1,
    since=datetime.now(UTC),
    renewed=datetime.now(UTC),
)


def test_applied() -> None:
    """An end is told with its sentence, its counts, its memory, its time and where it stands."""
    told, ended = Told(), outcome(APPLIED)
    told.notifier.begin("cents", 128 * MIB, "--memory 128Mi")
    told.notifier.show(progress())
    told.notifier.note("warning", "The server is standalone.")
    told.notifier.end(ended)

    assert told.sent == []

    told.notifier.ended(ended, 0)

    assert told.one() == {
        "event": "applied",
        "migration": "cents",
        "database": "shop",
        "status": "applied",
        "exit_code": 0,
        "message": sentence(ended),
        "text": sentence(ended),
        "read": 300,
        "written": 180,
        "writes": 190,
        "quarantined": 20,
        "changed": 3,
        "skipped": 100,
        "start": 40 * MIB,
        "peak": 90 * MIB,
        "budget": 128 * MIB,
        "seconds": 4.25,
        "position": "512",
    }


@pytest.mark.parametrize(
    ("ended", "event"),
    [
        (outcome(STOPPED, "stop"), "stopped"),
        (outcome(STOPPED, "memory"), "stopped"),
        (outcome(CANCELLED, "cancel"), "cancelled"),
        (outcome(APPLIED, ALREADY), "already_applied"),
        (outcome(ROLLED_BACK), "rolled_back"),
        (outcome(ROLLED_BACK, ALREADY), "already_rolled_back"),
    ],
)
def test_ends(ended: Any, event: str) -> None:
    """Every end has its word and its sentence."""
    told = Told()
    told.notifier.ended(ended, 75)
    message = told.one()

    assert (message["event"], message["status"], message["exit_code"]) == (event, ended.status, 75)
    assert message["message"] == sentence(ended)


def test_failed_in_a_run() -> None:
    """A failure is told with how the run stands, and with what may be said of it."""
    told, ended = Told(), outcome(FAILED, "add_one raised ValueError.")
    told.notifier.end(ended)
    told.notifier.failed(TransformError(7, "add_one raised ValueError: ada"), "add_one raised ValueError.", 1)
    message = told.one()

    assert (message["event"], message["status"], message["exit_code"]) == ("failed", "failed", 1)
    assert message["message"] == f"{sentence(ended)} add_one raised ValueError."
    assert {name: message[name] for name in NUMBERS} == numbers(ended)
    assert "ada" not in str(message)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (HELD, "lease_held"),
        (SupersededError(), "superseded"),
        (CancelledError("cents", "ada"), "cancelled"),
        (StoppedError("Stopped while waiting."), "stopped"),
        (InvalidSettingError("no"), "failed"),
        (ChunkmigrateError("no"), "failed"),
        (KeyError("no"), "failed"),
        (KeyboardInterrupt(), "failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_failed_before(error: BaseException, event: str) -> None:
    """A command that ends before a run does tells why, under its word, and no numbers."""
    told = Told()
    told.notifier.failed(error, "A sentence.", 5)
    message = told.one()

    assert (message["event"], message["message"], message["exit_code"]) == (event, "A sentence.", 5)
    assert (message["migration"], message["database"], message["status"]) == ("cents", "shop", None)
    assert {message[name] for name in NUMBERS} == {None}


def test_one_after_the_other() -> None:
    """Nothing of one run is told of the next."""
    told = Told()
    told.notifier.ended(outcome(APPLIED), 0)
    told.notifier.about("names")
    told.notifier.failed(HELD, "It is held.", 5)

    assert [message["migration"] for message in told.sent] == ["cents", "names"]
    assert told.sent[1]["message"] == "It is held."
    assert told.sent[1]["read"] is None


def test_text_calls_nobody() -> None:
    """What a chat would take for a command is escaped in the text, and stays as it is in the message."""
    told = Told()
    told.notifier.failed(KeyError(), "_id '<!channel>' & co > 5", 1)
    message = told.one()

    assert message["message"] == "_id '<!channel>' & co > 5"
    assert message["text"] == "_id '&lt;!channel&gt;' &amp; co &gt; 5"


def test_long() -> None:
    """What is longer than anybody reads is cut."""
    told = Told()
    told.notifier.failed(KeyError(), "x" * (MAX_TEXT + 1), 1)

    assert told.one()["message"] == "x" * MAX_TEXT + " ..."


def test_nobody() -> None:
    """Without a webhook nothing is sent, and it is a consumer like others."""
    notifier = Notifier()
    together = Together([notifier])
    together.begin("cents", 1, "x")
    together.show(progress())
    together.end(outcome(APPLIED))
    notifier.ended(outcome(APPLIED), 0)


def test_numbers() -> None:
    """The numbers an end has are those it is said to have, in their order."""
    assert (*numbers(outcome(APPLIED)),) == NUMBERS


def test_manual() -> None:
    """The manual names every field of a message, and every event."""
    manual = (Path(__file__).parents[2] / "docs" / "notify.md").read_text("utf-8")
    told = Told()
    told.notifier.ended(outcome(APPLIED), 0)
    fields = set(re.findall(r"`(\w+)`", manual.partition("| field |")[2].partition("\n\n")[0]))
    events = ("applied", "already_applied", "failed", "stopped", "cancelled", "lease_held", "superseded")
    events += ("rolled_back", "already_rolled_back")

    assert {*told.sent[0], *WHO} <= fields
    assert set(events) <= fields
    assert set(json.loads(manual.partition("```json\n")[2].partition("```")[0])) == {*told.sent[0], *WHO}
