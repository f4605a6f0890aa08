"""Records: what a step leaves in the database reads as what it was, and deaths are counted."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from chunkmigrate import records, sizing
from chunkmigrate.frontier import Range, Reach
from chunkmigrate.raw import Key
from chunkmigrate.records import DEATHS, Counts, Deaths, Intent, Record
from chunkmigrate.sizing import MIB, Sizes
from tests.unit.making import key

SYMBOL = Key(0x0E, b"\5\0\0\0four\0")
FULL = Sizes(chunk_bytes=4 * MIB, page_bytes=2 * MIB)
COUNTS = Counts(read=10, written=5, writes=7, quarantined=2, changed=1)
INTENT = Intent(after=key(3), through=key("nine"), used=5 * 2**33, budget=2**40)


def record(**fields: Any) -> Record:
    return Record(namespace="shop.orders", **fields)


def stored(slots: list[dict[str, Any]]) -> list[RawBSONDocument]:
    """The slots as the server gives them back."""
    return [RawBSONDocument(bson.encode({"namespace": "shop.orders", **slot})) for slot in slots]


RECORDS = [
    record(),
    record(upto=key(9)),
    record(upto=key(9), done=True, counts=COUNTS),
    record(
        upto=SYMBOL, reach=Reach(SYMBOL), islands=(Range(0, None, SYMBOL), Range(7, SYMBOL, key({"a": 1})))
    ),
    record(upto=key(9), sizes=FULL),
    record(
        upto=key(9), sizes=Sizes(chunk_bytes=1, page_bytes=2, chunk_documents=3, expansion=4.5, slow=True)
    ),
    record(upto=key(9), intent=INTENT),
    record(upto=key(9), intent=Intent(after=None, through=None, used=0, budget=1)),
    record(upto=key(9), deaths=Deaths(SYMBOL, 2, 2**40)),
    record(upto=key(9), deaths=Deaths(key(3), 0, 7, 16)),
    record(upto=key(None), reach=Reach(key(None)), counts=COUNTS, sizes=FULL, intent=INTENT),
]


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("given", RECORDS)
def test_round_trip(given: Record, slots: int) -> None:
    """What is stored at the start of an attempt reads as what it was, however many writers there are."""
    found = stored([records.slot_document(slot, 5, given) for slot in range(slots)])

    assert records.read(found) == records.read(found[::-1]) == given


def slot(number: int, generation: int = 5, /, **fields: Any) -> dict[str, Any]:
    """One writer's record: as at the start of an attempt, but for these fields."""
    made = records.slot_document(number, generation, record(upto=key(99)))
    return made | {name: asdict(value) if name == "counts" else value for name, value in fields.items()}


def after(
    position: Key | None,
    number: int,
    ahead: list[Range],
    sizes: Sizes | None = None,
    intent: Intent | None = None,
) -> dict[str, Any]:
    """What a record has of the chunks committed so far."""
    return records.state(Reach(position, number), ahead, [], sizes, intent)


def test_slots() -> None:
    """The slots add up: the furthest position, the ranges beyond it, what each counted; the sizes and the
    intent are those stored last.
    """
    left, right = Range(2, key(20), key(30)), Range(4, key(40), key(50))
    first, second = Counts(read=20, written=3), Counts(read=30, writes=9, quarantined=1)
    last = replace(FULL, chunk_documents=7)
    for stamps in ((8, 9), (9, 8)):
        slots = [
            slot(0, counts=first, stamp=stamps[0], **after(key(10), 1, [left], FULL)),
            slot(1, counts=second, stamp=stamps[1], **after(None, 0, [right], last, INTENT)),
        ]
        read = records.read(stored(slots))

        assert (read.reach, read.islands) == (Reach(key(10)), (left, right))
        assert read.counts == Counts(read=50, written=3, writes=9, quarantined=1)
        assert (read.sizes, read.intent) == ((last, INTENT) if stamps == (8, 9) else (FULL, None))


def test_islands_first() -> None:
    """Islands that an earlier attempt left come before the ranges ahead of this one."""
    old, new = Range(3, key(40), key(50)), Range(1, key(60), key(70))
    zeroth = slot(0) | records.state(Reach(key(10)), [new], [old], None, None)

    assert records.read(stored([zeroth])).islands == (old, new)


