"""The advice: what to change next, a table."""

from __future__ import annotations

from typing import Any

import pytest

from chunkmigrate import advice
from chunkmigrate.evidence import Left
from chunkmigrate.profiles import STAGES, Profile, Seconds, Sizes, Step
from chunkmigrate.records import Intent
from chunkmigrate.sizing import MIB
from tests.unit.telling import BUDGET, sample, steady, timeline_of, told

SIZES = {name: {"chunk_documents": 1_000, "chunk_bytes": MIB} for name in ("first", "last")}
ASIDE = [{"reason": "transform", "documents": 51, "ids": ["3"]}]


def died(used: int, document: str | None = None, among: int = 1, **fields: Any) -> Any:
    left = Left(
        intent=Intent(after=None, through=None, used=used, budget=BUDGET), document=document, among=among
    )
    return told("died", how={"left": left}, sizes=SIZES, timeline=steady(used=40 * MIB).document(), **fields)


def pressed(samples: int) -> dict[str, Any]:
    """A timeline of a hundred samples, so many of them under pressure."""
    used = [450 * MIB if number < samples else 100 * MIB for number in range(100)]
    return timeline_of([sample(float(number), size) for number, size in enumerate(used)]).document()


def halved(times: int) -> dict[str, Any]:
    kept = steady()
    for number in range(times):
        kept.mark(float(number), "smaller_chunks", "Too much. Going on with 500 at a time.")
    return kept.document()


def profiled(**seconds: float) -> Any:
    nothing = Sizes(mean=0, median=0, p95=0, max=0)
    step = Step(
        step=1,
        namespace="shop.orders",
        documents=None,
        size=None,
        sampled=1,
        whole=False,
        sizes=nothing,
        expansion=1.0,
        write_bytes=nothing,
        writes_per_document=1.0,
        seconds_per_document=Seconds(**{stage: seconds.get(stage, 1e-6) for stage in STAGES}),
        failures={},
        sweep=(),
        functions=(),
    )
    known = {"migration": "m", "checksum": "", "version": "", "at": "", "baseline": 1, "seconds": 1.0}
    return told(how={"profile": Profile(format=1, writers=2, steps=(step,), **known)})


TABLE = [
    (told(), "Nothing to change", "62% of its budget"),
    (died(492 * MIB), "Smaller chunks, or more memory", "492 MiB of 512 MiB, 96% of its budget"),
    (died(492 * MIB), "Smaller chunks, or more memory", "chunks of a quarter, 250 documents at most"),
    (died(492 * MIB), "Smaller chunks, or more memory", "`--memory 640Mi`"),
    (
        died(200 * MIB),
        "Find out what ended it",
        "it used 200 MiB of 512 MiB, 39% of its budget: if the kernel killed it, memory jumped",
    ),
    (told("died", timeline={}), "Run it again", "before it had told of its memory"),
    (died(200 * MIB, "7"), "Look at the document at work", "The document with _id 7 was at work"),
    (died(200 * MIB, "7", 16), "Look at the document at work", "One of the 16 documents from _id 7 on"),
    (told("stopped", reason="memory", peak=490 * MIB), "Run it again", "`--memory 704Mi`"),
    (told("stopped", reason="stop"), "Run it again", "goes on from its checkpoint"),
    (told("paused"), "Let it go on", "`chunkmigrate resume 20260101000000_cents`"),
    (told("cancelled", reason="cancel"), "Allow it again, if it is wanted", "chunkmigrate resume"),
    (
        told("failed", failure={"kind": "TransformError", "cause": "KeyError", "document": "7"}),
        "Correct the migration, or set documents aside",
        "The transform raised, or returned something that is not a write. Look at the document with _id 7",
    ),
    (
        told("failed", failure={"kind": "UnreachableError", "cause": None, "document": None}),
        "Correct it, then run it again",
        "No MongoDB server answered. Then run `chunkmigrate run",
    ),
    (told(how={"quarantine": ASIDE}), "Look at the quarantine", "51 documents are in quarantine"),
    (told(timeline=pressed(40), peak=450 * MIB), "Give it more memory", "In 40% of its samples"),
    (told(timeline=pressed(40), peak=450 * MIB), "Give it more memory", "`--memory 656Mi`"),
    (told(peak=100 * MIB), "The request can shrink to 144Mi", "100 MiB, 20% of its budget"),
    (told(peak=100 * MIB, seconds=3.0), "The request can shrink to 144Mi", "It was a short run"),
    (
        told(pauses={"replication lag": 40.0, "rate": 1.0}),
        "Most of the time it waited",
        "Of 1 min 00 s it waited 40.0 s because of replication lag, 67%",
    ),
    (told(pauses={"rate": 20.0}), "Much of the time it waited", "A higher `--max-rate` shortens it"),
    (told(pauses={"a new signal": 20.0}), "Much of the time it waited", "because of a new signal, 33%"),
    (told(changed=6_000), "Others work on the same documents", "6,000 times somebody edited"),
    (told(timeline=halved(1)), "The server had chunks halved once", "Too much."),
    (told(timeline=halved(3)), "The server had chunks halved 3 times", "Going on with 500"),
    (told(committing=118.0), "The server is the bottleneck", "98% of the time. Try `--writers 4`."),
    (told(committing=240.0, writers=4), "The server is the bottleneck", "4 writers waited"),
    (profiled(transform=3e-6), "The transform is the bottleneck", "takes 50% of its time, 3 of 6 µs"),
    (profiled(decode=30e-6), "Read fewer fields", "In the profile of step 2"),
]


