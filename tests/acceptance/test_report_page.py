"""The page of a report in a real browser: what it asks for, what it shows, and how it is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from chunkmigrate import profiles
from chunkmigrate.profiles import Function, Line
from tests.acceptance.browser import Browser, Page, browser, installed
from tests.unit.measured import point_of, profile_of, step_of
from tests.unit.telling import run_of, sample, timeline_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

    from tests.acceptance.conftest import CommandLine

HOSTILE = "2_</style><script>alert(1)</script>\"'`{{ 1 }}\u202e"
# A file may be called that, so that a profile may lie there.
NAME = "2_<img src=x onerror=alert(1)>\"'`{{ 1 }}\u202e"
MIB = 1024 * 1024
# A4 without the margins a browser leaves, in the pixels that paper is laid out in.
PAPER = 717


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, where there is one."""
    program = installed()
    if program is None:
        pytest.skip("no chromium or google-chrome is on PATH")
    with browser(program, tmp_path_factory.mktemp("browser")) as started:
        yield started


def profiled() -> profiles.Profile:
    """A profile with chunk sizes that were tried, and a function whose lines are long, broken and not."""
    texts = (HOSTILE, "    return " + " + ".join(["order['price']"] * 30), "x" * 400)
    lines = [
        Line(number=number, text=text, hits=2_000, increment=number * MIB, memory=40 * MIB)
        for number, text in enumerate(texts, 1)
    ]
    function = Function(name="to_cents", file="migrations/" + "a" * 100 + ".py", lines=(*lines,))
    paces = {100: 5_000.0, 1_000: 20_000.0}
    step = step_of(point_of(50), point_of(58), paces=paces, functions=(function,))
    return profile_of(step, migration=NAME)


@pytest.fixture
def hostile(cli: CommandLine, db: Database[Any]) -> Path:
    """The page of a run that died after six hours in which everything happened, under a hostile name, with a
    profile whose lines are longer than any page is wide.
    """
    profiles.save(profiled(), cli.folder / profiles.FOLDER / f"{NAME}.json")
    used = [100 + (number * 37) % 400 for number in range(2_000)]
    kept = timeline_of(
        [
            sample(float(number * 11), size * MIB, limit=700 * MIB, paused=float(number))
            for number, size in enumerate(used)
        ]
    )
    for number in range(300):
        kept.mark(number * 70.0, ("throttled", "retrying", "zone", "step")[number % 4], HOSTILE)
    named = {"_id": ObjectId(), "migration": NAME, "checksum": profiled().checksum}
    run = run_of("running", timeline=kept.document(), warnings=[HOSTILE], **named)
    db.chunkmigrate_runs.insert_one(run)
    identity = {"migration": NAME, "step": 0, "document": HOSTILE}
    rest = {"reason": HOSTILE, "message": "", "attempts": 1}
    db.chunkmigrate_quarantine.insert_one({"_id": identity} | identity | rest)
    done = cli("report")
    assert "\u202e" not in done.stdout
    return cli.folder / done.stdout.splitlines()[-1]


COUNTED = "document.querySelectorAll('{}').length"
SMALLEST = """Math.min(...[...document.querySelectorAll('body *')]
    .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .map(one => parseFloat(getComputedStyle(one).fontSize)))"""
SHOWN = """[...document.querySelectorAll('.point, .flag')]
    .filter(one => getComputedStyle(one, '::after').display === 'block').map(one => one.dataset.tip)"""
WIDER = """[...document.querySelectorAll('body *')].map(one => [one, one.getBoundingClientRect()])
    .filter(([one, place]) => place.width && (place.left < -1 || place.right > innerWidth + 1))
    .map(([one]) => one.outerHTML.slice(0, 200))"""
TABLES = """[...document.querySelectorAll('#profile ~ * table')].map(one => ({
    caption: one.caption.textContent, width: one.offsetWidth,
    room: one.parentElement.clientWidth, scrolls: getComputedStyle(one.parentElement).overflowX,
    heights: [...one.tBodies[0].rows].map(row => row.offsetHeight)}))"""
GROUND = "getComputedStyle(document.body).backgroundColor"


