"""Comments: what an author says of a rule, ``# chunkmigrate: ignore[CM101]``, and whether that is of use."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkmigrate.linting.findings import RULES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_COMMENT = re.compile(r"#\s*chunkmigrate:\s*ignore\b(.*)")
_CODES = re.compile(r"\[([^\]]*)\]")
_BEFORE_CODE = {tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE}


@dataclass(frozen=True, slots=True)
class Ignore:
    """A comment: which ``codes`` it is about, in its line or, where ``everywhere``, in the file."""

    line: int
    codes: tuple[str, ...]
    everywhere: bool

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is ignored."""
        return finding.code in self.codes and (self.everywhere or finding.line == self.line)


def ignores_of(text: str) -> list[Ignore]:
    """Return the comments of a file. One above its first statement is about all of it."""
    found: list[Ignore] = []
    at_top = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        at_top = at_top and token.type in _BEFORE_CODE
        said = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if said:
            found.append(Ignore(token.start[0], _codes(said[1]), at_top))
    return found


def _codes(text: str) -> tuple[str, ...]:
    listed = _CODES.match(text.strip())
    return tuple(code.strip() for code in listed[1].split(",") if code.strip()) if listed else ()


def applied(
    path: Path, findings: Iterable[Finding], ignores: Iterable[Ignore], asked: frozenset[str]
) -> Iterator[Finding]:
    """Yield the findings that no comment ignores, and what is wrong with the comments themselves.

    A comment about a rule that was not ``asked`` cannot be told to be of no use.
    """
    findings, used = list(findings), set[tuple[int, str]]()
    for finding in findings:
        covering = [ignore for ignore in ignores if ignore.covers(finding)]
        used |= {(ignore.line, finding.code) for ignore in covering}
        if not covering:
            yield finding
    for ignore in ignores:
        yield from _wrong(path, ignore, used, asked)


def _wrong(
    path: Path, ignore: Ignore, used: set[tuple[int, str]], asked: frozenset[str]
) -> Iterator[Finding]:
    if not ignore.codes:
        message = "names no rule: write # chunkmigrate: ignore[CM101]."
        yield Finding(path, ignore.line, "CM003", f"The ignore comment {message}")
    for code in ignore.codes:
        if code not in RULES:
            message = f"No rule is called {code}: docs/lint.md lists them."
            yield Finding(path, ignore.line, "CM003", message)
        elif code in asked and (ignore.line, code) not in used:
            where = "in this file" if ignore.everywhere else "in this line"
            yield Finding(path, ignore.line, "CM002", f"There is no {code} {where} to ignore: take it out.")
