"""The oracle's judgement: what is in a database, against what ought to be.

What ought to be is computed by ``kinds``, in plain Python and without chunkmigrate.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import bson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.database import Database

Document: TypeAlias = dict[str, Any]
Data: TypeAlias = dict[str, list[Document]]

# The project's own records are not data.
OWN = "chunkmigrate_"
SHOWN = 3
SHOWN_CHARACTERS = 200


def difference(db: Database[Any], expected: Mapping[str, list[Document]]) -> str:
    """Return how the data differ from what is expected, one line a collection; "" where they do not.

    Documents expected without an ``_id`` were inserted without one: they are compared as a multiset.
    Every byte counts but the order of the fields: 1 is not 1.0.
    """
    names = {name for name in db.list_collection_names() if not name.startswith(OWN)}
    return "\n".join(
        f"{name}: {told}"
        for name in sorted(names | expected.keys())
        if (told := _difference(db[name].find(), expected.get(name, [])))
    )


def insert(db: Database[Any], data: Data) -> None:
    """Store the documents, each collection's in a shuffled order of the caller's making."""
    for name, documents in data.items():
        if documents:
            db[name].insert_many(documents)


def _difference(found: Iterable[Document], expected: list[Document]) -> str:
    if any("_id" not in document for document in expected):
        return _of_multisets(found, expected)
    wanted, there = _by_id(expected), _by_id(found)
    lost = [wanted[key] for key in wanted.keys() - there.keys()]
    extra = [there[key] for key in there.keys() - wanted.keys()]
    both = wanted.keys() & there.keys()
    wrong = [there[key] for key in both if _encoded(there[key]) != _encoded(wanted[key])]
    told = [_shown("missing", lost), _shown("unexpected", extra), _shown("wrong", wrong)]
    if wrong:
        first = wanted[_id(wrong[0])]
        told.append(f"expected for the first wrong one {_short(first)}")
    return "; ".join(filter(None, told))


def _of_multisets(found: Iterable[Document], expected: list[Document]) -> str:
    wanted = Counter(map(_encoded, expected))
    there = Counter(_encoded({k: v for k, v in document.items() if k != "_id"}) for document in found)
    lost, extra = wanted - there, there - wanted
    told = [
        _shown("missing", map(bson.decode, lost.elements())),
        _shown("unexpected", map(bson.decode, extra.elements())),
    ]
    return "; ".join(filter(None, told))


def _by_id(documents: Iterable[Document]) -> dict[bytes, Document]:
    return {_id(document): document for document in documents}


def _id(document: Document) -> bytes:
    return bson.encode({"": document["_id"]})


def _encoded(document: Document) -> bytes:
    return bson.encode(dict(sorted(document.items())))


def _shown(what: str, documents: Iterable[Document]) -> str:
    every = list(documents)
    first = ", ".join(map(_short, every[:SHOWN]))
    return f"{len(every):,} {what}: {first}{' ...' * (len(every) > SHOWN)}" if every else ""


def _short(document: Document) -> str:
    text = repr({name: value for name, value in document.items() if name != "pad"})
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