def test_generations() -> None:
    """Of two generations, left by a death while a step was claimed, the higher one counts."""
    old = [slot(n, 4, counts=Counts(read=5), last=3) for n in (0, 1)]
    new = slot(0, 5, counts=Counts(read=10))
    read = records.read(stored([*old, new]))

    assert (read.counts, read.progressed) == (Counts(read=10), False)


@pytest.mark.parametrize(("last", "progressed"), [((-1, -1), False), ((-1, 0), True), ((3, -1), True)])
def test_progressed(*, last: tuple[int, int], progressed: bool) -> None:
    """An attempt has progressed once any of its writers has committed a chunk."""
    assert records.read(stored([slot(n, last=one) for n, one in enumerate(last)])).progressed is progressed


def mark(document: Key | None, used: int = 100, among: int = 1) -> RawBSONDocument:
    """What a run says it is working on, as it is stored."""
    given = None if document is None else document.document()
    return RawBSONDocument(bson.encode({"number": 3, "document": given, "used": used, "among": among}))


@pytest.mark.parametrize("given", [None, mark(None)], ids=["no mark", "empty mark"])
def test_death_unmarked(given: RawBSONDocument | None) -> None:
    """Where no document alone was at work, a death makes sizes smaller and counts against nobody."""
    deaths = Deaths(key(7), 1, 50)
    died = records.after_death(record(sizes=FULL, deaths=deaths, counts=COUNTS), given)

    assert died == record(sizes=sizing.after_death(FULL, progressed=False), deaths=deaths, counts=COUNTS)


def test_deaths_of_one() -> None:
    """Each death while the same document was at work counts; after the third one it is given up."""
    died, found = record(sizes=FULL), []
    for count in range(1, DEATHS + 2):
        died = records.after_death(died, mark(key(7), 100 + count))
        assert died.deaths == Deaths(key(7), count, 100 + count)
        found.append(died.deaths.doomed)

    assert found == [False, False, True, True]


def test_deaths_of_others() -> None:
    """A death at another document begins to count anew: only those in a row say anything of a document."""
    died = record(deaths=Deaths(key(7), 2, 50))
    died = records.after_death(died, mark(key(8)))
    assert died.deaths == Deaths(key(8), 1, 100)
    died = records.after_death(died, mark(key(7)))

    assert died.deaths == Deaths(key(7), 1, 100)


def test_death_among() -> None:
    """Where one of several documents was at work, it is known among which, and counts against none of them;
    once it is known which one it was, counting begins.
    """
    died = records.after_death(record(deaths=Deaths(key(3), 2)), mark(key(3), 100, among=16))
    assert died.deaths == Deaths(key(3), 0, 100, 16)
    assert not died.deaths.doomed
    died = records.after_death(died, mark(key(3)))

    assert died.deaths == Deaths(key(3), 1, 100)


def test_death_kind() -> None:
    """Documents whose _ids are equal to Python are not the same where their types differ."""
    died = records.after_death(record(deaths=Deaths(key(7), 2)), mark(key(7.0)))

    assert died.deaths == Deaths(key(7.0), 1, 100)


def test_death_sizes() -> None:
    """Sizes that were never learned stay so; others shrink as the law says, which asks for progress."""
    slow = sizing.after_death(FULL, progressed=False)

    assert records.after_death(record(), mark(key(7))).sizes is None
    assert records.after_death(record(sizes=slow, progressed=True), None).sizes == slow
    assert records.after_death(record(sizes=slow), None).sizes == sizing.after_death(slow, progressed=False)


def test_deaths_survive() -> None:
    """What was counted against a document is there for the run after the next one."""
    died = records.after_death(record(upto=key(9), sizes=FULL), mark(key(7)))
    found = records.read(stored([records.slot_document(n, 6, died) for n in (0, 1)]))

    assert records.after_death(found, mark(key(7))).deaths == Deaths(key(7), 2, 100)


def test_counts() -> None:
    """Counts add and subtract one by one; skipped are those that were neither written nor set aside."""
    other = Counts(read=1, written=2, writes=3, quarantined=4, changed=5)

    assert COUNTS + other == Counts(read=11, written=7, writes=10, quarantined=6, changed=6)
    assert COUNTS + other - COUNTS == other
    assert COUNTS.skipped == 3
