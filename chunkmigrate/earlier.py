"""Earlier: what a document was before a migration wrote to it, and how to make it that again, byte for byte.

Compared and kept by top-level fields: their earlier bytes, and a hash of what was written, so that an edit
made since is recognised. What can be put back in place needs no more; where fields were taken away or moved,
their order is kept too. Pure: where it is stored is ``undo``'s business, when ``keeping``'s and
``restoring``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from chunkmigrate import raw

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID = b"_id"

# A top-level field by name: its BSON type and its bytes.
Fields = dict[bytes, bytes]


class EditedError(Exception):
    """Somebody has changed what the migration wrote."""


class InexactError(ValueError):
    """What is kept of a document would not give it back byte for byte: two of its fields have one name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What is kept of one document.

    ``whole``: the document was inserted or deleted; ``before`` is all of it, or None where there was none,
    and ``after`` the hash of what was written, or None where nothing is left. Else ``before`` are the earlier
    values of the fields that were written, as one BSON document, and ``after`` the hashes of what was written
    into them, as another. ``order`` are the names of all fields in their order, where that was changed.
    ``edited``: somebody edited the document between two writes of the migration.
    """

    before: bytes | None
    after: bytes | None
    whole: bool = False
    order: bytes | None = None
    edited: bool = False

    @property
    def names(self) -> list[bytes]:
        """The fields that were written; none of a ``whole`` document."""
        return [] if self.whole else [*_hashes(self.after or b"")]

    @property
    def in_place(self) -> bool:
        """Whether ``$set`` and ``$unset`` of the fields give the earlier document back."""
        return not self.whole and self.order is None

    def restored(self, now: bytes | None) -> bytes | None:
        """Return what the document was, from what it is; None stands for a document that is not there.

        Where it is so already it is returned as it is. Fields that the migration did not write stay. Raises
        `EditedError` where somebody has changed what it wrote.
        """
        if self.whole:
            return self._whole(now)
        if now is None:
            raise EditedError
        there, before, after = fields_of(now), fields_of(self.before or b""), _hashes(self.after or b"")
        if all(_hash(there.get(name)) == written for name, written in after.items()):
            return _document(self._ordered(there, before, after))
        if all(there.get(name) == before.get(name) for name in after):
            return now
        raise EditedError

    def operators(self, now: bytes) -> tuple[bytes, bytes] | None:
        """Return what to ``$set`` and what to ``$unset``, each as a BSON document; None where nothing is.

        Only of what may be put back ``in_place``, and `EditedError` as `restored` has it.
        """
        if self.restored(now) == now:
            return None
        before = fields_of(self.before or b"")
        gone = [b"\x08" + name + b"\0\x01" for name in self.names if name not in before]
        return self.before or b"", raw.enclosed(b"".join(gone))

    def followed(self, before: bytes | None, after: bytes | None) -> Earlier | None:
        """Return what is to be kept where the same migration has written once more; None: nothing.

        What somebody edited in between is where the document is to be brought back to, and they are told.
        """
        try:
            base, edited = self.restored(before), self.edited
        except EditedError:
            base, edited = before, True
        if base == after and not edited:
            return None
        return replace(kept(base, after), edited=edited)

    def _whole(self, now: bytes | None) -> bytes | None:
        if (now is None and self.after is None) or (now is not None and print_of(now) == self.after):
            return self.before
        if now == self.before:
            return now
        raise EditedError

    def _ordered(self, there: Fields, before: Fields, after: Mapping[bytes, bytes | None]) -> Fields:
        back = {name: value for name, value in there.items() if name in before or name not in after}
        back |= before
        if self.order is None:
            return back
        names = [name for name in self.order.split(b"\0") if name in back]
        return {name: back[name] for name in names} | back


def kept(before: bytes | None, after: bytes | None, *, partly: bool = False) -> Earlier:
    """Return what is to be kept of a document that was ``before`` and is ``after``; None: it is not there.

    Both are whole, or the same fields of both (``partly``) where none was taken away or moved. Raises
    `InexactError` where it would not give the document back.
    """
    if before is None or after is None:
        return Earlier(whole=True, before=before, after=None if after is None else print_of(after))
    was, is_ = fields_of(before), fields_of(after)
    written = [name for name in was | is_ if was.get(name) != is_.get(name)]
    earlier = Earlier(
        before=_document({name: was[name] for name in written if name in was}),
        after=raw.enclosed(b"".join(_hash_element(name, is_.get(name)) for name in written)),
        order=None if _is_in_place(was, is_, written) else b"\0".join(was),
    )
    if earlier.restored(after) != before or (partly and not earlier.in_place):
        raise InexactError
    return earlier


def print_of(document: bytes) -> bytes:
    """Return sixteen bytes that tell one document, or one value, from another."""
    return blake2b(document, digest_size=16).digest()


def fields_of(document: bytes) -> Fields:
    """Return the top-level fields of a raw document, in order."""
    if not document:
        return {}
    return {name: bytes((kind,)) + document[start:end] for name, start, kind, end in raw.elements(document)}


def _is_in_place(was: Fields, is_: Fields, written: list[bytes]) -> bool:
    """Whether no field was taken away or moved, and operators can name all that were written."""
    known = all(name and not name.startswith(b"$") and b"." not in name for name in written)
    return known and _ID not in written and [name for name in is_ if name in was] == [*was]


def _document(fields: Fields) -> bytes:
    return raw.enclosed(b"".join(b"%b%b\0%b" % (v[:1], name, v[1:]) for name, v in fields.items()))


def _hash(value: bytes | None) -> bytes | None:
    return None if value is None else print_of(value)


def _hash_element(name: bytes, value: bytes | None) -> bytes:
    """Return a hash as an element: sixteen bytes of binary, or null for a field that is not there."""
    if value is None:
        return b"\x0a" + name + b"\0"
    return b"\x05" + name + b"\0\x10\0\0\0\0" + print_of(value)


def _hashes(document: bytes) -> dict[bytes, bytes | None]:
    return {name: value[6:] or None for name, value in fields_of(document).items()}
