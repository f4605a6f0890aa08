"""Fields: reading what a cluster sent, of which anything may be missing, of another type, or hostile.

What the fields mean is for others to know; here they are only found, and made fit to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

# A refused field may be quoted whole, which is 4 KiB and more; nobody reads that in a sentence.
MAX_TEXT = 300


def at(value: Any, *path: str | int) -> Any:
    """Return what stands at a path, of keys and of places in lists; None where there is nothing.

    >>> at({"status": {"conditions": [{"type": "Failed"}]}}, "status", "conditions", 0, "type")
    'Failed'
    """
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def items(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list; what is none is left out."""
    found = at(value, *path)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def text(value: Any, *path: str | int, most: int = MAX_TEXT) -> str:
    """Return a text, fit to be shown; empty where there is none."""
    found = at(value, *path)
    return harmless(found, most) if isinstance(found, str) else ""


def whole(value: Any, *path: str | int) -> int | None:
    """Return a whole number; None where there is none."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(value: Any, *path: str | int) -> datetime | None:
    """Return a time; None where there is none, or not all of it."""
    found = at(value, *path)
    try:
        read = datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo else None


def holds(value: Any, condition: str) -> Mapping[str, Any] | None:
    """Return a condition that is true of an object; None where it is not, or nothing says so."""
    return next(
        (
            found
            for found in items(value, "status", "conditions")
            if found.get("type") == condition and found.get("status") == "True"
        ),
        None,
    )


def because(details: str) -> str:
    """Return details to stand behind a phrase; nothing where there are none.

    >>> because("no space left."), because("")
    (': no space left', '')
    """
    return f": {details.rstrip('. ')}" if details else ""


def harmless(shown: str, most: int = MAX_TEXT) -> str:
    r"""Return a text on one line, without what moves a cursor or turns the direction of writing, and cut.

    >>> harmless("a\x1b[2J\u202eb\n c"), harmless("abcdef", 4)
    ('a [2J b c', 'abc…')
    """
    line = " ".join(printable(shown[: 4 * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def printable(line: str) -> str:
    """Return a line with a space for each sign that is not to be seen; its columns stay."""
    return "".join(sign if sign.isprintable() else " " for sign in line)
