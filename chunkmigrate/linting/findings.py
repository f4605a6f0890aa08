"""Findings: the rules by their codes, and what one of them has to say of a line.

What a rule looks for is explained, with an example, in docs/lint.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The first digit says what a rule is about: lint itself, the file, what upgrade does by itself, what a
# transform does, what only a server can tell. A code is never used again for something else.
RULES = {
    "CM001": "a file that cannot be parsed",
    "CM002": "an ignore comment that ignores nothing",
    "CM003": "an ignore comment that cannot be understood",
    "CM101": "no docstring",
    "CM102": "no way back",
    "CM103": "two files of one timestamp",
    "CM104": "no upgrade(db)",
    "CM105": "network, processes, files or the clock when imported",
    "CM201": "a write by upgrade itself that does more when it is done again",
    "CM202": "an act beside a Backfill that cannot be done twice",
    "CM203": "a loop in upgrade that reads and writes documents",
    "CM204": "skip()",
    "CM205": "a loop that never ends, because its writes leave its filter as it was",
    "CM301": "one generated value for every document",
    "CM302": "a write that finds its document by something else than _id",
    "CM303": "an insert into the collection that is being read",
    "CM304": "whole documents read for a few of their fields",
    "CM305": "a transform that sends writes by itself",
    "CM306": "a transform that sleeps",
    "CM401": "a read that no index helps",
    "CM402": "a write that does more when it is done again, on a standalone server",
}
BY_SERVER = frozenset(code for code in RULES if code.startswith("CM4"))


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What the rule ``code`` has to say of a line: ``message`` is a sentence with what to do about it."""

    path: Path
    line: int
    code: str
    message: str


def chosen(select: Iterable[str], ignore: Iterable[str]) -> frozenset[str]:
    """Return the codes in force: those selected, else all, but for those ignored.

    Both are codes or their beginnings; `InvalidSettingError` names one that no rule has.

    >>> sorted(chosen(["CM2"], ["CM203", "CM204", "CM205"]))
    ['CM201', 'CM202']
    """
    wanted = _meant("--select", select) or frozenset(RULES)
    return wanted - _meant("--ignore", ignore)


def _meant(option: str, beginnings: Iterable[str]) -> frozenset[str]:
    found = set[str]()
    for beginning in beginnings:
        codes = {code for code in RULES if beginning and code.startswith(beginning)}
        if not codes:
            message = f"{option}: no rule is called {beginning!r}. There are {', '.join(RULES)}."
            raise InvalidSettingError(message)
        found |= codes
    return frozenset(found)
