"""`bucket` and `distance`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhai_py import Engine, RhaiRuntimeError

Run = Callable[..., Any]
BUCKET = Engine().compile("fn f(text, n) { bucket(text, n) }")


def stable_hash(*parts: bytes) -> int:
    """What README documents: FNV-1a with 64 bits, then the finalizer of MurmurHash3."""
    mask, state = 2**64 - 1, 0xCBF29CE484222325
    for byte in b"".join(parts):
        state = ((state ^ byte) * 0x100000001B3) & mask
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        state = ((state ^ (state >> 33)) * factor) & mask
    return state ^ (state >> 33)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.integers(1, 2**62))
def test_bucket_is_the_documented_hash(text: str, count: int) -> None:
    assert BUCKET.call("f", text, count) == stable_hash(text.encode()) % count


@pytest.mark.parametrize(("text", "bucket"), [("", 42), ("task-1", 47), ("日本語", 80), ("x" * 1000, 94)])
def test_bucket_never_changes(text: str, bucket: int) -> None:
    """These figures are a promise: another value moves every canary."""
    assert BUCKET.call("f", text, 100) == bucket


def test_canary_gets_its_share(run: Run) -> None:
    hits = sum(BUCKET.call("f", f"task-{n}", 100) < 5 for n in range(20_000))  # type: ignore[operator]
    assert 850 < hits < 1150


@pytest.mark.parametrize("count", [0, -1, -(2**63)])
def test_bucket_needs_a_bucket(run: Run, count: int) -> None:
    with pytest.raises(RhaiRuntimeError, match=f"bucket needs 1 or more buckets, not {count}"):
        run("bucket(a, b)", "x", count)


@pytest.mark.parametrize(
    ("places", "km"),
    [
        ((52.37, 4.90, 52.52, 13.40), 577),  # Amsterdam, Berlin
        ((40.71, -74.01, 35.68, 139.69), 10_850),  # New York, Tokyo
        ((0, 0, 0, 180), 20_015),
        ((90, 0, -90, 77), 20_015),
        ((0, 179.5, 0, -179.5), 111),
        ((48, 11, 48, 11), 0),
    ],
)
def test_distance_is_that_of_the_globe(run: Run, places: tuple[float, ...], km: int) -> None:
    assert run("distance(a, b, c, d)", *places) == pytest.approx(km, rel=0.005, abs=0.5)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats(-90, 90), st.floats(-180, 180)] * 2))
def test_distance_is_the_same_both_ways(places: tuple[float, ...]) -> None:
    script = Engine().compile("fn f(a, b, c, d) { [distance(a, b, c, d), distance(c, d, a, b)] }")
    there, back = script.call("f", *places)  # type: ignore[misc]
    assert there == pytest.approx(back)
    assert 0 <= there <= 20_016


def test_distance_takes_numbers(run: Run) -> None:
    with pytest.raises(RhaiRuntimeError, match="distance takes four numbers, not string"):
        run("distance(1, 2, a, 4)", "x")