@pytest.mark.parametrize(
    ("report", "title", "text"), TABLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_said(report: Any, title: str, text: str) -> None:
    """Each thing that is worth a change is said, with its numbers."""
    found = {one.title: one.text for one in report.advice}

    assert text in found[title]


SILENT = [
    (told(), "The request can shrink"),
    (told(peak=100 * MIB, budget=130 * MIB), "The request can shrink"),
    (told("failed", peak=100 * MIB), "The request can shrink"),
    (told(read=0, peak=100 * MIB), "The request can shrink"),
    (told(timeline=pressed(0)), "Give it more memory"),
    (told(pauses={"rate": 10.0}), "of the time it waited"),
    (told(changed=10), "Others work"),
    (told(committing=60.0), "The server is the bottleneck"),
    (told(committing=18.0, seconds=9.0), "The server is the bottleneck"),
    (told("running", committing=None, sizes=None), "Run it again"),
    (profiled(), "Read fewer fields"),
    (died(200 * MIB), "Look at the document"),
]


@pytest.mark.parametrize(
    ("report", "title"), SILENT, ids=lambda value: value if isinstance(value, str) else ""
)
def test_silent(report: Any, title: str) -> None:
    """What is as it should be is not talked about."""
    assert not [one for one in report.advice if title in one.title]


def test_urgent_first() -> None:
    """What must be done comes before what may be done."""
    found = told("failed", how={"quarantine": ASIDE}, pauses={"rate": 40.0}, failure=None).advice

    assert [one.urgent for one in found] == sorted((one.urgent for one in found), reverse=True)
    assert len(found) == 3


@pytest.mark.parametrize("used", [1, 40 * MIB, 100 * MIB, 358 * MIB, 3_000 * MIB])
def test_enough(used: int) -> None:
    """With what is said to be enough, the same use leaves chunks room to grow, and little is given away."""
    enough = advice.enough_for(used)

    assert used <= 0.7 * enough
    assert enough - used / 0.7 <= 16 * MIB


def test_backticks() -> None:
    """A backtick in a name or an _id does not end a command: they stand in pairs, around ours."""
    failure = {"kind": "TransformError", "cause": None, "document": "7`"}
    failed = told("failed", migration="a`b", failure=failure)
    texts = [one.text for report in (failed, died(200 * MIB, "`7", migration="a`b")) for one in report.advice]

    assert len(texts) == 3
    assert all(text.count("`") % 2 == 0 for text in texts)
    assert "`chunkmigrate run a'b`" in texts[0]
