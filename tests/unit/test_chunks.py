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

    assert (chunk.read, chunk.written, chunk.skipped, chunk.writes) == (3, 2, 1, 3)
    assert chunk.size == sum(len(statement(number)) for number in range(3))
    assert [chunk.owner(number) for number in range(3)] == ["id 0", "id 1", "id 2"]


def test_empty() -> None:
    """An emptied chunk holds no statement and no _id any more, and its counts stay."""
    chunk = filled((0, "d.a", "update"), (1, "d.a", "update"))
    before = (chunk.read, chunk.written, chunk.writes, chunk.size)
    chunk.empty()

    assert chunk.groups == []
    assert (chunk._open, chunk._ids) == ({}, [])
    assert (chunk.read, chunk.written, chunk.writes, chunk.size) == before == (2, 2, 2, chunk.size)


def test_nothing() -> None:
    """A chunk without writes is no command."""
    chunk = Chunk(0, None)
    chunk.close(1, 0)

    assert chunk.groups == []
