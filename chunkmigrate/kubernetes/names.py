"""Names: what a migration is called in a cluster, whatever it is called in its folder.

Two migrations never share a name: what cannot be said, or is too long, a hash of the whole makes up for.
"""

from __future__ import annotations

import hashlib
import re

from chunkmigrate.kubernetes import rules

PREFIX = "migrate-"

# A Job's pods are called after it, with an index of up to ten digits where there are several; and a CronJob
# puts eleven characters behind its own name. Both leave 52 of a host name's 63.
MOST_NAME = 52

_HASH = 8
# In these names only the underscore has to go, and no other of them becomes the same.
_FAITHFUL = re.compile(r"[a-z0-9](?:[a-z0-9_]*[a-z0-9])?")


def job_name(migration: str) -> str:
    """Return the name of a migration's Job.

    >>> job_name("20260105090000_order_prices_in_cents")
    'migrate-20260105090000-order-prices-in-cents'
    >>> job_name("Größe ändern")
    'migrate-gr-e-ndern-0e30593b'
    """
    if _FAITHFUL.fullmatch(migration) and len(PREFIX + migration) <= MOST_NAME:
        return PREFIX + migration.replace("_", "-")
    return _hashed(PREFIX + re.sub(r"[^a-z0-9]+", "-", migration.lower()), migration, MOST_NAME)


def label_value(text: str) -> str:
    """Return what a label says of a text that may be longer, or hold what no label may."""
    if re.fullmatch(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?", text) and len(text) <= rules.MOST_LABEL:
        return text
    return _hashed(re.sub(r"[^A-Za-z0-9]+", "-", text).lstrip("-"), text, rules.MOST_LABEL)


def digest(*texts: str) -> str:
    """Return a few characters that change when one of the texts does."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:_HASH]


def _hashed(head: str, whole: str, most: int) -> str:
    cut = head[: most - _HASH - 1].rstrip("-")
    return f"{cut}-{digest(whole)}" if cut else digest(whole)
