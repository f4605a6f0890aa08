"""The page: whatever comes from outside stays text, and everything on it can be read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from chunkmigrate import report_page
from chunkmigrate.profiles import Function, Line, Point, Profile, Seconds, Sizes, Step
from tests.unit.telling import MADE, steady, told

CSS = (Path(report_page.__file__).parent / "templates" / "report.css").read_text("utf-8")

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "`<b>bold</b>`",
    "&lt;script&gt;",
    "]]><!--",
    "javascript:alert(1)",
]
INVISIBLE = ["\u202eevil", "a\u2066b", "\x1b[31mred", "\x00", "\ud800", "\ufeffx"]


class Elements(HTMLParser):
    """The elements of a page, and their text."""

    VOID = frozenset({"meta", "link", "path", "img", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page_of(report: Any) -> str:
    return report_page.page(report, made=MADE)


def profile_of(text: str) -> Profile:
    line = Line(number=1, text=text, hits=1, increment=5, memory=9)
    point = Point(
        budget=1,
        chunk_documents=1,
        chunk_bytes=1,
        page_bytes=1,
        start=1,
        peak=1,
        documents=1,
        documents_per_second=1.0,
        against=cast("Any", text),
        held=True,
    )
    one = Sizes(mean=1, median=1, p95=1, max=1)
    step = Step(
        step=0,
        namespace=text,
        documents=None,
        size=None,
        sampled=1,
        whole=False,
        sizes=one,
        expansion=1.0,
        write_bytes=one,
        writes_per_document=1.0,
        seconds_per_document=Seconds(read=1e-6, decode=1e-6, transform=1e-6, encode=1e-6),
        failures={},
        sweep=(point,),
        functions=(Function(name=text, file=text, lines=(line,)),),
    )
    return Profile(
        format=1,
        migration=text,
        checksum=text,
        version=text,
        at=text,
        writers=1,
        baseline=1,
        seconds=1.0,
        steps=(step,),
    )


def everywhere(text: str) -> Any:
    """A report that has a text wherever one from outside may stand."""
    kept = steady(9)
    kept.mark(3.0, text, text)
    kept.mark(4.0, "throttled", text)
    return told(
        "failed",
        migration=text,
        reason=text,
        failure={"kind": text, "cause": text, "document": text},
        pod=text,
        version=text,
        checksum=text,
        budget_source=text,
        position=text,
        warnings=[text],
        pauses={text: 30.0},
        timeline=kept.document(),
        how={
            "show_values": True,
            "profile": profile_of(text),
            "profile_trouble": text,
            "quarantine": [{"reason": text, "documents": 1, "ids": [text]}],
        },
    )


PLAIN = Elements(page_of(everywhere("plain")))


@pytest.mark.parametrize("text", HOSTILE)
def test_stays_text(text: str) -> None:
    """Whatever a name, a reason, a docstring or an _id holds is shown as it is, and makes no element."""
    page = page_of(everywhere(text))
    elements = Elements(page)

    assert [tag for tag, _ in elements.found if tag != "code"] == [
        tag for tag, _ in PLAIN.found if tag != "code"
    ]
    assert not elements.named("script")
    assert not elements.named("img")
    assert not [
        attributes for _, attributes in elements.found if any(name.startswith("on") for name in attributes)
    ]
    assert elements.text.count(text.replace("`", "")) + elements.text.count(text) >= 15
    assert page.count("</style>") == 1


@pytest.mark.parametrize("text", INVISIBLE)
def test_seen(text: str) -> None:
    """What cannot be seen, or turns its neighbours around, is spelled out."""
    page = page_of(everywhere(text))

    assert not [one for one in page if not one.isprintable() and one != "\n"]
    assert text.encode("unicode_escape").decode() in page


def test_nothing_from_elsewhere() -> None:
    """The page has no script, and asks for nothing: no address is on it but that of an empty icon."""
    page = page_of(everywhere("x"))
    elements = Elements(page)

    assert not elements.named("script")
    assert [link["href"] for link in elements.named("link")] == ["data:,"]
    assert not [
        attributes for _, attributes in elements.found if attributes.keys() & {"src", "srcset", "action"}
    ]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert "default-src 'none'" in page


def test_withheld() -> None:
    """What a failure says is not on the page; that it is left out, and how to see it, is."""
    failure = {"kind": "TransformError", "cause": "KeyError", "document": "7"}
    text = Elements(page_of(told("failed", reason="Ann Example", failure=failure))).text

    assert "Ann" not in text
    assert "TransformError" in text
    assert "--show-values" in text


def test_headings() -> None:
    """Headings go one level down at a time, each section has its own, and every id is there once."""
    elements = Elements(page_of(everywhere("x")))
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h[1-6]", tag)]
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    labelled = [
        attributes["aria-labelledby"] for _, attributes in elements.found if "aria-labelledby" in attributes
    ]

    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(ids) == len(set(ids))
    assert set(labelled) <= set(ids)
    assert len(elements.named("section")) >= 7


def test_drawn() -> None:
    """There are four plots, each with a sentence about it and a point for each sample; and all numbers."""
    elements = Elements(page_of(told(timeline=steady(60).document())))
    labels = [one["aria-label"] for one in elements.named("svg") if one.get("role") == "img"]
    points = [one for one in elements.named("i") if (one.get("class") or "").startswith("point")]

    assert len(labels) == 4
    assert all(label and label.endswith(".") for label in labels)
    assert len(points) == 4 * 61
    assert len(elements.named("tr")) == 62
    assert len(elements.named("details")) == 1


@pytest.mark.parametrize(
    "status", ["applied", "failed", "died", "stopped", "cancelled", "paused", "running", "new"]
)
@pytest.mark.parametrize("timeline", [{}, steady(1).document(), steady(600).document()])
def test_every_end(status: str, timeline: dict[str, Any]) -> None:
    """However a run ended, and however little is known of it, there is a page."""
    elements = Elements(page_of(told(status, timeline=timeline, seconds=None, peak=None, sizes=None)))

    assert "The run" in elements.text


def palette(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})[;}\s]", css))


LIGHT = palette(CSS.partition("@media")[0])
DARK = palette(CSS.partition("@media screen")[2].partition("}\n}")[0])


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card", "well"])
@pytest.mark.parametrize("ink", ["ink", "soft", "blue", "teal", "green", "red", "amber"])
def test_contrast(colours: dict[str, str], ground: str, ink: str) -> None:
    """Every colour that is written or drawn in stands out from every ground by what WCAG AA asks of text."""
    assert contrast(colours[ink], colours[ground]) >= 4.5


def test_same_palette() -> None:
    """What is said in light is said in dark."""
    assert LIGHT.keys() == DARK.keys() >= {"ink", "page", "card"}
