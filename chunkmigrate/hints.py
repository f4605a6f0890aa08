"""Hints: whether an index can be read in the place of the one on ``_id``: in its order, and without a gap.

Asks the server how it would read. How a read is bounded is ``scan``'s business, what it costs ``indexes``'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson.codec_options import CodecOptions

from chunkmigrate.errors import UnusableIndexError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chunkmigrate.scan import Scan

_INDEX_STAGES = frozenset(("IXSCAN", "EXPRESS_IXSCAN"))

_ADVICE = "Name one on the fields the filter has a value for, with _id behind them; or none."


@dataclass(frozen=True, slots=True)
class Index:
    """An index: its name, and the fields of its key, in order. ``partial``: it leaves out documents."""

    name: str
    keys: tuple[str, ...]
    partial: bool


def indexes_of(scan: Scan) -> list[Index]:
    """Return the indexes of the scanned collection."""
    plain = scan.collection.with_options(CodecOptions[Any]())
    return [
        Index(index["name"], tuple(index["key"]), bool({"sparse", "partialFilterExpression"} & index.keys()))
        for index in plain.list_indexes()
    ]


def check_hint(scan: Scan) -> None:
    """Raise `UnusableIndexError` where the index that a scan names cannot be read for its filter."""
    found = {index.name: index for index in indexes_of(scan)}
    if scan.hint not in found:
        names = ", ".join(sorted(found)) or "none"
        raise _unusable(scan, f"There is no index {scan.hint} in {scan.namespace}, which has {names}")
    if found[scan.hint].partial:
        # The server reads one all the same where it is told to, and silently leaves documents out.
        raise _unusable(scan, f"The index {scan.hint} leaves out documents: it is sparse or partial")
    if not is_in_order(scan):
        raise _unusable(scan, f"The index {scan.hint} does not have what the filter matches in _id order")


def is_in_order(scan: Scan) -> bool:
    """Whether the server finds what the filter matches in ``_id`` order, by the index the scan names.

    It sorts what it reads otherwise: all of it again for each page.
    """
    used = [*stages(scan.explained("queryPlanner", 1))]
    names = {stage.get("indexName") for stage in used if stage["stage"] in _INDEX_STAGES}
    is_sorted = all(stage["stage"] not in ("SORT", "COLLSCAN") for stage in used)
    return not used or (names == {scan.hint} and is_sorted)


def stages(plan: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the stages of the plan that an ``explain`` says was chosen, on all shards."""
    if isinstance(plan, list):
        for part in plan:
            yield from stages(part)
    elif isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        for name, part in plan.items():
            if name not in ("rejectedPlans", "executionStats", "command"):
                yield from stages(part)


def _unusable(scan: Scan, what: str) -> UnusableIndexError:
    return UnusableIndexError(f"{what}. {_ADVICE}", scan.namespace, str(scan.hint))
