"""The pod's pulse and its last word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import pod
from chunkmigrate.migration import Migration
from chunkmigrate.pod import LIVENESS, MOST_BYTES, PULSE_SECONDS, Pulse, last_word, pulse_of, shortened

if TYPE_CHECKING:
    from pathlib import Path


def test_nobody_looks(tmp_path: Path) -> None:
    """Where no sign of life was asked for none is given, and a migration is what it was."""
    migration = Migration(name="m", path=tmp_path / "m.py", description="", checksum="")
    pulse = pulse_of({})
    pulse.beat()

    assert pulse.path is None
    assert pulse.kept_up(migration) is migration


def test_beat(tmp_path: Path) -> None:
    """A sign of life is a file that is touched, no more often than every few seconds."""
    now, file = [100.0], tmp_path / "alive"
    pulse = Pulse(file, clock=lambda: now[0])
    pulse.beat()
    assert file.exists()
    file.unlink()
    now[0] += PULSE_SECONDS / 2
    pulse.beat()
    assert not file.exists()
    now[0] += PULSE_SECONDS
    pulse.beat()

    assert file.exists()
    assert pulse_of({LIVENESS: str(file)}).path == file


def test_cannot_beat(tmp_path: Path) -> None:
    """A sign of life that cannot be given fails nothing: the probe will tell."""
    Pulse(tmp_path / "none" / "alive").beat()

    assert not (tmp_path / "none").exists()


def test_while_acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the author's own upgrade acts, signs of life go on; what it answers is what it answered."""
    monkeypatch.setattr(pod, "PULSE_SECONDS", 0.01)
    file = tmp_path / "alive"

    def upgrade(_database: Any) -> str:
        while not file.exists():
            pass
        return "done"

    migration = Migration(name="m", path=tmp_path / "m.py", description="", checksum="", upgrade=upgrade)
    kept = Pulse(file).kept_up(migration)

    assert kept.upgrade is not None
    assert kept.upgrade(None) == "done"


def test_last_word(tmp_path: Path) -> None:
    """A last word is left where a kubelet has made a place for it, and nowhere else."""
    place = tmp_path / "termination-log"
    last_word({"event": "applied"}, place)
    assert not place.exists()
    place.touch()
    last_word({"event": "applied", "text": "the same for chats"}, place)

    assert json.loads(place.read_text()) == {"event": "applied"}


@pytest.mark.parametrize("sentence", ["short", "x" * 10_000, "\u00e4\U0001f600" * 3_000, '"\\' * 4_000])
def test_short_enough(sentence: str) -> None:
    """A last word fits into what a kubelet reads, whatever it says, and is JSON still."""
    said = shortened({"event": "failed", "exit_code": 1, "message": sentence})
    told = json.loads(said)

    assert len(said) <= MOST_BYTES
    assert (told["event"], told["exit_code"]) == ("failed", 1)
    assert told["message"][:5] == sentence[:5]
