"""The documentation as a whole: what links to what, and which figures stand twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
README = (ROOT / "README.md").read_text("utf-8")

LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[tuple[str, str]]:
    return LINK.findall(CODE.sub("", text))


def anchors(page: Path) -> set[str]:
    """What headings, and places with a name of their own, are called in an address."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"&\w+;|[^\w\s-]", "", heading.lower()) for heading in headings]
    named = re.findall(r'<a id="([\w-]+)">', text)
    return {*named, *(heading.strip().replace(" ", "-") for heading in plain)}


def test_links_are_found() -> None:
    """What the next test rests on: links are found, those in code are not."""
    assert links("[a](b.md#c) `[x](y.md)` [d](https://e) [f](#g)\n```\n[h](i)\n```\n") == [
        ("b.md", "c"),
        ("", "g"),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every relative link of a page leads to a file that is there, and to a heading it has."""
    for target, anchor in links(page.read_text("utf-8")):
        there = (page.parent / target).resolve() if target else page

        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_every_page_is_listed() -> None:
    """docs/README.md has one line for each page, and is linked from the README."""
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[[a-z-]+\]\(([a-z-]+\.md)\) \| .+ \|$", index, re.MULTILINE)

    assert sorted(listed) == sorted(
        path.name for path in (ROOT / "docs").glob("*.md") if path.stem != "README"
    )
    assert ("docs/README.md", "") in links(README)


def test_headline_figures() -> None:
    """The figures the README picks out of the benchmarks and the soak are those of the tables."""
    measured = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|`]+ \|((?: [\d,.]+ \|){7})$", README, re.MULTILINE)
    survived = re.search(r"In \[\d+ minutes\].*?wrong\.", README, re.DOTALL)

    assert len(rows) == 5
    for row in rows:
        for figure in row.replace("|", " ").split():
            assert re.search(rf"(?<![\d,.]){re.escape(figure)}(?![\d,.])", measured), figure
    assert survived
    for figure in re.findall(r"\d[\d,]+", survived[0]):
        assert figure in (ROOT / "docs" / "soak.md").read_text("utf-8")
