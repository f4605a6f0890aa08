"""Saying: what is said of a failure quotes no document unless that is asked for."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest
from bson.errors import InvalidBSON
from pymongo import InsertOne, UpdateOne
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure

from chunkmigrate import server
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import (
    ChunkmigrateError,
    DocumentError,
    QuarantineFullError,
    TransformError,
    UndecodableError,
)
from chunkmigrate.saying import said
from chunkmigrate.sending import send
from tests.unit.making import key, quarantine_of, transformer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "ada@example.com"
HIDDEN = (
    "Its full text may quote documents: --show-values shows it, and the run's record in chunkmigrate_runs "
    "keeps it."
)


def failing(transform: Any) -> DocumentError:
    """The failure of a transform that is given one document."""
    transformer = transformer_of(transform, quarantine=quarantine_of(enabled=False))
    with pytest.raises(DocumentError) as caught:
        transformer.add(Chunk(0, None, key(7)), {"_id": 7, "mail": SECRET})
    return caught.value


def raising(order: Any) -> Any:
    raise ValueError(order["mail"])


def unsendable(order: Any) -> Any:
    return UpdateOne({"_id": order["_id"]}, {"$set": {"mail": {order["mail"]}}})


def refused(code: int, message: str) -> DocumentError:
    """The failure of a document of which the server says no."""

    class Refusing:
        def __getitem__(self, _name: str) -> Refusing:
            return self

        def command(self, *_: Any, **_options: Any) -> Any:
            return {"writeErrors": [{"index": 0, "code": code, "errmsg": message}]}

    chunk, client = Chunk(0, None, key(7)), Refusing()
    transformer_of(InsertOne).add(chunk, {"_id": 7})
    with pytest.raises(Exception, match="0") as caught:
        send(client, chunk, chunk.groups[0], object())  # type: ignore[arg-type]
    error: DocumentError = caught.value.error  # type: ignore[attr-defined]
    return error


def server_error(code: int, message: str, name: str = "") -> ChunkmigrateError:
    return server.explained(OperationFailure(message, code, {"codeName": name}))


DUPLICATE = f'E11000 duplicate key error collection: shop.c index: mail_1 dup key: {{ mail: "{SECRET}" }}'
NO_NUMBER = f"Cannot increment with non-numeric argument: {{n: '{SECRET}'}}"


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (lambda: failing(raising), "raising raised ValueError. It was given document _id 7. Nothing"),
        (
            lambda: failing(unsendable),
            "answered with a write that cannot be sent: InvalidDocument. It was given document _id 7",
        ),
        (
            lambda: UndecodableError.of(7, "7", InvalidBSON(SECRET)),
            "The document with _id 7 cannot be decoded: InvalidBSON. Nothing",
        ),
        (
            lambda: refused(11000, DUPLICATE),
            "_id 7: E11000 duplicate key error collection: shop.c index: mail_1 (code 11000). Nothing",
        ),
        (lambda: refused(11000, SECRET), "for document _id 7: DuplicateKey (code 11000). Nothing"),
        (lambda: refused(14, NO_NUMBER), "for document _id 7: TypeMismatch (code 14). Nothing"),
        (
            lambda: refused(99_999, NO_NUMBER),
            "for document _id 7: a reason that is not shown (code 99999). Nothing",
        ),
        (
            lambda: server_error(241, f"Failed to parse number '{SECRET}' in $convert", "ConversionFailure"),
            "MongoDB failed: ConversionFailure (code 241). What is committed is safe",
        ),
        (
            lambda: QuarantineFullError(5, failing(raising)),
            "which is the limit, and there is one more: raising raised ValueError.",
        ),
    ],
    ids=[
        "transform",
        "write",
        "undecodable",
        "duplicate key",
        "odd duplicate key",
        "known code",
        "unknown code",
        "server",
        "quarantine full",
    ],
)
def test_no_values(failure: Callable[[], ChunkmigrateError], shown: str) -> None:
    """A failure that quotes a document is said without it, and where all of it stands; asked for, with it."""
    error = failure()

    assert SECRET not in said(error)
    assert shown in said(error)
    assert said(error).endswith(HIDDEN)
    assert said(error, show_values=True) == str(error)
    assert SECRET in str(error)


@pytest.mark.parametrize(
    "error",
    [
        server.explained(AutoReconnect("connection closed")),
        server.explained(OperationFailure("Authentication failed.", 18)),
        server.explained(OperationFailure("operation exceeded time limit", 50)),
        failing(lambda _: {}),
        failing(lambda order: UpdateOne({}, {"a": order})),
        TransformError(7, "a sentence"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_hidden(error: ChunkmigrateError) -> None:
    """A failure that quotes nothing is said whole, and nothing is said to be missing."""
    assert said(error) == said(error, show_values=True) == str(error)


def test_password() -> None:
    """A password in a connection string is never said, not even with values."""
    error = ChunkmigrateError("no answer from mongodb://u:hush@host/db")

    assert said(error) == said(error, show_values=True) == "no answer from mongodb://u:***@host/db"


def test_unknown_failure() -> None:
    """Of an exception nobody foresaw its class is said, and where the rest is."""
    assert said(KeyError(SECRET)) == (
        "It ended with KeyError. Nobody foresaw that: its traceback is on stderr."
    )


AUTHORS = """
def outer(order):
    return inner(order)


def inner(order):
    raise ValueError(order)
"""


def authored(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("authored", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.outer


def test_place(tmp_path: Path) -> None:
    """The last line of the migrations' folder that an exception passed is named, with its file."""
    path = tmp_path / "migrations" / "1_cents.py"
    path.parent.mkdir()
    path.write_text(AUTHORS)
    error = failing(authored(path))

    assert "It was raised in migrations/1_cents.py, line 7. Its full text" in said(error, folder=path.parent)
    assert "migrations/1_cents.py, line 7" in said(error, folder=path.parent, show_values=True)
    assert "raised in" not in said(error, folder=tmp_path / "elsewhere")


def test_place_in_a_config_map(tmp_path: Path) -> None:
    """In a mounted ConfigMap a migration is a link to a file elsewhere, and goes by its own name."""
    held, folder = tmp_path / "..data", tmp_path / "migrations"
    for made in (held, folder):
        made.mkdir()
    (held / "1_cents.py").write_text(AUTHORS)
    (folder / "1_cents.py").symlink_to("../..data/1_cents.py")

    assert "raised in migrations/1_cents.py, line 7." in said(
        failing(authored(folder / "1_cents.py")), folder=folder
    )


def test_place_behind_our_own(tmp_path: Path) -> None:
    """The place is that of the author's exception, through however many failures of ours it came."""
    path = tmp_path / "1_cents.py"
    path.write_text(AUTHORS)
    last = failing(authored(path))
    full = QuarantineFullError(5, last)
    full.__cause__ = last

    assert "1_cents.py, line 7" in said(full, folder=tmp_path)


def test_no_place(tmp_path: Path) -> None:
    """What is no exception of somebody else's has no place."""
    assert "raised in" not in said(TransformError(7, "a sentence"), folder=tmp_path)
    assert "raised in" not in said(server.explained(DuplicateKeyError(SECRET, 11000)), folder=tmp_path)
