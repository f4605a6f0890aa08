"""Selection: what is run, and what is refused; held against a model that is written otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkmigrate.compared import compare, renamed
from chunkmigrate.disorder import DeletedError, HalfRolledBackError, NotReadyError, RenamedError
from chunkmigrate.errors import UsageError
from chunkmigrate.ledger import APPLIED, CANCELLED, FAILED, PAUSED, PENDING, RUNNING, STOPPED
from chunkmigrate.migration import Migration
from chunkmigrate.order import ordered
from chunkmigrate.selection import select, warnings

STATUSES = [APPLIED, CANCELLED, FAILED, PAUSED, PENDING, RUNNING, STOPPED]
ENDED = [APPLIED, PENDING]


def migration(name: str, means: str = "", *before: str) -> Migration:
    checksum = f"meaning1:{means or name}"
    return Migration(name=name, path=Path(name), description="", checksum=checksum, dependencies=before)


def entry(status: str = APPLIED, means: str = "", **more: Any) -> dict[str, Any]:
    return {"status": status, "checksum": f"meaning1:{means}", **more}


def names(found: list[Migration]) -> list[str]:
    return [one.name for one in found]


ONE, TWO, THREE = migration("1"), migration("2"), migration("3", "", "1")
ALL = [ONE, TWO, THREE]


# Each migration of the model: its dependencies (earlier ones); its entry, if any, by status, direction and
# whether the meaning is the same; and whether it has a file.
folders = st.lists(
    st.tuples(
        st.sets(st.integers(0, 5)),
        st.none() | st.tuples(st.sampled_from(STATUSES), st.sampled_from(["up", "down"]), st.booleans()),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def model(rows: list[Any]) -> tuple[list[Migration], dict[str, dict[str, Any]]]:
    here = {place for place, (_, _, there) in enumerate(rows) if there}
    found = [
        migration(str(place), "", *(str(one) for one in sorted(before & here) if one < place))
        for place, (before, _, there) in enumerate(rows)
        if there
    ]
    entries = {
        str(place): entry(known[0], str(place) if known[2] else "other", direction=known[1])
        for place, (_, known, _) in enumerate(rows)
        if known
    }
    return ordered(found), entries


@given(folders, st.integers(0, 5), st.sampled_from(["all", "to", "only"]))
def test_against_a_model(rows: list[Any], wanted: int, how: str) -> None:
    """Run is everything not applied, to the target, or it alone; refused as the rules say, and never else."""
    found, entries = model(rows)
    target, only = found[wanted % len(found)] if found and how != "all" else None, how == "only"
    applied = {name for name, known in entries.items() if known["status"] == APPLIED}
    half = {
        name
        for name, known in entries.items()
        if known["direction"] == "down" and known["status"] not in ENDED
    }
    expected = []
    for one in found:
        if target is None or one is target or not only:
            expected += [one] if one.name not in applied or one is target else []
        if one is target:
            break
    refused = any(one.name in half for one in expected)
    if target is not None and only:
        reached, size = {*target.dependencies}, -1
        while len(reached) > size:
            size = len(reached)
            reached |= {name for one in found if one.name in reached for name in one.dependencies}
        refused = refused or (target.name not in applied and not reached <= applied)
    try:
        assert select(found, entries, target=target, only=only) == expected
    except UsageError:
        assert refused
    else:
        assert not refused


@given(folders)
def test_marks_against_a_model(rows: list[Any]) -> None:
    """Drifted is applied with another meaning, late comes before one applied, missing has no file."""
    found, entries = model(rows)
    compared = {row.name: row for row in compare(found, entries)}
    for place, one in enumerate(found):
        known, row = entries.get(one.name), compared[one.name]
        behind = [entries.get(later.name, {}).get("status") for later in found[place + 1 :]]

        assert row.status == (known["status"] if known else PENDING)
        assert row.drifted == (
            known is not None and known == {**known, "status": APPLIED} != {**known, "checksum": one.checksum}
        )
        assert row.late == (row.status != APPLIED and APPLIED in behind)
        assert not row.missing
    gone = {name for name, known in entries.items() if known["status"] != PENDING} - {*names(found)}

    assert {name for name, row in compared.items() if row.missing} == gone


def test_dependencies_alone() -> None:
    """One alone is refused while something it depends on is not applied, and says what, and how that is."""
    with pytest.raises(NotReadyError) as caught:
        select(ALL, {"1": entry(FAILED, "1")}, target=THREE, only=True)

    assert caught.value.unready == {"1": FAILED}
    assert str(caught.value) == (
        "3 depends on what is not applied: 1 (failed). Nothing was begun. Run `chunkmigrate run 3`, without "
        "--only, to apply those first."
    )
    assert names(select(ALL, {"1": entry(APPLIED, "1")}, target=THREE, only=True)) == ["3"]


def test_merged_late() -> None:
    """What was merged late is run, in its place, whatever was applied behind it."""
    entries = {"1": entry(means="1"), "3": entry(means="3")}

    assert names(select(ALL, entries)) == ["2"]
    assert [row.late for row in compare(ALL, entries)] == [False, True, False]


def test_half_rolled_back() -> None:
    """What is half rolled back is not run, nor what is on the way to it; once complete it is pending."""
    half = {"2": entry(STOPPED, "2", direction="down")}
    with pytest.raises(HalfRolledBackError, match="Finish that first with `chunkmigrate rollback 2`"):
        select(ALL, half, target=THREE)

    assert names(select(ALL, half, target=ONE)) == ["1"]
    assert names(select(ALL, {"2": entry(PENDING, "2", direction="down")})) == ["1", "2", "3"]


@pytest.mark.parametrize("status", [APPLIED, FAILED, STOPPED])
@pytest.mark.parametrize("how", [{}, {"only": True}])
def test_renamed(status: str, how: dict[str, bool]) -> None:
    """A file that means what one on record meant, which is gone, was renamed, and is not done again."""
    found, entries = [migration("1_new", "same")], {"1_old": entry(status, "same")}
    with pytest.raises(RenamedError) as caught:
        select(found, entries, target=found[0], **how)

    assert (caught.value.migration, caught.value.before) == ("1_new", "1_old")
    assert "record the new one with `chunkmigrate mark 1_new --applied`" in str(caught.value)


def test_not_renamed() -> None:
    """A copy of what still has its file is run; so is what was recorded in another scheme, or marked."""
    copy, old = migration("2_copy", "same"), migration("1_old", "same")

    assert select([old, copy], {"1_old": entry(APPLIED, "same")}) == [copy]
    assert select([copy], {"1_old": {"status": APPLIED, "checksum": "sha256:same"}}) == [copy]
    marked = {"1_old": entry(APPLIED, "same"), "2_copy": entry(APPLIED, "same")}
    assert select([copy], marked, followed={"1_old": "2_copy"}) == []
    assert renamed([copy], marked) == {"1_old": "2_copy"}
    assert warnings([copy], marked) == []


def test_deleted() -> None:
    """A file that is gone, while one that was run behind it is here, was deleted; one alone does not mind."""
    entries = {"1": entry(means="1"), "2": entry(means="2")}
    with pytest.raises(DeletedError) as caught:
        select([TWO], entries, followed={"1": "2"})

    assert str(caught.value) == (
        "1 is on record as applied, and its file is gone, though that of 2, which was run behind it, is "
        "here: it was deleted. Nothing was begun. Restore the file, or take it off the record with "
        "`chunkmigrate mark 1 --pending`."
    )
    assert select([TWO], entries, followed={"1": "2"}, target=TWO, only=True) == [TWO]
    assert select([TWO], entries) == []


def test_warnings() -> None:
    """Whoever runs something is told which applied files have changed or are missing, and what to do."""
    entries = {"1": entry(means="other"), "0": entry(means="0"), "2": entry(FAILED, "other")}
    drifted, missing = warnings(ALL, entries)

    assert drifted.startswith("Applied, and their files mean something else since: 1. ")
    assert missing.startswith("On record, and without a file in this folder: 0. ")
    assert "`chunkmigrate mark NAME --pending`" in missing
    assert warnings(ALL, {}) == []
    assert warnings(ALL, {"1": {"status": APPLIED, "checksum": "sha256:1"}}) == []
