"""Unclean: what is known of a run that ended without a word, as a sentence for whoever runs next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkmigrate.records import DEATHS
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from chunkmigrate.checkpoint import Checkpoint
    from chunkmigrate.lease_reading import Former


def unclean(former: Former, claimed: Checkpoint) -> str:
    """Say what is known of a run that ended without a word: what it was about to do, in how much memory."""
    left, sizes = claimed.left, claimed.sizes
    said = [f"The run before, by {former.shown}, ended without a word: killed, or cut off from MongoDB"]
    if left:
        behind = "from the first document" if left.after is None else f"behind _id {left.after.shown()}"
        upto = f" up to _id {left.through.shown()}" if left.through else ""
        said.append(
            f"while working on the documents {behind}{upto}, at {format_bytes(left.used)} of "
            f"{format_bytes(left.budget)}"
        )
    sentence = " ".join(said) + "."
    if claimed.deaths and claimed.deaths.count:
        count = min(claimed.deaths.count, DEATHS)
        sentence += (
            f" _id {claimed.deaths.document.shown()} alone was at work, for the {_ordinal(count)} time."
        )
    if sizes:
        sentence += f" This run starts with chunks of at most {sizes.chunk_documents:,} documents."
    return sentence


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}[number]
