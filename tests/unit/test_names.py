"""Names: what a migration is called in a cluster."""

from __future__ import annotations

import doctest
import re

import pytest

from chunkmigrate.kubernetes import names

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

ODD = [
    "_",
    "-",
    "...",
    "a-",
    "a_",
    "A",
    "a.b",
    "a b",
    "ß",
    "日本語",
    "a\nb",
    "a/b",
    "$(A)",
    "\udcff",
    *("x" * length for length in (43, 44, 45, 52, 62, 63, 64, 250)),
    *("x" * length + "_" for length in range(30, 70)),
]


@pytest.mark.parametrize("name", ["20260105090000_order_prices_in_cents", "a", "1", "a__b"])
def test_faithful(name: str) -> None:
    """An ordinary name keeps its words."""
    assert names.job_name(name) == f"migrate-{name.replace('_', '-')}"


@pytest.mark.parametrize("name", ODD)
def test_fits(name: str) -> None:
    """Whatever a migration is called, its Job's name is a host's, with room for what is put behind it."""
    found = names.job_name(name)

    assert LABEL.fullmatch(found)
    # An index of ten digits, or a CronJob's eleven characters.
    assert len(found) + 11 <= 63
    assert found.startswith("migrate-")


@pytest.mark.parametrize("name", ODD)
def test_label(name: str) -> None:
    """Whatever a migration is called, it can be selected by."""
    found = names.label_value(name)

    assert VALUE.fullmatch(found)
    assert len(found) <= 63


def test_apart() -> None:
    """Names that differ in what cannot be said, or only behind where they are cut, stay apart."""
    alike = ["a_b", "a-b", "a b", "A_b", "a.b", "a_b_", "_a_b", *(f"{'x' * 80}{n}" for n in range(50))]

    assert len({names.job_name(name) for name in alike}) == len(alike)
    assert len({names.label_value(name) for name in alike}) == len(alike)


def test_examples() -> None:
    """The examples in the documentation of the names are true."""
    assert doctest.testmod(names).failed == 0
