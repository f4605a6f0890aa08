"""The judge of manifests, held against what a server said of 89."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cluster import problems, recorded_cases

# What the server takes and the judge does not, for none of it is ever rendered. A null is read as absent, and
# a part of a byte or a hidden variable gets a warning.
STRICTER = {
    "env-duplicate",
    "env-name-with-space",
    "null-for-integer",
    "null-for-list",
    "null-for-object",
    "policy-condition-without-status",
    "quantity-64m-milli",
    "quantity-decimal-number",
}


def is_refused(case: dict[str, Any]) -> bool:
    return any(case.get(how, {}).get("httpStatus", 0) >= 400 for how in ("server", "serverStrict"))


@pytest.mark.parametrize("case", recorded_cases(), ids=lambda case: case["case"])
def test_recorded(case: dict[str, Any]) -> None:
    """The judge refuses all that the server refused, and takes the rest but for what it is stricter with."""
    found = problems(case["manifest"])

    assert bool(found) == (is_refused(case) or case["case"] in STRICTER), found


def test_all_recorded() -> None:
    """There are 89 cases, refused and not, and those the judge is stricter with are among them."""
    refused = [case["case"] for case in recorded_cases() if is_refused(case)]

    assert len(recorded_cases()) == 89
    assert 30 < len(refused) < 70
    assert {case["case"] for case in recorded_cases()} - set(refused) >= STRICTER
