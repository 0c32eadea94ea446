"""Buckets of any width, from any time: each is in one place, and together they are the whole."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.usage_report import Span

TIMES = st.integers(0, 2**32)
WIDTHS = st.sampled_from([60, 3600, 86_400])


@given(start_s=TIMES, length_s=st.integers(1, 40 * 86_400), width_s=WIDTHS, count=st.integers(1, 200))
def test_pages_of_buckets_cover_a_span_without_gap_or_overlap(
    start_s: int, length_s: int, width_s: int, count: int
) -> None:
    whole = Span(start_s, start_s + length_s, width_s)
    page = whole.first(count)
    buckets = list(page.buckets())

    assert len(buckets) <= count
    assert (buckets[0][0], buckets[-1][1]) == (start_s, page.end_s)
    assert page.end_s == whole.end_s or (page.end_s % width_s == 0 and len(buckets) == count)
    for (_, end_s), (next_s, _) in pairwise(buckets):
        assert end_s == next_s
        assert end_s % width_s == 0
    assert all(0 < end_s - begin_s <= width_s for begin_s, end_s in buckets)


@given(start_s=TIMES, width_s=WIDTHS)
def test_nothing_is_made_of_an_empty_span(start_s: int, width_s: int) -> None:
    assert list(Span(start_s, start_s, width_s).buckets()) == []
