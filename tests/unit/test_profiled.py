"""Reading a profile: whole, absent, cut short, or not what it should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import profiled
from chunkmigrate.errors import UnreadableProfileError

if TYPE_CHECKING:
    from pathlib import Path

LINE = {"number": 12, "text": "    x = 1", "hits": 4, "increment": -1_024, "memory": 44_000_000}
STEP: dict[str, Any] = {
    "step": 0,
    "namespace": "shop.orders",
    "documents": None,
    "sampled": 400,
    "sizes": {"mean": 2_400, "median": 2_100, "p95": 6_000, "max": 81_000},
    "expansion": 6.4,
    "write_bytes": {"mean": 90, "max": 120},
    "writes_per_document": 1.0,
    "seconds_per_document": {"read": 4e-6, "decode": 11e-6, "transform": 37e-6, "encode": 6e-6},
    "sweep": [
        {"chunk_documents": 50, "peak": 45_000_000, "documents_per_second": 4_366.5, "against": "scratch"}
    ],
    "functions": [
        {"name": "to_cents", "file": "m.py", "lines": [LINE, LINE | {"increment": None, "memory": None}]}
    ],
}
WHOLE: dict[str, Any] = {
    "format": 1,
    "migration": "cents",
    "checksum": "sha256:ab",
    "version": "0.1.0",
    "at": "2026-02-03T04:05:06+00:00",
    "baseline": 41_000_000,
    "seconds": 4.1,
    "steps": [STEP],
}


def test_whole(tmp_path: Path) -> None:
    """A profile is read as it was written."""
    profile = profiled.read(written(tmp_path, json.dumps(WHOLE)))

    assert profile is not None
    step = profile.steps[0]
    assert step.seconds_per_document == pytest.approx(58e-6)
    assert (step.sizes["p95"], step.sweep[0].documents_per_second) == (6_000, 4_366.5)
    assert [line.increment for line in step.functions[0].lines] == [-1_024, None]


def test_absent(tmp_path: Path) -> None:
    """Where there is no profile there is none, and that is no failure."""
    assert profiled.read(tmp_path / "none.json") is None


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "cents.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(**fields: Any) -> str:
    return json.dumps(WHOLE | fields)


def stepped(**fields: Any) -> str:
    return changed(steps=[STEP | fields])


HOSTILE = {
    "empty": "",
    "cut": json.dumps(WHOLE)[:400],
    "no JSON": "<script>alert(1)</script>",
    "no text": b"\xff\xfe\x00{",
    "a list": "[]",
    "null": "null",
    "another format": changed(format=2),
    "nothing in it": "{}",
    "steps missing": json.dumps({name: value for name, value in WHOLE.items() if name != "steps"}),
    "steps no list": changed(steps={"0": STEP}),
    "a step no object": changed(steps=[7]),
    "a name no text": changed(migration=["x"]),
    "a negative size": changed(baseline=-1),
    "a number as text": changed(seconds="4"),
    "true": changed(baseline=True),
    "NaN": changed(seconds=float("nan")),
    "infinite": json.dumps(WHOLE).replace("4.1", "1e999"),
    "huge": json.dumps(WHOLE).replace("41000000", "9" * 40),
    "endless": json.dumps(WHOLE).replace("41000000", "9" * 10_000),
    "deep": "[" * 200_000,
    "a phase missing": stepped(seconds_per_document={"read": 1}),
    "sizes no object": stepped(sizes=[1, 2]),
    "hits missing": stepped(functions=[{"name": "f", "file": "f", "lines": [{"number": 1, "text": ""}]}]),
    "too large": b" " * (profiled.MAX_BYTES + 1),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile(tmp_path: Path, content: str | bytes) -> None:
    """Whatever else a file holds is a sentence that names the file, and says what to do."""
    path = written(tmp_path, content)
    with pytest.raises(UnreadableProfileError) as raised:
        profiled.read(path)

    assert str(raised.value).startswith(f"{path} cannot be read as a profile: ")
    assert str(raised.value).endswith(". Make it anew, or take it away.")
    assert len(str(raised.value)) < 600


def test_folder(tmp_path: Path) -> None:
    """A folder in its place is a sentence, too."""
    with pytest.raises(UnreadableProfileError, match="Is a directory"):
        profiled.read(tmp_path)
