"""Order: by name where free, behind what is needed; held against a model that is written otherwise."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkmigrate.disorder import CycleError, MissingDependencyError
from chunkmigrate.migration import Migration
from chunkmigrate.order import closure, needs, ordered

if TYPE_CHECKING:
    from random import Random

NAMES = ["a", "b", "c", "d", "e"]

graphs = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), max_size=3), min_size=1).map(
    lambda graph: {name: before & graph.keys() for name, before in graph.items()}
)


def migration(name: str, *before: str, alias: str = "") -> Migration:
    aliases = (alias,) if alias else ()
    return Migration(
        name=name, path=Path(f"{name}.py"), description="", checksum="", dependencies=before, aliases=aliases
    )


def of(graph: dict[str, set[str]]) -> list[Migration]:
    return [migration(name, *sorted(before)) for name, before in graph.items()]


def is_order(names: tuple[str, ...], graph: dict[str, set[str]]) -> bool:
    return all(before <= {*names[:place]} for place, before in enumerate(map(graph.__getitem__, names)))


@given(graphs)
def test_first_of_all_orders(graph: dict[str, set[str]]) -> None:
    """Of all orders that are right the first by name is taken; where there is none, a circle is named."""
    right = [names for names in permutations(sorted(graph)) if is_order(names, graph)]
    try:
        found = tuple(one.name for one in ordered(of(graph)))
    except CycleError as error:
        circle = error.members
        assert not right
        assert circle[0] == min(circle)
        assert len({*circle}) == len(circle)
        assert all(then in graph[name] for name, then in zip(circle, (*circle[1:], circle[0]), strict=True))
    else:
        assert found == right[0]


@given(graphs, st.randoms())
def test_whatever_the_folder_says_first(graph: dict[str, set[str]], random: Random) -> None:
    """In which order the files are found does not matter."""
    found = of(graph)
    shuffled = sorted(found, key=lambda _: random.random())

    assert outcome(shuffled) == outcome(found)


def outcome(found: list[Migration]) -> tuple[str, ...]:
    try:
        return tuple(one.name for one in ordered(found))
    except CycleError as error:
        return error.members


@given(graphs)
def test_closure(graph: dict[str, set[str]]) -> None:
    """What a migration needs is what it depends on, and what that needs."""
    for name, before in graph.items():
        reached = closure(name, needs(of(graph)))

        assert before <= reached
        assert reached == before.union(*(graph[one] for one in reached))


def test_diamond() -> None:
    """What two depend on comes once, before both."""
    found = [migration("a", "b", "c"), migration("b", "d"), migration("c", "d"), migration("d")]

    assert [one.name for one in ordered(found)] == ["d", "b", "c", "a"]


def test_cycle_alone() -> None:
    """A circle is told of by its members in order, without those that only wait for it."""
    found = [
        migration("a", "z"),
        migration("m", "k"),
        migration("z", "k"),
        migration("k", "x"),
        migration("x", "m"),
    ]
    with pytest.raises(CycleError) as caught:
        ordered(found)

    assert caught.value.members == ("k", "x", "m")
    assert str(caught.value) == (
        "These depend on each other in a circle: k -> x -> m -> k. Take one name out of depends_on."
    )


def test_missing() -> None:
    """A name that is not there is told with the closest there is, an alias included."""
    with pytest.raises(MissingDependencyError) as caught:
        ordered([migration("1_one", alias="order_prices"), migration("2_two", "order_price")])

    assert (caught.value.dependency, caught.value.close) == ("order_price", "order_prices")
