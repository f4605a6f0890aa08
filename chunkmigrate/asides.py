"""Asides: documents that are not to be transformed, each with the reason, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkmigrate import sizing
from chunkmigrate.errors import DeadlyError, DoesNotFitError
from chunkmigrate.records import DEATHS
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from chunkmigrate.errors import DocumentError
    from chunkmigrate.memory import Reading
    from chunkmigrate.pages import Page
    from chunkmigrate.raw import Key


# A process does not begin with the same bytes each time, and grows by a few 100 KiB from one large document
# to the next. With nothing left over, a run that has what it was told to have may end early all the same.
SPARE = sizing.MIB


@dataclass(frozen=True, slots=True)
class Aside:
    """A document that is not to be transformed, and why."""

    key: Key
    error: DocumentError


def unfit(key: Key, size: int, more: int, reading: Reading) -> Aside:
    """Set aside a document of ``size`` bytes that needs ``more`` bytes than memory has left."""
    budget = int((reading.used + more + SPARE) / sizing.STOP)
    message = (
        f"The document with _id {key.shown()} has {format_bytes(size)} and does not fit into memory, not "
        f"even alone: it needs a budget of about {quantity(budget)}, and there are "
        f"{format_bytes(reading.budget)}. Nothing of its chunk was written. Give the run that much, or "
        "read fewer fields."
    )
    return Aside(key, DoesNotFitError(key.shown(), message, budget))


def deadly(key: Key, used: int, budget: int) -> Aside:
    """Set aside a document that killed run after run, the last one at ``used`` of ``budget`` bytes."""
    # A quarter more, and 100 MiB at least: what autoscalers add after a kill.
    more = budget + max(budget // 4, 100 * sizing.MIB)
    message = (
        f"{DEATHS} runs in a row were killed while the document with _id {key.shown()} alone was at work, "
        f"the last one with {format_bytes(used)} of {format_bytes(budget)} in use before it. If it was "
        f"memory, run `chunkmigrate quarantine retry` with --memory {quantity(more)} or more."
    )
    return Aside(key, DeadlyError(key.shown(), message))


def place_of(page: Page | Aside, index: int, document: Any) -> Key:
    """Return the ``_id`` of a document of a page, whatever has become of it."""
    if isinstance(document, Aside):
        return document.key
    return page.key if isinstance(page, Aside) else page.key(index)


def last_of(page: Page | Aside) -> int:
    """Return the index of the last document of a page."""
    return 0 if isinstance(page, Aside) else len(page) - 1
