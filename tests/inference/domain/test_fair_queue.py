"""Properties of the line, by a clock that is not there: a step is one task served."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.domain.fair_queue import FairQueue, LineFull, Waiting


@dataclass(frozen=True)
class Item:
    name: str


def waiting(
    tenant: str, *, weight: int = 1, tokens: int = 10, priority: str = "normal", name: str = ""
) -> Waiting[Item]:
    return Waiting(Item(name or tenant), tenant=tenant, weight=weight, tokens=tokens, priority=priority)


def serve_next(queue: FairQueue[Item]) -> Waiting[Item]:
    found = next(iter(queue.in_turn()))
    queue.serve(found)
    return found


@given(
    weights=st.lists(st.integers(1, 8), min_size=2, max_size=5),
    sizes=st.lists(st.integers(50, 500), min_size=5, max_size=5),
    greed=st.lists(st.integers(2, 50), min_size=5, max_size=5),
)
@settings(deadline=None)
def test_shares_are_those_of_the_weights_within_ten_per_cent(
    weights: list[int], sizes: list[int], greed: list[int]
) -> None:
    """However many requests each has in the line, and however large they are."""
    queue: FairQueue[Item] = FairQueue(tenant_tokens=10**9, all_tokens=10**9)

    def come(number: int) -> None:
        queue.add(waiting(str(number), weight=weights[number], tokens=sizes[number]))

    for number in range(len(weights)):
        for _ in range(greed[number]):
            come(number)
    served: Counter[int] = Counter()
    target = 200 * sum(weights) * max(sizes)
    while served.total() < target:
        number = int(serve_next(queue).tenant)
        served[number] += sizes[number]
        come(number)
    for number, weight in enumerate(weights):
        assert served[number] / served.total() == pytest.approx(weight / sum(weights), rel=0.1)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 1000), st.integers(1, 8)),
        min_size=1,
        max_size=200,
    )
)
@settings(deadline=None)
def test_everybody_is_served_and_nothing_is_left(arrivals: list[tuple[str, int, int]]) -> None:
    queue: FairQueue[Item] = FairQueue(tenant_tokens=10**9, all_tokens=10**9)
    for tenant, tokens, weight in arrivals:
        queue.add(waiting(tenant, tokens=tokens, weight=weight))
    assert len(queue) == len(arrivals)
    served = [serve_next(queue).tenant for _ in arrivals]
    assert Counter(served) == Counter(tenant for tenant, _, _ in arrivals)
    assert (len(queue), queue.tokens, bool(queue)) == (0, 0, False)
    assert not queue._ahead


@given(crowd=st.integers(1, 300), largest=st.integers(1, 100))
def test_who_comes_seldom_does_not_wait_for_a_crowd(crowd: int, largest: int) -> None:
    """One turn of each other tenant at most, whatever they have in the line."""
    queue: FairQueue[Item] = FairQueue()
    for number in range(crowd):
        queue.add(waiting("greedy", tokens=1 + number % largest))
    for _ in range(min(crowd - 1, 20)):
        serve_next(queue)
    queue.add(waiting("seldom", tokens=1000))
    assert "seldom" in [serve_next(queue).tenant for _ in range(min(2, len(queue)))]


def test_who_holds_the_fewest_slots_goes_first() -> None:
    queue: FairQueue[Item] = FairQueue()
    queue.add(waiting("many"), tokens_held=80)
    queue.add(waiting("few"), tokens_held=10)
    queue.add(waiting("none"))
    assert [serve_next(queue).tenant for _ in range(3)] == ["none", "few", "many"]


def test_leaving_the_line_and_coming_back_gains_nothing() -> None:
    queue: FairQueue[Item] = FairQueue()
    for _ in range(40):
        queue.add(waiting("patient"))
    turns: list[str] = []
    queue.add(waiting("hasty"))
    while len(turns) < 20:
        turns.append(serve_next(queue).tenant)
        if not queue.has("hasty"):
            queue.add(waiting("hasty"))
    assert Counter(turns)["hasty"] <= 11


def test_priority_decides_within_a_tenant_only() -> None:
    queue: FairQueue[Item] = FairQueue()
    for priority in ("low", "normal", "high"):
        queue.add(waiting("a", priority=priority, name=f"a {priority}"))
    queue.add(waiting("b", priority="low", name="b low"))
    queue.add(waiting("b", priority="low", name="b low again"))
    served = [serve_next(queue).item.name for _ in range(5)]
    assert [name for name in served if name[0] == "a"] == ["a high", "a normal", "a low"]
    assert [name[0] for name in served] == ["a", "b", "a", "b", "a"]


def test_who_leaves_is_gone_at_once() -> None:
    queue: FairQueue[Item] = FairQueue()
    first, second = waiting("a"), waiting("a")
    for each in (first, second):
        queue.add(each)
    assert queue.remove(first)
    assert not queue.remove(first)
    assert (len(queue), queue.tokens) == (1, 10)
    assert serve_next(queue) is second


def test_a_tenant_has_so_much_in_the_line_and_no_more() -> None:
    queue: FairQueue[Item] = FairQueue(tenant_tokens=25)
    queue.add(waiting("a"))
    queue.add(waiting("a"))
    with pytest.raises(LineFull) as full:
        queue.add(waiting("a"))
    assert full.value.is_tenants
    assert queue.tokens == 20


def test_a_full_line_makes_room_at_the_cost_of_who_has_most() -> None:
    queue: FairQueue[Item] = FairQueue(all_tokens=100)
    for number in range(9):
        queue.add(waiting("greedy", name=str(number)))
    queue.add(waiting("modest"))
    leaving = queue.add(waiting("another"))
    assert [each.item.name for each in leaving] == ["8"]
    with pytest.raises(LineFull) as full:
        queue.add(waiting("greedy"))
    assert not full.value.is_tenants


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 60), st.integers(1, 4), st.booleans()), max_size=300
    )
)
@settings(deadline=None)
def test_no_arrival_makes_the_line_larger_than_it_may_be(arrivals: list[tuple[str, int, int, bool]]) -> None:
    queue: FairQueue[Item] = FairQueue(tenant_tokens=200, all_tokens=300)
    inside: set[Waiting[Item]] = set()
    for tenant, tokens, weight, is_served in arrivals:
        new = waiting(tenant, tokens=tokens, weight=weight)
        try:
            leaving = queue.add(new)
        except LineFull:
            pass
        else:
            inside.add(new)
            inside -= set(leaving)
        if is_served and queue:
            inside.remove(serve_next(queue))
        assert queue.tokens == sum(each.tokens for each in inside) <= 300
        assert len(queue) == len(inside)
        assert len(queue._ahead) <= 4
