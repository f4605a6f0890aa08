"""Culprits: the pods a Job's failure is about, of all that have failed.

A Job that has failed stops its other pods, and those end later: the last one is seldom the cause. What its
podFailurePolicy ignores is none either. A rule is taken into account where it certainly applies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes.ending import GOING, Ending, Kind
from chunkmigrate.kubernetes.fields import at, holds, items, text
from chunkmigrate.kubernetes.pods import index, name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Fate = tuple["Mapping[str, Any]", Ending]

_IGNORE = "Ignore"

# A sentence holds no more; all of them are listed below it.
MAX_CULPRITS = 3


def culprits(job: Mapping[str, Any], fates: Sequence[Fate]) -> list[Ending]:
    """Return the endings a failure is about, the last one last: one, or one for each index that failed."""
    failed = [
        fate for fate in fates if fate[1].kind not in GOING | {Kind.SUCCEEDED} and fate[1].exit_code != 0
    ]
    said = text(holds(job, "Failed") or holds(job, "FailureTarget"), "message")
    named = [fate for fate in failed if name(fate[0]) and f"/{name(fate[0])} " in f"{said} "]
    counted = [fate for fate in failed if _action(job, *fate) != _IGNORE]
    ill = [fate for fate in counted if fate[1].kind is not Kind.TERMINATED and _index_failed(job, fate[0])]
    chosen = sorted(named or ill or counted or failed, key=_when)
    last = {index(fate[0]): fate for fate in chosen}
    return [ending for _, ending in sorted(last.values(), key=_when)][-MAX_CULPRITS:]


def _index_failed(job: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether a pod's index is among the failed: one that was tried again may have succeeded since."""
    failed = text(job, "status", "failedIndexes", most=10_000)
    if not failed or not index(pod).isdecimal():
        return True
    ranges = (part.partition("-") for part in failed.split(","))
    return any(_within(int(index(pod)), low, high or low) for low, _, high in ranges)


def _within(number: int, low: str, high: str) -> bool:
    return low.isdecimal() and high.isdecimal() and int(low) <= number <= int(high)


def _when(fate: Fate) -> tuple[bool, Any]:
    at_ = fate[1].at
    return at_ is not None, at_.timestamp() if at_ else 0.0


def _action(job: Any, pod: Mapping[str, Any], ending: Ending) -> str:
    """Return what the first rule that applies does; empty where none is known to."""
    rules = items(job, "spec", "podFailurePolicy", "rules")
    return next((text(rule, "action") for rule in rules if _applies(rule, pod, ending)), "")


def _applies(rule: Mapping[str, Any], pod: Mapping[str, Any], ending: Ending) -> bool:
    if (codes := at(rule, "onExitCodes")) is not None:
        return ending.exit_code not in (None, 0) and _in(codes, ending.exit_code)
    wanted = items(rule, "onPodConditions")
    return any(one.get("status", "True") == "True" and holds(pod, text(one, "type")) for one in wanted)


def _in(codes: Any, code: int | None) -> bool:
    values, operator = at(codes, "values"), at(codes, "operator")
    if not isinstance(values, list):
        return False
    return (code in values) if operator == "In" else operator == "NotIn" and code not in values
