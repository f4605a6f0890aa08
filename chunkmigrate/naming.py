"""Naming: which migration an operator means: one that has a file here, or one that is on record without.

Those commands need it that look after what runs have left; what is to be run must have a file. Reads only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate import lease_record, undo
from chunkmigrate.errors import UsageError
from chunkmigrate.ledger import Ledger
from chunkmigrate.migration import discover, find

if TYPE_CHECKING:
    from pymongo.database import Database

    from chunkmigrate.migration import Migration
    from chunkmigrate.settings import Settings


def meant(settings: Settings, database: Database[Any], name: str) -> tuple[str, Migration | None]:
    """Return a migration's full name, and its file where it has one.

    A full name on record is meant before any part of one. Raises `UsageError` where none is meant, or several
    could be, and where the folder cannot be read.
    """
    recorded = _is_on_record(database, name)
    try:
        found = discover(settings.folder)
        exactly = [one for one in found if one.name == name]
        here = exactly[0] if exactly else None if recorded else find(found, name)
    except UsageError:
        if not recorded:
            raise
        return name, None
    return (here.name, here) if here else (name, None)


def _is_on_record(database: Database[Any], name: str) -> bool:
    """Whether anything is known of a migration; what undo has kept may outlive its entry."""
    known = Ledger(database).entry(name) or lease_record.look(database, name)
    return bool(known) or undo.is_kept(database, name)
