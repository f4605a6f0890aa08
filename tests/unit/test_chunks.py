"""Chunks: statements that wait, and become commands."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.raw_bson import RawBSONDocument
from pymongo.logger import LogMessage
from pymongo.message import _op_msg

from chunkmigrate.chunks import COMMAND_BYTES, COMMAND_STATEMENTS, Chunk
from chunkmigrate.records import Counts
from tests.unit.making import key


def statement(number: int, size: int = 0) -> bytes:
    return bson.encode({"q": {"_id": number}, "u": {}, "pad": bytes(size)})


def filled(*writes: tuple[int, str, str]) -> Chunk:
    """A chunk with these writes: document, namespace, kind; a document's writes stand together."""
    chunk, current, count = Chunk(0, None), writes[0][0], 0
    for number, (document, namespace, kind) in enumerate(writes):
        if document != current:
            chunk.close(f"id {current}", count)
            current, count = document, 0
        chunk.add(namespace, kind, statement(number))
        count += 1
    chunk.close(f"id {current}", count)
    return chunk


def told(chunk: Chunk) -> list[tuple[str, str, str, list[int], list[int]]]:
    """Database, kind, collection, numbers of the statements and owners of each command."""
    found = []
    for group in chunk.groups:
        command = group.command()
        kind, field, ordered = command
        assert (ordered, command["ordered"]) == ("ordered", True)
        assert field == {"insert": "documents", "update": "updates", "delete": "deletes"}[kind]
        [encoded] = command[field]
        numbers = [one["q"]["_id"] for one in bson.decode_all(encoded.raw)]
        found.append((group.database, kind, command[kind], numbers, group.owners))
    return found


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([(0, "d.a", "update")], [("d", "update", "a", [0], [0])]),
        (
            [(0, "d.a", "update"), (0, "d.b", "insert"), (1, "d.a", "update"), (1, "d.b", "insert")],
            [("d", "update", "a", [0, 2], [0, 1]), ("d", "insert", "b", [1, 3], [0, 1])],
        ),
        (
            [(0, "d.a", "insert"), (1, "d.a", "delete"), (2, "d.a", "insert")],
            [
                ("d", "insert", "a", [0], [0]),
                ("d", "delete", "a", [1], [1]),
                ("d", "insert", "a", [2], [2]),
            ],
        ),
        (
            [(0, "d.a", "update"), (0, "d.b", "update"), (0, "d.a", "delete"), (1, "d.b", "update")],
            [
                ("d", "update", "a", [0], [0]),
                ("d", "update", "b", [1, 3], [0, 1]),
                ("d", "delete", "a", [2], [0]),
            ],
        ),
        (
            [(0, "d.a.b.c", "update"), (0, "e.a", "update")],
            [("d", "update", "a.b.c", [0], [0]), ("e", "update", "a", [1], [0])],
        ),
    ],
)
def test_commands(writes: list[tuple[int, str, str]], expected: list[Any]) -> None:
    """Statements keep their order within a collection, and those of different collections are grouped."""
    assert told(filled(*writes)) == expected


