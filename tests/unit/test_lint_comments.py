"""What an author says of a finding, and whether that is of use."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.linting.checking import File, check
from chunkmigrate.linting.findings import BY_SERVER, RULES, chosen

ALL = frozenset(RULES)
ACTS = '"""Doc."""\ndef downgrade(db): pass\ndef upgrade(db):\n    db.a.update_many({}, {"$inc": {"n": 1}})'


def lines(source: str, codes: frozenset[str] = ALL) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in check(File(Path("m.py"), source.encode()), codes)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ACTS, [(4, "CM201")]),
        (f"{ACTS}  # chunkmigrate: ignore[CM201]\n", []),
        (f"{ACTS}  # chunkmigrate: ignore[CM201]  counted anew each night\n", []),
        (f"{ACTS}  #chunkmigrate:ignore[ CM201 , CM203 ]\n", [(4, "CM002")]),
        (f"# chunkmigrate: ignore[CM201]\n{ACTS}\n", []),
        (f"#!/usr/bin/env python\n\n# Why.\n# chunkmigrate: ignore[CM201]\n{ACTS}\n", []),
        (f"{ACTS}\n# chunkmigrate: ignore[CM201]\n", [(4, "CM201"), (5, "CM002")]),
        (f"{ACTS}  # chunkmigrate: ignore[CM203]\n", [(4, "CM002"), (4, "CM201")]),
        (f"{ACTS}  # chunkmigrate: ignore[CM2]\n", [(4, "CM003"), (4, "CM201")]),
        (f"{ACTS}  # chunkmigrate: ignore\n", [(4, "CM003"), (4, "CM201")]),
        (f"{ACTS}  # chunkmigrate: ignore[]\n", [(4, "CM003"), (4, "CM201")]),
        (f'{ACTS}\nX = "# chunkmigrate: ignore[CM201]"\n', [(4, "CM201")]),
        (f"{ACTS}  # chunkmigrate: ignored[CM201]\n", [(4, "CM201")]),
        (ACTS.replace("\n", "\r\n") + "  # chunkmigrate: ignore[CM201]\r\n", []),
    ],
)
def test_ignoring(source: str, expected: list[tuple[int, str]]) -> None:
    """A comment counts in its line, or for the file above its first statement; of no use, it is told."""
    assert lines(source) == expected


def test_not_asked() -> None:
    """A comment about a rule that was not asked for, or that needs a server, is left alone."""
    source = f"{ACTS}  # chunkmigrate: ignore[CM203, CM401]\n"

    assert lines(source, ALL - {"CM203", "CM201"}) == []


@pytest.mark.parametrize(
    ("select", "ignore", "expected"),
    [
        ([], [], ALL),
        (["CM4"], [], BY_SERVER),
        (["CM101", "CM40"], ["CM402"], {"CM101", "CM401"}),
        ([], ["CM"], set()),
    ],
)
def test_chosen(select: list[str], ignore: list[str], expected: set[str]) -> None:
    """Rules are chosen by their codes, or by how those begin; what is ignored is so in any case."""
    assert chosen(select, ignore) == expected


@pytest.mark.parametrize(("select", "ignore"), [(["X1"], []), ([], ["CM999"]), ([""], []), (["cm101"], [])])
def test_unknown(select: list[str], ignore: list[str]) -> None:
    """A code that no rule begins with is refused with those there are."""
    with pytest.raises(InvalidSettingError, match=r"no rule is called '.*'\. There are CM001, "):
        chosen(select, ignore)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (b"def upgrade(db)\n", 1, "It cannot be parsed: expected ':'."),
        (b"x = 1\n  y = 2\n", 2, "It cannot be parsed: unexpected indent."),
        (b"x = '\xff'\n", 1, "It cannot be parsed: "),
        (b"# coding: nonsense\n", 1, "It cannot be parsed: "),
        (b"x = 1\0\n", 1, "It cannot be parsed: "),
        (b"x = " + b"(" * 1_000 + b")" * 1_000, 1, "It cannot be parsed: "),
        (b"x = " + b"-" * 20_000 + b"1", 1, "It is nested too deeply to be read."),
        (b"x = 1" + b" + 1" * 20_000, 1, "It is nested too deeply to be read."),
        (b"x = a" + b".b" * 20_000, 1, "It is nested too deeply to be read."),
    ],
)
def test_unparsable(text: bytes, line: int, said: str) -> None:
    """A file that cannot be parsed is one finding, with its line and the parser's own words."""
    [finding] = check(File(Path("m.py"), text), ALL)

    assert (finding.code, finding.line) == ("CM001", line)
    assert finding.message.startswith(said)


def test_unparsable_ignored() -> None:
    """Where CM001 is not asked for, a file that cannot be parsed is passed over."""
    assert check(File(Path("m.py"), b"def"), ALL - {"CM001"}) == []
