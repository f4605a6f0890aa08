"""What the documentation says of each rule of lint: its first example is found, its second is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chunkmigrate.linting.checking import File, check
from chunkmigrate.linting.findings import BY_SERVER, RULES

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "lint.md").read_text("utf-8")
SECTIONS = re.findall(
    r"^### (CM\d+) (.*?)\n(.*?)(?=^##|\Z)", DOCUMENTATION.replace("\\_", "_"), re.MULTILINE | re.DOTALL
)
EXAMPLES = {
    code: re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for code, _, text in SECTIONS
}

# Behind the example, for a docstring stands first.
IMPORTS = "\nfrom chunkmigrate import Backfill, InsertOne, UpdateOne, scan\n"


def codes(source: str, asked: frozenset[str]) -> list[str]:
    return [finding.code for finding in check(File(Path("m.py"), (source + IMPORTS).encode()), asked)]


def test_every_rule_is_documented() -> None:
    """Every rule stands in the documentation, under its own words, and no other does."""
    assert {code: title for code, title, _ in SECTIONS} == RULES


@pytest.mark.parametrize("code", [code for code, _, _ in SECTIONS if code not in BY_SERVER | {"CM103"}])
def test_examples(code: str) -> None:
    """Of a rule's two examples the first is found, once, and the second is not."""
    bad, good = EXAMPLES[code]
    asked = frozenset({code}) if code != "CM002" else frozenset(RULES)

    assert codes(bad, asked) == [code]
    assert codes(good, asked) == []


def test_ignoring() -> None:
    """The example of ignoring has nothing that is found."""
    [example] = re.findall(
        r"^```python\n(.*?)^```", DOCUMENTATION.partition("## The rules")[0], re.MULTILINE | re.DOTALL
    )

    assert codes(example, frozenset(RULES)) == []
    assert codes(re.sub(r"# chunkmigrate.*", "", example), frozenset(RULES)) == ["CM102", "CM203"]
