"""What was settled: a file beside the migration, that is used as it is or refused with a sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate import tuned
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.sizing import MIB, Most
from chunkmigrate.tuned import Tuned
from tests.unit.measured import migration_in

if TYPE_CHECKING:
    from pathlib import Path

SETTLED = Tuned(memory=82 * MIB, chunk_bytes=MIB, page_bytes=MIB, chunk_documents=500, writers=2)


def test_round_trip(tmp_path: Path) -> None:
    """What is written is read again, without a word; the reasons lie beside it for whoever looks."""
    migration = migration_in(tmp_path)
    path = tuned.save(migration, SETTLED, ("Memory: 82Mi.",))

    assert path == tmp_path / "migrations" / "1_prices.tuning.json"
    assert tuned.load(migration) == (SETTLED, "")
    assert json.loads(path.read_text("utf-8"))["why"] == ["Memory: 82Mi."]
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".part"] == []


def test_none(tmp_path: Path) -> None:
    """Where nothing was settled there is nothing to say."""
    assert tuned.load(migration_in(tmp_path)) == (None, "")


def test_another_version(tmp_path: Path) -> None:
    """Settled for another version of the migration it is not used, and a warning says how to renew it."""
    tuned.save(migration_in(tmp_path), SETTLED, ())
    found, warning = tuned.load(migration_in(tmp_path, "def upgrade(db): print()\n"))

    assert found is None
    assert warning == (
        "1_prices.tuning.json is of another version of the migration and is not used; renew it with "
        "`chunkmigrate tune 1_prices --write`"
    )


def test_most() -> None:
    """The sizes are those a run keeps to."""
    assert SETTLED.most == Most(chunk_bytes=MIB, page_bytes=MIB, chunk_documents=500)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"format"',
        b"{}",
        b'{"format": 2}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": 1' + b"0" * 5_000 + b"}",
    ],
    ids=["empty", "cut", "list", "null", "text", "bare", "format", "binary", "deep list", "deep", "digits"],
)
def test_no_file_of_ours(tmp_path: Path, content: bytes) -> None:
    """A file that is none is refused with a sentence that says what to do."""
    migration = migration_in(tmp_path)
    tuned.path_of(migration).write_bytes(content)

    with pytest.raises(
        InvalidSettingError, match=r"1_prices\.tuning\.json cannot be used: .*Delete it, or"
    ) as caught:
        tuned.load(migration)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("name", ["memory", "chunk_bytes", "page_bytes", "chunk_documents", "writers"])
@pytest.mark.parametrize(
    "value",
    [None, 0, -1, 1 << 60, 1.5, float("nan"), float("inf"), True, "64Mi", "x" * 100_000, [1], {"a": 1}],
    ids=lambda value: str(value)[:10],
)
def test_values(tmp_path: Path, name: str, value: Any) -> None:
    """A value that is no size is refused by its name, however it is wrong; it is not printed at length."""
    migration = migration_in(tmp_path)
    path = tuned.save(migration, SETTLED, ())
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {name: value}), "utf-8")

    with pytest.raises(
        InvalidSettingError, match=f"cannot be used: {name} is .* no number from 1 to"
    ) as caught:
        tuned.load(migration)
    assert len(str(caught.value)) < 1_000


def test_cut_anywhere(tmp_path: Path) -> None:
    """A file that is cut off anywhere is refused, and never half used."""
    migration = migration_in(tmp_path)
    path = tuned.save(migration, SETTLED, ())
    whole = path.read_bytes().rstrip()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidSettingError):
            tuned.load(migration)


def test_not_writable(tmp_path: Path) -> None:
    """Where the file cannot be written that is said, with its name."""
    migration = migration_in(tmp_path)
    tuned.path_of(migration).with_suffix(".part").mkdir()

    with pytest.raises(InvalidSettingError, match=r"1_prices\.tuning\.json cannot be written: "):
        tuned.save(migration, SETTLED, ())


def test_not_readable(tmp_path: Path) -> None:
    """Where there is something else in its place that is said."""
    migration = migration_in(tmp_path)
    tuned.path_of(migration).mkdir()

    with pytest.raises(InvalidSettingError, match="cannot be used"):
        tuned.load(migration)
