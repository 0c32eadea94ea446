from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.domain.places import pack, unpack


@given(st.lists(st.integers(0, 2000), unique=True))
def test_places_come_back_in_their_order(places: list[int]) -> None:
    assert unpack(pack(places)) == places


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_neighbours_are_brief(first: int, count: int) -> None:
    assert len(pack(range(first, first + count))) <= 9
