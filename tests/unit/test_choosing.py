from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from chunkmigrate.errors import UnknownJobError
from chunkmigrate.kubernetes.choosing import chosen, migration

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.cluster import Cluster


def job(name: str, *args: str) -> dict[str, Any]:
    containers = [{"name": "c", "args": [*args]}]
    return {"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": containers}}}}


ORDERS = job("migrate-20260105-order-prices", "run", "20260105_order_prices")
USERS = job("users", "run", "--memory", "64Mi", "20260106_user_names")
FOREIGN = job("foreign")


@dataclass
class Jobs:
    """A cluster that has these Jobs, the last of which is not chunkmigrate's."""

    there: list[dict[str, Any]]
    namespace: str = "migrations"

    def job(self, name: str) -> Any:
        return next((one for one in [*self.there, FOREIGN] if one["metadata"]["name"] == name), None)

    def jobs(self) -> Any:
        return self.there


def choose(name: str | None, *there: dict[str, Any]) -> Any:
    return chosen(cast("Cluster", Jobs([*there])), name)


def test_chosen() -> None:
    """A Job is found by its name, by a part of its migration's, or alone."""
    assert choose("foreign", ORDERS) is FOREIGN
    assert choose("order_prices", ORDERS, USERS) is ORDERS
    assert choose("ORDER", ORDERS, USERS) is ORDERS
    assert choose("user_names", ORDERS, USERS) is USERS
    assert choose(None, USERS) is USERS


@pytest.mark.parametrize(
    ("name", "there", "sentence"),
    [
        (None, [], "There is no Job of a migration in namespace migrations."),
        ("x", [], "There is no Job x in namespace migrations. There is no Job of a migration at all."),
        (
            "x",
            [ORDERS],
            "There is no Job x in namespace migrations. There are: migrate-20260105-order-prices.",
        ),
        (None, [ORDERS, USERS], "There are several Jobs of migrations in namespace migrations: migrate-"),
        ("2026", [ORDERS, USERS], "2026 fits several Jobs in namespace migrations: migrate-"),
    ],
)
def test_not_chosen(name: str | None, there: list[dict[str, Any]], sentence: str) -> None:
    """Where it is not one Job, those there are are named."""
    with pytest.raises(UnknownJobError) as raised:
        choose(name, *there)

    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (("run", "m"), "m"),
        (("chunkmigrate", "run", "--memory", "64Mi", "m"), "m"),
        (("run", "--memory=64Mi", "m", "--writers", "2"), "m"),
        (("run", "--show-values", "m"), "m"),
        (("run", "--only", "m"), "m"),
        (("run", "--wait", "5m", "--", "-m-"), "-m-"),
        (("run", "--"), ""),
        (("run", "--all"), ""),
        (("python", "-c", "x"), ""),
        ((), ""),
    ],
)
def test_migration(args: tuple[str, ...], name: str) -> None:
    """The migration of a Job is the one its container's command names."""
    assert migration(job("j", *args)) == name


def test_annotated_migration() -> None:
    """What a Job is annotated with comes before its command, in which a $ is spelled in its own way."""
    annotated = job("j", "run", "--", "a$$b")
    annotated["metadata"]["annotations"] = {"chunkmigrate/migration": "a$b"}

    assert migration(annotated) == "a$b"


def test_migration_of_anything() -> None:
    """A Job that is none, or has no command, applies no migration that is known."""
    assert migration(None) == ""
    assert migration({"spec": {"template": {"spec": {"containers": [{"args": "run m"}]}}}}) == ""
