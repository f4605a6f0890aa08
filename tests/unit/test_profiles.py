"""Profiles as files: used as they are, or refused with a sentence that says why."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from chunkmigrate import profiles, tuned
from chunkmigrate.errors import ProfileError
from chunkmigrate.summary import Summary
from chunkmigrate.tuning import tune
from tests.unit.measured import migration_in, profile_of, step_of

if TYPE_CHECKING:
    from pathlib import Path

    from chunkmigrate.migration import Migration


@pytest.fixture
def migration(tmp_path: Path) -> Migration:
    """A migration, with a profile of it."""
    migration = migration_in(tmp_path)
    profiles.save(profile_of(), profiles.path_of(migration))
    return migration


def change(migration: Migration, *place: Any, to: Any) -> None:
    """Write another value to a place of the file."""
    path = profiles.path_of(migration)
    content = json.loads(path.read_text("utf-8"))
    inner = content
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = to
    path.write_text(json.dumps(content), "utf-8")


def refusal(migration: Migration) -> str:
    with pytest.raises(ProfileError) as caught:
        profiles.load(migration)
    assert len(str(caught.value)) < 1_000
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


def test_round_trip(migration: Migration, tmp_path: Path) -> None:
    """What is written is read again, from the folder beside the migrations."""
    assert profiles.path_of(migration) == tmp_path / "profiles" / "1_prices.json"
    assert profiles.load(migration) == profile_of()
    assert [one.name for one in (tmp_path / "profiles").iterdir()] == ["1_prices.json"]


def test_line() -> None:
    """As a line it is the same, without a line break."""
    line = profiles.line(profile_of())

    assert "\n" not in line
    assert json.loads(line)["steps"][0]["namespace"] == "shop.orders"


def test_none(tmp_path: Path) -> None:
    """Where there is none the sentence says how to make one."""
    assert refusal(migration_in(tmp_path)) == (
        "There is no profile of 1_prices. Make one with `chunkmigrate profile 1_prices`."
    )


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("format",), 2, "it has the format 2, and this version of chunkmigrate reads 1"),
        (("migration",), "2_other", "it is a profile of 2_other"),
        (("checksum",), "sha256:0", "1_prices.py has changed since it was made"),
        (("baseline",), -1, "$.baseline"),
        (("baseline",), 1.5, "$.baseline"),
        (("baseline",), 1 << 60, "$.baseline"),
        (("baseline",), "36Mi", "$.baseline"),
        (("writers",), 0, "$.writers"),
        (("writers",), 1_000_000, "$.writers"),
        (("seconds",), float("nan"), "is no profile"),
        (("seconds",), float("inf"), "is no profile"),
        (("seconds",), -0.5, "$.seconds"),
        (("seconds",), None, "$.seconds"),
        (("steps", 0), None, "$.steps[0]"),
        (("steps", 0, "documents"), -5, "$.steps[0].documents"),
        (("steps", 0, "namespace"), "x" * 20_000, "$.steps[0].namespace"),
        (("steps", 0, "sweep", 0, "documents_per_second"), -1, "$.steps[0].sweep[0]"),
        (("steps", 0, "sweep", 0, "documents_per_second"), 5e-324, "$.steps[0].sweep[0]"),
        (("steps", 0, "sweep", 0, "budget"), -1, "$.steps[0].sweep[0].budget"),
        (("steps", 0, "sweep", 0, "budget"), 0, "$.steps[0].sweep[0].budget"),
        (("steps", 0, "sweep", 0, "budget"), 1 << 53, "$.steps[0].sweep[0].budget"),
        (("steps", 0, "sweep", 0, "chunk_documents"), 0, "$.steps[0].sweep[0].chunk_documents"),
        (("steps", 0, "sweep", 0, "chunk_documents"), 1_001, "$.steps[0].sweep[0].chunk_documents"),
        (("steps", 0, "sweep", 0, "held"), "yes", "$.steps[0].sweep[0].held"),
        (("steps", 0, "sweep", 0, "against"), "elsewhere", "$.steps[0].sweep[0].against"),
        (("steps", 0, "sweep", 0, "against"), "\x1b[31m", r"\x1b[31m"),
        (("migration",), "\x1b[31m", r"it is a profile of \x1b[31m"),
        (("steps", 0, "seconds_per_document"), {"read": 1}, "$.steps[0].seconds_per_document"),
        (("steps", 0, "failures"), {"KeyError": "many"}, "$.steps[0].failures"),
    ],
)
def test_values(migration: Migration, place: tuple[Any, ...], value: Any, reason: str) -> None:
    """What cannot have been measured, or not of this, is refused with its place and with what to do."""
    change(migration, *place, to=value)
    said = refusal(migration)

    assert reason in said
    assert said.endswith("Make a new one with `chunkmigrate profile 1_prices`.")


def test_huge_number(migration: Migration) -> None:
    """A number beyond all floats is refused, and not infinite."""
    path = profiles.path_of(migration)
    path.write_text(path.read_text("utf-8").replace('"seconds": 12.0', '"seconds": 1e999'), "utf-8")

    assert "is no profile" in refusal(migration)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("steps", 0, "sweep", 1, "documents_per_second"), 1e-6),
        (("steps", 0, "sweep", 0, "budget"), 1 << 49),
        (("baseline",), 1 << 49),
        (("steps", 0, "documents"), 1 << 53),
        (("steps", 0, "failures"), {"\x1b[31mError": 3}),
    ],
    ids=["slowest", "largest", "largest start", "most documents", "control characters"],
)
def test_at_the_bounds(migration: Migration, place: tuple[Any, ...], value: Any) -> None:
    """A profile that is not refused can be tuned from, and shown, and a run reads what is kept of it."""
    profiles.save(profile_of(step_of(paces={1_000: 10_000})), profiles.path_of(migration))
    change(migration, *place, to=value)
    found, out = tune(profiles.load(migration), []), StringIO()
    Summary(Console(file=out)).tuning(found)
    tuned.save(migration, found.tuned, found.why)

    assert tuned.load(migration) == (found.tuned, "")
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"format": 1}', b"{}"],
    ids=["empty", "cut", "list", "null", "binary", "deep list", "deep", "format alone", "bare"],
)
def test_no_profile(migration: Migration, content: bytes) -> None:
    """A file that is no profile is refused, whatever it is."""
    profiles.path_of(migration).write_bytes(content)

    assert "is no profile" in refusal(migration)


def test_cut_anywhere(migration: Migration) -> None:
    """A file that is cut off anywhere is refused, and never half used."""
    path = profiles.path_of(migration)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refusal(migration)


def test_later_fields(migration: Migration) -> None:
    """What a later version may have added is passed over."""
    change(migration, "steps", 0, "more", to=[1])

    assert profiles.load(migration) == profile_of()


def test_one_step_measured(migration: Migration) -> None:
    """A step without documents does not spoil the profile of the others."""
    profile = profile_of(step_of(), step_of(step=1, sampled=0, sweep=()))
    profiles.save(profile, profiles.path_of(migration))

    assert profiles.load(migration) == profile


def test_not_writable(tmp_path: Path) -> None:
    """Where it cannot be written that is said, with its name."""
    (tmp_path / "profiles").write_text("no folder", "utf-8")

    with pytest.raises(ProfileError, match=r"profiles/1_prices\.json cannot be written: "):
        profiles.save(profile_of(), profiles.path_of(migration_in(tmp_path)))


def test_not_readable(tmp_path: Path) -> None:
    """Where there is something else in its place that is said."""
    migration = migration_in(tmp_path)
    profiles.path_of(migration).mkdir(parents=True)

    assert "cannot be read" in refusal(migration)