def undisturbed(page: Page, path: Path) -> None:
    """Nothing was asked for but the page itself, and nothing went wrong."""
    assert page.requests == [path.as_uri()]
    assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_in_a_browser(chromium: Browser, hostile: Path, tmp_path: Path, width: int, dark: bool) -> None:  # noqa: FBT001
    """In light and dark, on a phone and a wide screen, the page asks for nothing, complains of nothing, and
    shows four plots with all their points, in letters that can be read, without a line that is cut off.
    """
    page = chromium.open(hostile.as_uri(), width=width, dark=dark)

    undisturbed(page, hostile)
    assert page.ask(COUNTED.format("svg[role=img]")) == 4
    samples = page.ask(COUNTED.format("details tbody tr"))
    assert samples > 100
    assert page.ask(COUNTED.format(".point")) == 4 * samples
    assert page.ask("[...document.querySelectorAll('path.line')].every(one => one.getTotalLength() > 500)")
    assert page.ask("document.documentElement.scrollWidth") == width
    assert page.ask(SMALLEST) >= 11
    assert page.ask("document.scripts.length") == 0
    assert page.ask("document.querySelector('h1').textContent").startswith(NAME[:-1])
    picture = page.screenshot(tmp_path / "page.png")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000


def test_dark_is_dark(chromium: Browser, hostile: Path) -> None:
    """Who prefers dark gets dark; on paper it is light whatever they prefer."""
    grounds = [
        chromium.open(hostile.as_uri(), width=800, dark=dark, media=media).ask(GROUND)
        for dark, media in ((False, "screen"), (True, "screen"), (True, "print"))
    ]

    assert grounds == ["rgb(245, 246, 249)", "rgb(15, 19, 26)", "rgb(255, 255, 255)"]


def test_by_keyboard(chromium: Browser, hostile: Path) -> None:
    """With the keyboard alone, the numbers behind the plots can be opened, reached and read."""
    page = chromium.open(hostile.as_uri(), width=1440)
    for key in ("Tab", "Enter", "Tab"):
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        page.command("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        page.command("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    assert page.ask("document.querySelector('details').open")
    assert page.ask("document.activeElement.getAttribute('aria-label')") == "The numbers behind the plots"
    assert page.ask("document.activeElement.getBoundingClientRect().height") > 200


def test_pointed_at(chromium: Browser, hostile: Path) -> None:
    """Where a reader points at a plot, what was there is told."""
    page = chromium.open(hostile.as_uri(), width=1440)
    page.ask("document.querySelector('.plot-memory .canvas').scrollIntoView()")
    place = page.ask(
        "(() => { const it = document.querySelector('.plot-memory .canvas').getBoundingClientRect();"
        " return [it.x + it.width * 0.31, it.y + it.height * 0.9] })()"
    )
    page.command("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])

    told = page.ask(SHOWN)
    assert len(told) == 1
    assert told[0].startswith("1 h ")


@pytest.mark.parametrize("width", [360, 1440])
def test_profile(chromium: Browser, hostile: Path, width: int) -> None:
    """The tables of a profile are as wide as the page, or wider where lines are long: then they scroll alone,
    and each line of code stays one line.
    """
    page = chromium.open(hostile.as_uri(), width=width)
    tried, lines = page.ask(TABLES)

    undisturbed(page, hostile)
    assert [tried["caption"], lines["caption"][:8]] == ["Chunk sizes that were tried", "to_cents"]
    assert [len(tried["heights"]), len(lines["heights"])] == [4, 3]
    assert 0 < tried["room"] <= lines["room"] < width < lines["width"]
    assert lines["scrolls"] == "auto"
    assert len({*lines["heights"]}) == 1
    assert page.ask("document.documentElement.scrollWidth") == width


def test_printed(chromium: Browser, hostile: Path) -> None:
    """On paper all of it stands on several pages, the lines of the profile in full; nothing is cut off."""
    page = chromium.open(hostile.as_uri(), width=PAPER, media="print")
    printed = page.pdf()

    assert page.ask(WIDER) == []
    assert page.ask("document.documentElement.scrollWidth") == PAPER
    assert page.ask("document.querySelector('.lines').textContent").count("order['price']") == 30
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 2
    assert len(printed) > 50_000
