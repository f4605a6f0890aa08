"""Widths: how far the next window of a server-side update may reach; the law, pure.

Here time decides, and it may: it is the server's own for the work alone, without the network, and without a
commit that waits for other members. What only looks like work, because the server is busy with others, ends
at a floor. Measuring that time, and finding where a window ends, is ``serverside``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chunkmigrate import sizing

# Whoever else writes a document of a window waits for its commit: a tenth of a second is noticed by nobody.
# What a window costs beside its work (finding its end, its commit) is 2 ms here, so there is little to gain.
TARGET_SECONDS = 0.1
# Between half of it and twice as much nothing changes: equal windows would else have two sizes in turn.
QUICK_SECONDS, SLOW_SECONDS = TARGET_SECONDS / 2, TARGET_SECONDS * 2

# Documents whose update is cheap never take that long. Beside 200 other updates a second windows of 1,000
# small ones had 0.9 of the speed of one plain `updateMany`; those of 2,000 to 50,000 lost against them.
MOST_DOCUMENTS = sizing.MAX_CHUNK_DOCUMENTS
# Until it has been seen what a document takes.
FIRST = MOST_DOCUMENTS // 4
# To find the end of a window the server counts keys: a quarter of a second for so many.
MOST_KEYS = 250_000

# Where the server is busy everything takes long. A window of fewer would be mostly its own commit.
FLOOR = 50


@dataclass(frozen=True, slots=True)
class Width:
    """A window ends at so many ``documents`` that match, or at so many ``keys`` of the index.

    ``hunting``: the window before was refused, and the document at fault is not found yet.
    """

    documents: int
    keys: int
    most: int = MOST_DOCUMENTS
    hunting: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is one document."""
        return self.documents == 1 or self.keys == 1


def start(documents: int | None, stored_size: int, most: int = MOST_DOCUMENTS) -> Width:
    """Return the width to begin with: of so many ``documents``, if that is known from before.

    There may be ``most`` of them. ``stored_size`` is the mean bytes of a document: the server holds all that
    a transaction changes.
    """
    most = max(1, min(most, MOST_DOCUMENTS, sizing.MAX_TOUCHED_BYTES // max(1, stored_size)))
    first = min(documents or FIRST, most)
    return Width(documents=first, keys=max(first, FIRST), most=most)


def committed(width: Width, seconds: float) -> Width:
    """Return the next width after a window that took the server so many ``seconds``.

    On the hunt for a document it is halved after each window, refused or not: the document is in the rest.
    """
    if width.hunting and not width.alone:
        return halved(width)
    if seconds > SLOW_SECONDS:
        least = min(FLOOR, width.documents)
        return Width(max(least, width.documents // 2), max(FLOOR, width.keys // 2), width.most)
    grown = 2 if seconds < QUICK_SECONDS else 1
    return Width(min(grown * width.documents, width.most), min(grown * width.keys, MOST_KEYS), width.most)


def refused(width: Width) -> Width:
    """Return the next width after a window of which the server refused a document."""
    return replace(halved(width), hunting=not width.alone)


def halved(width: Width) -> Width:
    """Return half of it, rounded up: so that the rest is never more than the half."""
    return replace(width, documents=(width.documents + 1) // 2, keys=(width.keys + 1) // 2)
