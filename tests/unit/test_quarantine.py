"""Quarantine: what is set aside, how much of it, what is kept, and when it is too much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import DBRef, Decimal128, Int64, ObjectId
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from chunkmigrate import errors
from chunkmigrate.chunks import Chunk
from chunkmigrate.errors import DocumentError, MostlyFailingError, QuarantineFullError, TransformError
from chunkmigrate.quarantine import FAILING_JUDGED, FAILING_LEAST, MAX_TEXT, judge
from chunkmigrate.raw import Key, enclosed, key_of
from chunkmigrate.records import Counts
from tests.unit.making import ASIDE, aside, key, quarantine_of

FAILED = TransformError(7, "double raised KeyError: 'price'.", discreet="double raised KeyError.")
KINDS: list[DocumentError] = [
    errors.TransformError(7, "It fails."),
    errors.UndecodableError(7, "It is no BSON."),
    errors.WriteRefusedError(7, "It is refused.", 121),
    errors.TooLargeError(7, "It is too large."),
    errors.DoesNotFitError(7, "It does not fit.", 5),
]
ALWAYS: list[DocumentError] = [errors.ConflictError(7, "It changes."), errors.DeadlyError(7, "It kills.")]


@pytest.mark.parametrize("error", [*KINDS, *ALWAYS], ids=lambda error: error.reason)
def test_taken(error: DocumentError) -> None:
    """Where a quarantine was asked for, a document that fails is set aside, with a word for the reason."""
    quarantine, chunk = quarantine_of(), Chunk(0, None)
    quarantine.take(chunk, 0, 7, error)

    assert (aside(chunk), chunk.quarantined, quarantine.taken) == ({7: error.reason}, 1, 1)
    assert chunk.aside is not None
    assert (chunk.aside.namespace, chunk.aside.kind, chunk.aside.owners) == (ASIDE, "update", [0])


@pytest.mark.parametrize("error", KINDS, ids=lambda error: error.reason)
def test_not_taken(error: DocumentError) -> None:
    """Where none was asked for, it stops the run."""
    quarantine, chunk = quarantine_of(enabled=False), Chunk(0, None)
    with pytest.raises(type(error)) as caught:
        quarantine.take(chunk, 0, 7, error)

    assert caught.value is error
    assert (chunk.aside, quarantine.taken) == (None, 0)


@pytest.mark.parametrize("error", ALWAYS, ids=lambda error: error.reason)
def test_always(error: DocumentError) -> None:
    """A document that kills runs, or is always edited, is set aside even so: it would stop every run."""
    chunk = Chunk(0, None)
    quarantine_of(enabled=False).take(chunk, 0, 7, error)

    assert aside(chunk) == {7: error.reason}


def test_reasons_differ() -> None:
    """Each kind of failure has a word of its own."""
    assert len({error.reason for error in (*KINDS, *ALWAYS)}) == len(KINDS) + len(ALWAYS)


@pytest.mark.parametrize("taken", [0, 3])
def test_limit(taken: int) -> None:
    """No more documents are set aside than may be, those of earlier runs included; one more stops the run."""
    quarantine, chunk = quarantine_of(limit=5, taken=taken), Chunk(0, None)
    for number in range(5 - taken):
        quarantine.take(chunk, number, number, FAILED)
    with pytest.raises(QuarantineFullError) as caught:
        quarantine.take(chunk, 5, 5, FAILED)

    assert str(caught.value) == (
        "5 documents are in quarantine, which is the limit, and there is one more: double raised KeyError: "
        "'price'. Look at them with `chunkmigrate quarantine list`, correct the migration, and run again."
    )
    assert (caught.value.limit, caught.value.last, caught.value.__cause__) == (5, FAILED, FAILED)
    assert chunk.quarantined == 5 - taken


def test_statement_says_what_happened() -> None:
    """What is kept says nothing of a run that stops, or of running again: the run has gone on."""
    then = "Nothing was written. Run again."
    error = TransformError(
        7, f"It raised KeyError: 'price'. {then}", discreet=f"It raised. {then}", then=then
    )
    facts = bson.decode(quarantine_of().statement(7, error))["u"]["$set"]

    assert (facts["message"], facts["discreet"]) == ("It raised KeyError: 'price'.", "It raised.")


def test_statement() -> None:
    """What is kept says which document it was, of which step, why it failed, in which run, and when."""
    before = datetime.now(UTC).replace(tzinfo=None) - timedelta(milliseconds=1)
    try:
        raise FAILED from KeyError("price")
    except TransformError as error:
        found = bson.decode(quarantine_of().statement(7, error))
    facts = found["u"]["$set"]

    assert found["q"] == {"_id": {"migration": "m", "step": 0, "document": 7}}
    assert (found["upsert"], found["u"]["$inc"]) == (True, {"attempts": 1})
    assert before <= facts.pop("at") <= datetime.now(UTC).replace(tzinfo=None)
    assert facts.pop("traceback") == "KeyError: 'price'\n"
    assert facts == {
        "migration": "m",
        "step": 0,
        "document": 7,
        "namespace": "shop.orders",
        "reason": "transform",
        "message": "double raised KeyError: 'price'.",
        "discreet": "double raised KeyError.",
        "run": "run 1",
    }


def there(number: int) -> None:
    back(number + 1)


def back(number: int) -> None:
    there(number + 1)


def test_text() -> None:
    """Of long texts that much is kept which a person reads: of a sentence its beginning, of a traceback its
    end; and what is no UTF-8 does no harm.
    """
    error = TransformError(7, "half \ud800 a pair" + "x" * 200_000)
    try:
        there(0)
    except RecursionError as cause:
        error.__cause__ = cause
    facts = bson.decode(quarantine_of().statement(7, error))["u"]["$set"]

    assert facts["message"] == "half ? a pair" + "x" * (MAX_TEXT - 13)
    assert len(facts["traceback"]) == MAX_TEXT
    assert facts["traceback"].endswith("RecursionError: maximum recursion depth exceeded\n")


STANDARD: CodecOptions[Any] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
IDS: list[tuple[Any, CodecOptions[Any]]] = [
    (7, CodecOptions()),
    (Int64(7), CodecOptions()),
    (7.0, CodecOptions()),
    ("seven", CodecOptions()),
    (None, CodecOptions()),
    (ObjectId(), CodecOptions()),
    (Decimal128("7.0"), CodecOptions()),
    (Binary(b"seven", 0), CodecOptions()),
    (datetime(2026, 1, 2, 3, 4, 5, 6_000, UTC), CodecOptions(tz_aware=True)),
    (UUID(int=7), STANDARD),
    (UUID(int=7), STANDARD.with_options(uuid_representation=UuidRepresentation.JAVA_LEGACY)),
    (DBRef("c", 7), CodecOptions()),
    ({"b": 1, "a": {"c": Int64(2)}}, CodecOptions(document_class=SON)),
    ({"b": 1, "a": [7.0]}, CodecOptions(document_class=RawBSONDocument)),
]


@pytest.mark.parametrize(("document_id", "options"), IDS, ids=lambda value: type(value).__name__)
def test_identity(document_id: Any, options: CodecOptions[Any]) -> None:
    """A document is found again by its _id byte for byte, whether it was decoded or not."""
    quarantine = quarantine_of(options=options)
    document = bson.encode({"_id": document_id}, codec_options=options)
    stored, decoded = key_of(document), bson.decode(document, options)["_id"]
    kept = RawBSONDocument(quarantine.statement(decoded, FAILED))
    released = RawBSONDocument(quarantine.release(stored))

    assert key_of(kept["q"].raw) == key_of(released["q"].raw)
    assert stored.element("document") in kept["q"].raw
    assert stored.element("document") in kept["u"]["$set"].raw
    assert released["limit"] == 1


@pytest.mark.parametrize(
    "stored",
    [Key(0x0E, b"\5\0\0\0four\0"), Key(0x09, (2**62).to_bytes(8, "little")), key({"b": 1, "a": 2})],
    ids=["symbol", "a date beyond the year 9999", "document"],
)
def test_identity_undecodable(stored: Key) -> None:
    """An _id that Python has no value for, or another one, is kept as it is stored."""
    quarantine = quarantine_of()
    identity = enclosed(bson.encode({"migration": "m", "step": 0})[4:-1] + stored.element("document"))

    for statement in (quarantine.statement(stored, FAILED), quarantine.release(stored)):
        assert RawBSONDocument(statement)["q"]["_id"].raw == identity


@pytest.mark.parametrize(
    ("read", "quarantined", "ended", "mostly"),
    [
        (0, 0, True, False),
        (FAILING_LEAST - 1, FAILING_LEAST - 1, True, False),
        (FAILING_LEAST, FAILING_LEAST, True, True),
        (FAILING_LEAST, FAILING_LEAST, False, False),
        (2 * FAILING_LEAST, FAILING_LEAST, True, False),
        (2 * FAILING_LEAST - 1, FAILING_LEAST, True, True),
        (FAILING_JUDGED - 1, FAILING_JUDGED - 1, False, False),
        (FAILING_JUDGED, FAILING_JUDGED // 2, False, False),
        (FAILING_JUDGED, FAILING_JUDGED // 2 + 1, False, True),
        (100 * FAILING_JUDGED, 50 * FAILING_JUDGED, False, False),
        (100 * FAILING_JUDGED, 50 * FAILING_JUDGED + 1, False, True),
    ],
)
def test_judge(*, read: int, quarantined: int, ended: bool, mostly: bool) -> None:
    """A run is given up where more than half of its documents fail: of fifty at least, and of a thousand
    while there is more to come.
    """
    counts = Counts(read=read, quarantined=quarantined)
    if not mostly:
        judge(counts, ended=ended)
        return
    with pytest.raises(MostlyFailingError, match=f"{quarantined:,} of the {read:,} documents") as caught:
        judge(counts, ended=ended)
    assert (caught.value.failed, caught.value.read) == (quarantined, read)
