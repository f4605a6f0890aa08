"""Widths: how far the next window of a server-side update may reach; the law, pure.

Here time decides, and it may: it is the server's own for the work alone, without the network, and without a
commit that waits for other members. What only looks like work, because the server is busy with others, ends
at a floor. Measuring that time, and finding where a window ends, is ``serverside``'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from chunkmigrate import sizing

# Whoever else writes a document of a window waits for its commit: a tenth of a second is noticed by nobody.
TARGET_SECONDS = 0.1
# Between half of it and twice as much nothing changes: equal windows would else have two sizes in turn.
QUICK_SECONDS, SLOW_SECONDS = TARGET_SECONDS / 2, TARGET_SECONDS * 2

# Each window waits for a commit of its own, 1 to 6 ms on one machine, and small documents take 7 µs each: of
# 1,000 as many would be waited for as are written. A transaction is one entry of the oplog for each 16 MB.
MOST_DOCUMENTS = 10_000
# Until it has been seen what a document takes.
FIRST = 250
# To find the end of a window the server counts keys: a quarter of a second for so many.
MOST_KEYS = 250_000
# Counted for nothing where the documents come first, so fewer the next time.
SPARE = 4

# Where the server is busy everything takes long. A window of fewer would be mostly its own commit.
FLOOR = 50

# A window that lost against another writer would lose again: the most it may have comes back slowly.
RECOVERY = 1.05


@dataclass(frozen=True, slots=True)
class Width:
    """A window ends at so many ``documents`` that match, or at so many ``keys`` of the index.

    There may be ``most`` documents now, and never more than ``top``. ``hunting``: the window before was
    refused, and the document at fault is not found yet.
    """

    documents: int
    keys: int
    most: int = MOST_DOCUMENTS
    top: int = MOST_DOCUMENTS
    hunting: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is one document."""
        return self.documents == 1 or self.keys == 1


def start(documents: int | None, stored_size: int, most: int | None = None) -> Width:
    """Return the width to begin with: of so many ``documents``, if that is known from before.

    There may be ``most`` of them, if that is less than chunks may have anyway: that is no word about windows.
    ``stored_size`` is the mean bytes of a document: the server holds all that a transaction changes.
    """
    asked = most if most and most < sizing.MAX_CHUNK_DOCUMENTS else MOST_DOCUMENTS
    top = max(1, min(asked, sizing.MAX_TOUCHED_BYTES // max(1, stored_size)))
    first = min(documents or FIRST, top)
    return Width(documents=first, keys=max(first, FIRST), most=top, top=top)


def committed(width: Width, seconds: float, matched: int) -> Width:
    """Return the next width after a window in which so many documents ``matched``, and that took ``seconds``.

    On the hunt for a document it is halved after each window, refused or not: the document is in the rest.
    """
    if width.hunting and not width.alone:
        return halved(width)
    width = replace(width, hunting=False, most=min(math.ceil(RECOVERY * width.most), width.top))
    if seconds > SLOW_SECONDS:
        least = min(FLOOR, width.documents)
        return replace(width, documents=max(least, width.documents // 2), keys=max(FLOOR, width.keys // 2))
    grown = 2 if seconds < QUICK_SECONDS else 1
    documents = min(grown * width.documents, width.most)
    return replace(width, documents=documents, keys=_keys(width, grown, matched))


def _keys(width: Width, grown: int, matched: int) -> int:
    """Return how many keys to count next: more where they were too few, fewer where far too many."""
    if matched < width.documents:
        return min(grown * width.keys, MOST_KEYS)
    if width.keys >= SPARE * width.documents:
        return width.keys // 2
    return max(width.keys, min(grown * width.documents, width.most))


def refused(width: Width) -> Width:
    """Return the next width after a window of which the server refused a document."""
    return replace(halved(width), hunting=not width.alone)


def lost(width: Width) -> Width:
    """Return the next width after a window that was too much, or lost against other writers."""
    half = halved(width)
    return replace(half, most=half.documents)


def halved(width: Width) -> Width:
    """Return half of it, rounded up: so that the rest is never more than the half."""
    return replace(width, documents=(width.documents + 1) // 2, keys=(width.keys + 1) // 2)