@pytest.mark.parametrize(
    ("count", "lengths"),
    [
        (COMMAND_STATEMENTS, [COMMAND_STATEMENTS]),
        (COMMAND_STATEMENTS + 1, [COMMAND_STATEMENTS, 1]),
        (2 * COMMAND_STATEMENTS + 5, [COMMAND_STATEMENTS, COMMAND_STATEMENTS, 5]),
    ],
)
def test_split_by_statements(count: int, lengths: list[int]) -> None:
    """A command has at most a thousand statements; what is beyond goes into the next, each with its owner."""
    commands = told(filled(*((number // 3, "d.a", "update") for number in range(count))))

    assert [len(numbers) for *_, numbers, _ in commands] == lengths
    assert [number for *_, numbers, _ in commands for number in numbers] == list(range(count))
    assert all(owners == [number // 3 for number in numbers] for *_, numbers, owners in commands)


def test_split_by_bytes() -> None:
    """A command has at most 16 MiB of statements; one that is larger by itself goes alone."""
    half = COMMAND_BYTES // 2 - len(statement(0))
    chunk = Chunk(0, None)
    for number, size in enumerate([half, half, 0, COMMAND_BYTES, half, half + 1, 5]):
        chunk.add("d.a", "update", statement(number, size))
        chunk.close(number, 1)

    assert [numbers for *_, numbers, _ in told(chunk)] == [[0, 1], [2], [3], [4], [5, 6]]


def test_exact_bytes() -> None:
    """The statements are sent byte for byte as they were added, one behind the other."""
    odd = bytes.fromhex("0c0000001061000100000000"), bytes.fromhex("0d0000000161000000000000"), statement(3)
    chunk = Chunk(0, None)
    for one in odd:
        chunk.add("d.a", "insert", one)
    [encoded] = chunk.groups[0].command()["documents"]

    assert encoded.raw == b"".join(odd)


@pytest.mark.parametrize("kind", ["insert", "update", "delete"])
@pytest.mark.parametrize("count", [1, 2, COMMAND_STATEMENTS])
def test_message(kind: str, count: int) -> None:
    """The driver makes the same message of a command as of one with a document for each statement."""
    # `_op_msg` is private, and so is that it copies what a RawBSONDocument calls raw: this pins both, so
    # that a driver which begins to look at the documents is noticed here and not by a server.
    chunk = filled(*((number, "d.a", kind) for number in range(count)))
    command = chunk.groups[0].command()
    [field] = command.keys() - {kind, "ordered"}
    each = command | {field: [RawBSONDocument(statement(number)) for number in range(count)]}
    ours, expected = (_op_msg(0, one, "d", None, DEFAULT_CODEC_OPTIONS) for one in (command, each))

    assert without_request_id(ours[1]) == without_request_id(expected[1])
    assert ours[2] == expected[2]
    assert b"".join(statement(number) for number in range(count)) in ours[1]


def without_request_id(message: bytes) -> bytes:
    return message[:4] + message[8:]


def test_logged() -> None:
    """The driver's debug log can show a command: it says how many bytes its statements have."""
    command = filled((0, "d.a", "update"), (1, "d.a", "update")).groups[0].command()

    assert f'"bytes": {2 * len(statement(0))}' in str(LogMessage(command=command)).replace("\\", "")
    assert repr(command["updates"]) == f"[Encoded({2 * len(statement(0))} bytes)]"


def test_counts() -> None:
    """A chunk counts documents, documents with a write, writes and bytes, and knows whose a statement is."""
    chunk = filled((0, "d.a", "update"), (0, "d.b", "update"), (1, "d.a", "update"))
    chunk.close("id 2", 0)

    assert (chunk.counts, chunk.counts.skipped) == (Counts(read=3, written=2, writes=3), 1)
    assert chunk.size == sum(len(statement(number)) for number in range(3))
    assert [chunk.owner(number) for number in range(3)] == ["id 0", "id 1", "id 2"]


def test_empty() -> None:
    """An emptied chunk holds no statement and no _id any more, and its counts stay."""
    chunk = filled((0, "d.a", "update"), (1, "d.a", "update"))
    chunk.remember(0, (key(0), b"print"))
    chunk.set_aside("d.q", statement(7), 1)
    before = chunk.counts, chunk.size
    chunk.empty()

    assert chunk.all_groups == []
    assert (chunk._open, chunk._ids, chunk.prints) == ({}, [], [])
    assert (chunk.counts, chunk.size) == before
    assert before == (Counts(read=2, written=2, writes=2, quarantined=1), 3 * len(statement(0)))


def test_nothing() -> None:
    """A chunk without writes is no command."""
    chunk = Chunk(0, None)
    chunk.close(1, 0)

    assert chunk.groups == []


WRITES = [
    (0, "d.a", "update"),
    (0, "d.b", "insert"),
    (1, "d.a", "update"),
    (1, "d.a", "delete"),
    (1, "d.c", "update"),
    (2, "d.a", "update"),
    (2, "d.a", "update"),
    (3, "d.b", "insert"),
]


@pytest.mark.parametrize("number", range(5))
def test_drop(number: int) -> None:
    """The writes of one document are taken out; the others stay as they were, in order, with their owners."""
    chunk, whole = filled(*WRITES), told(filled(*WRITES))
    dropped = [place for place, (document, *_) in enumerate(WRITES) if document == number]
    expected = []
    for *name, numbers, owners in whole:
        kept = [(one, owner) for one, owner in zip(numbers, owners, strict=True) if owner != number]
        expected += [(*name, [one for one, _ in kept], [owner for _, owner in kept])] if kept else []

    assert chunk.drop(number) == len(dropped)
    assert told(chunk) == expected
    assert chunk.writes == len(WRITES) - len(dropped)
    assert chunk.size == chunk.writes * len(statement(0)) == sum(len(one.statements) for one in chunk.groups)
    assert chunk.drop(number) == 0


def test_drop_sizes() -> None:
    """Statements of all sizes are taken out where they begin and end."""
    chunk = Chunk(0, None)
    for number, size in enumerate([0, 300, 5, 70_000, 1, 0]):
        chunk.add("d.a", "update", statement(number, size))
        chunk.close(number, 1)
    for number in (3, 0, 4):
        chunk.drop(number)

    assert chunk.groups[0].statements == statement(1, 300) + statement(2, 5) + statement(5)
    assert (chunk.size, chunk.writes) == (len(chunk.groups[0].statements), 3)


def test_after_drop() -> None:
    """Writing goes on after a document was taken out, in the same command while there is one."""
    chunk = filled((0, "d.a", "update"))
    for number in range(1, 9):
        chunk.add("d.a", "update", statement(number))
        chunk.drop(number)
        chunk.close(number, 0)
    chunk.add("d.a", "update", statement(9))
    chunk.close(9, 1)

    assert told(chunk) == [("d", "update", "a", [0, 9], [0, 9])]
    chunk.drop(0)
    chunk.drop(9)
    assert chunk.groups == []
    chunk.add("d.a", "update", statement(4), 4)
    assert told(chunk) == [("d", "update", "a", [4], [4])]


def test_after_drop_kind() -> None:
    """A write behind a taken out one of another kind does not overtake those that are left."""
    chunk = filled((0, "d.a", "update"), (1, "d.a", "delete"))
    chunk.drop(1)
    chunk.add("d.a", "insert", statement(7))

    assert told(chunk) == [("d", "update", "a", [0], [0]), ("d", "insert", "a", [7], [2])]


def test_set_aside() -> None:
    """What goes into quarantine is one more command, behind all others, with the owner of each statement."""
    chunk = filled((0, "d.a", "update"), (2, "d.b", "update"))
    chunk.set_aside("d.q", statement(8), 5)
    chunk.set_aside("d.q", statement(9), 1)
    *groups, last = chunk.all_groups

    assert groups == chunk.groups
    assert (last.namespace, last.kind, last.owners) == ("d.q", "update", [5, 1])
    assert last.statements == statement(8) + statement(9)
    assert (chunk.quarantined, chunk.writes, chunk.size) == (2, 2, 4 * len(statement(0)))


def test_prints() -> None:
    """Each print stands at its document's number; one that was set aside, or has none, stands for none."""
    prints = [(key(number), bytes([number])) for number in range(6)]
    chunk = Chunk(0, None)
    chunk.remember(0, prints[0])
    chunk.set_aside("d.q", statement(1), 1)
    chunk.remember(1, prints[1])
    chunk.remember(4, prints[4])
    chunk.set_aside("d.q", statement(4), 4)
    chunk.set_aside("d.q", statement(5), 5)
    chunk.remember(5, prints[5])

    assert chunk.prints == [prints[0], None, None, None, None, None]
