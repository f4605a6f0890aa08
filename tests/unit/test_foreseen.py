"""What a dry run prints on a terminal, beside the tables of its steps."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from chunkmigrate import foreseen
from chunkmigrate.dryrun import Foreseen
from chunkmigrate.indexes import IndexUse
from chunkmigrate.previews import Preview
from chunkmigrate.records import Counts
from chunkmigrate.units import MI

WARNING = "Reading by _id_ looks at about 50,000 documents, of which about 10 match, one in 5,000."

STEP = Foreseen(
    namespace="shop.orders",
    documents=50_000,
    whole=False,
    counts=Counts(read=2_000, written=1_990, writes=3_980, quarantined=3),
    failures={"transform": 2, "too large": 1},
    first=("The transform failed on _id 5: ValueError.",),
    stops=True,
    chunk_documents=1_234,
    chunk_bytes=3 * MI,
    peak=43 * MI,
    budget=64 * MI,
    stopped_by="",
    seconds=(60.0, 7_200.0),
    previews=(Preview("7", ("+ cents: int", "- price: double")), Preview("8[/]", ("+ cents: long",))),
    index=IndexUse(name="status_1__id_1[/]", keys=("status", "_id"), warning=WARNING),
)


def shown(*steps: Foreseen) -> str:
    out = StringIO()
    foreseen.show("cents", steps, Console(file=out, width=100, highlight=False))
    return out.getvalue()


def facts(printed: str) -> dict[str, str]:
    """The rows of the table, by what stands in front."""
    return dict(re.findall(r"^│ (.+?) +│ (.+?) +│$", printed, re.MULTILINE))


def test_step() -> None:
    """Of a step everything is shown: what was counted, its memory, its index, and how long a run takes."""
    printed = shown(STEP)

    assert printed.startswith("Step 1 of cents, shop.orders: nothing was written.\n")
    assert facts(printed) == {
        "documents that match": "50,000",
        "read, a sample": "2,000",
        "would be written": "1,990, in 3,980 writes",
        "need nothing": "7",
        "fail (transform)": "2",
        "fail (too large)": "1",
        "a chunk, at most": "1,234 documents, 3 MiB",
        "peak memory": "43 MiB of 64 MiB",
        "read by the index": "status_1__id_1[/]",
        "a run takes": "1 min 00 s to 2 h 00 min",
    }


def test_details() -> None:
    """Behind the table stand the warning, each preview under its `_id` as it is, and what failed, in full."""
    printed = shown(STEP)

    assert printed[printed.index("Warning") :].splitlines() == [
        f"Warning: {WARNING}",
        "_id 7",
        "  + cents: int",
        "  - price: double",
        "_id 8[/]",
        "  + cents: long",
        "The transform failed on _id 5: ValueError.",
        "A run would stop at the first of these.",
    ]


def test_other_step() -> None:
    """What is not known or not so is not shown, and what a run would do otherwise is."""
    other = replace(
        STEP, documents=None, whole=True, stops=False, stopped_by="memory", seconds=None, index=IndexUse()
    )
    printed = shown(STEP, other)
    second = printed[printed.index("Step 2 of cents, shop.orders") :]
    rows = facts(second)

    assert (rows["documents that match"], rows["read, all"]) == ("unknown", "2,000")
    assert not {"read by the index", "a run takes"} & {*rows}
    assert "Warning" not in second
    assert "It stopped for lack of memory, as a run would; a run goes on from there" in second
    assert second.endswith("A run would set these aside.\n")


def test_nothing_failed() -> None:
    """Where nothing failed, nothing is said of what a run would do then."""
    printed = shown(replace(STEP, failures={}, first=()))

    assert "fail" not in printed
    assert "A run would" not in printed


@pytest.mark.parametrize("verifies", [True, False])
def test_verification(verifies: bool) -> None:  # noqa: FBT001
    """Whether a run would verify is said, and that a dry run has not."""
    out = StringIO()
    foreseen.show("m", [], Console(file=out, width=80), verifies=verifies)

    assert ("verify(db), which is not called here" in out.getvalue()) is verifies
