"""Methods of `workers` that go by what a record is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rhai_py import Engine, Record, RhaiRuntimeError, Workers, none

Run = Callable[..., Any]
STICKY = Engine().compile("fn f(workers, key) { workers.sticky(key) }")


def fleet(count: int) -> list[Record]:
    return [Record("worker", {"id": f"w-{n}", "load": n}) for n in range(count)]


def test_sticky_key_stays_at_its_worker() -> None:
    records = fleet(10)
    for key in ("", "customer-7", "日本語", 7, -(2**63)):
        chosen = STICKY.call("f", Workers(records), key)
        for _ in range(5):
            shuffled = random.Random(1).sample(records, len(records))
            assert STICKY.call("f", Workers(shuffled), key) is chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.data())
def test_only_keys_of_a_removed_worker_move(count: int, data: st.DataObject) -> None:
    records = fleet(count)
    gone = data.draw(st.sampled_from(records))
    rest = [record for record in records if record is not gone]
    for key in range(50):
        before = STICKY.call("f", Workers(records), f"key-{key}")
        after = STICKY.call("f", Workers(rest), f"key-{key}")
        assert after is before or before is gone


def test_sticky_shares_keys_out_evenly() -> None:
    records = fleet(10)
    workers = Workers(records)
    shares = Counter(STICKY.call("f", workers, f"key-{n}").get("id") for n in range(5000))  # type: ignore[attr-defined]
    assert len(shares) == 10
    assert all(400 < share < 600 for share in shares.values())


def test_sticky_never_changes() -> None:
    """A promise: another answer empties every cache that a key found at its worker."""
    workers = Workers(fleet(100))
    chosen = [STICKY.call("f", workers, key).get("id") for key in ("a", "b", "customer-7", 7)]  # type: ignore[attr-defined]
    assert chosen == ["w-94", "w-46", "w-41", "w-95"]


def test_sticky_reads_numbers_as_their_digits(run: Run) -> None:
    numbered = [Record("worker", {"id": n}) for n in range(9)]
    assert run("a.sticky(5)", Workers(numbered)) is run('a.sticky("5")', Workers(numbered))


def test_sticky_of_nothing_is_none(run: Run) -> None:
    assert run('a.sticky("x")', Workers([])) is none


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ids": "x"}, "worker has no field 'id'"),
        ({"id": 1.5}, "worker field 'id' must be a string or an integer, not float"),
    ],
)
def test_sticky_needs_an_id(run: Run, fields: dict[str, object], message: str) -> None:
    with pytest.raises(RhaiRuntimeError) as caught:
        run('a.sticky("x")', Workers([Record("worker", fields)]))
    assert caught.value.message == message


def test_get_goes_by_id_then_by_name_or_hive(run: Run) -> None:
    records = [
        Record("worker", {"id": "a", "name": "b"}),
        Record("worker", {"id": "b", "name": "x"}),
        Record("worker", {"name": "c", "hive": "d"}),
        Record("worker", {"hive": "e"}),
    ]
    found = run('["a", "b", "c", "d", "e", "x", "f"].map(|n| a.get(n))', Workers(records))
    assert found == [*records[:3], records[2], records[3], none, none]


def test_online_and_available_read_their_field(run: Run) -> None:
    records = [
        Record("worker", {"online": True, "available": False}),
        Record("worker", {"online": False, "available": True}),
        Record("worker", {"online": True, "available": True}),
    ]
    assert run("a.online()", Workers(records)).to_list() == [records[0], records[2]]
    assert run("a.available()", Workers(records)).to_list() == records[1:]
    assert run("a.online().available()", Workers(records)).to_list() == [records[2]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"onlin": True}, "worker has no field 'online'; did you mean 'onlin'?"),
        ({"online": 1}, "worker field 'online' must be true or false, not integer"),
    ],
)
def test_flag_must_be_one(run: Run, fields: dict[str, object], message: str) -> None:
    with pytest.raises(RhaiRuntimeError) as caught:
        run("a.online()", Workers([Record("worker", fields)]))
    assert caught.value.message == message


def test_exclude_leaves_the_others(run: Run) -> None:
    records = fleet(3)
    assert run("a.exclude(a[1])", Workers(records)).to_list() == [records[0], records[2]]
    assert run("a.exclude(none)", Workers(records)).to_list() == records
    assert run("a.exclude(b)", Workers(records), Record("worker", {"id": "w-0"})).to_list() == records


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-9, 9), st.floats(-9, 9)), max_size=30))
@example([0, -0.0])  # equal, so the first comes first
def test_sort_by_is_that_of_python(loads: list[float]) -> None:
    records = [Record("worker", {"load": load}) for load in loads]
    script = Engine().compile(
        "fn f(w) { [w.sort_by(|w| w.load), w.sort_by(`load`), w.sort_by(|w| -w.load).first()] }"
    )
    by_closure, by_field, last = script.call("f", Workers(records))  # type: ignore[misc]
    expected = sorted(records, key=lambda record: record.get("load"))  # type: ignore[arg-type, return-value]
    assert by_closure.to_list() == by_field.to_list() == expected
    assert last is none or last.get("load") == max(loads)


def test_sort_by_names_what_it_cannot_order(run: Run) -> None:
    for key, message in (
        ("|w| w", "sort_by orders by numbers or strings, not record"),
        ('"lod"', "worker has no field 'lod'; did you mean 'load'?"),
    ):
        with pytest.raises(RhaiRuntimeError) as caught:
            run(f"a.sort_by({key})", Workers(fleet(2)))
        assert caught.value.message == message
