"""What is written of a decision gives back what was seen."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdpr.ids import uuid7
from inference.domain import decision_rows
from inference.domain.decision_reader import Seen, attempts_of
from inference.domain.decision_rows import COLUMNS, DRIFTING, DecisionRows
from inference.domain.places import pack, unpack
from inference.domain.trace import Attempt, Trace
from inference.enums import DecisionOutcome, LeftBecause
from inference.models import Decision
from rbee_policy.world import WORKER, defaults
from tests.inference.domain.scripts import TENANT, customer, task

OTHER = "another model"
HOST = [LeftBecause.FULL, LeftBecause.REGION, LeftBecause.DEDICATED_TO, LeftBecause.TRIED]


class Kept:
    def __init__(self, worker_id: str) -> None:
        self.id = worker_id


def worker(worker_id: str, **fields: Any) -> dict[str, Any]:
    return {**defaults("worker"), "id": worker_id, "model": "m", **fields}


def trace(*attempts: Attempt) -> Trace:
    found = Trace(uuid7().hex, "req_1", None)  # type: ignore[arg-type]
    found.record, found.customer = task(), customer()
    found.attempts = list(attempts)
    return found


class Caller:
    tenant_id = TENANT


def written(rows: DecisionRows, traces: list[Trace], colony: list[dict[str, Any]]) -> list[list[Seen]]:
    """Read back, from what PostgreSQL would be given."""
    for each in traces:
        each.caller = Caller()  # type: ignore[assignment]
        each.outcome = DecisionOutcome.ROUTED
    made, decisions = rows.rows(traces, colony)
    known: dict[UUID, Any] = {snapshot[0]: json.loads(snapshot[2]) for snapshot in made}
    found = []
    for values in decisions:
        row = dict(zip(COLUMNS, values, strict=True))
        decision = Decision(**{**row, "tenant_id": row["tenant_id"]} | {
            name: json.loads(row[name]) for name in ("task", "customer", "attempts")
        })  # fmt: skip
        found.append(attempts_of(decision, known[row["snapshot_id"]]))
    return found


@st.composite
def colonies(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[Attempt], list[dict[str, Any]]]:
    """Workers as an earlier decision, this one, and the writer saw them."""
    ids = [f"w{number}" for number in range(draw(st.integers(1, 8)))]

    def look() -> list[dict[str, Any]]:
        return [
            worker(each, in_flight=draw(st.integers(0, 3)), vram_free_mb=draw(st.integers(0, 2)),
                   uptime_s=draw(st.integers(0, 2)))
            for each in ids
        ]  # fmt: skip

    before, seen, colony = look(), draw(st.permutations(look())), look()
    colony = [each for each in colony if draw(st.booleans())] + [worker("x", model=OTHER)]
    split = draw(st.integers(0, len(seen)))
    attempt = Attempt(seen[:split], [(each, draw(st.sampled_from(HOST))) for each in seen[split:]])
    left = [each["id"] for each in seen[:split]]
    for script in (LeftBecause.OPERATOR_SCRIPT, LeftBecause.TENANT_SCRIPT):
        left = [each for each in left if draw(st.booleans())]
        twice = draw(st.integers(1, 2))  # scripts may name a worker more than once
        attempt.kept.append((script, [Kept(each) for each in left] * twice))
    attempt.chosen = draw(st.sampled_from(left)) if left else ""
    return before, [attempt], colony


@given(colonies())
def test_what_is_read_is_what_was_seen(
    drawn: tuple[list[dict[str, Any]], list[Attempt], list[dict[str, Any]]],
) -> None:
    before, (attempt,), colony = drawn
    rows = DecisionRows()
    earlier = Attempt(before)

    _, (seen,) = written(rows, [trace(earlier), trace(attempt)], colony)

    assert list(seen.offered) == [fields["id"] for fields in attempt.offered]
    for fields in (*attempt.offered, *(fields for fields, _ in attempt.gone)):
        read = seen.workers[fields["id"]]
        assert {name: read[name] for name in fields if name not in DRIFTING} == {
            name: fields[name] for name in fields if name not in DRIFTING
        }
    assert seen.chosen == attempt.chosen
    expected: dict[str, LeftBecause] = {fields["id"]: reason for fields, reason in attempt.gone}
    left = [fields["id"] for fields in attempt.offered]
    for script, kept in attempt.kept:
        ids = {each.id for each in kept}
        expected |= {each: script for each in left if each not in ids}
        left = [each for each in left if each in ids]
    if attempt.chosen:
        expected |= {each: LeftBecause.NOT_LEAST_LOADED for each in left if each != attempt.chosen}
    assert {each: reason for each, reason in seen.gone.items() if each != "x"} == expected
    assert seen.gone.get("x", LeftBecause.MODEL) == LeftBecause.MODEL


def test_snapshot_is_shared_until_it_is_worn(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = DecisionRows()
    colony = [worker("w1"), worker("w2")]

    def snapshots(seen: list[dict[str, Any]], now: list[dict[str, Any]]) -> int:
        found = trace(Attempt(seen))
        found.caller = Caller()  # type: ignore[assignment]
        return len(rows.rows([found], now)[0])

    assert snapshots(colony, colony) == 1
    assert [snapshots(colony, colony) for _ in range(3)] == [0, 0, 0]
    assert snapshots([worker("w1", in_flight=2)], colony) == 0
    assert snapshots([worker("w3")], colony) == 1  # who came
    monkeypatch.setattr(decision_rows, "SNAPSHOT_MAX_S", -1.0)
    assert snapshots([], [worker("w1"), worker("w2")]) == 1  # old, and facts changed
    monkeypatch.undo()
    far = [
        worker(each, **dict.fromkeys(WORKER.keys() - {"id", "model"} - DRIFTING, 7)) for each in ("w1", "w2")
    ]
    spent = [snapshots([dict(each) for each in far], colony) for _ in range(4)]
    assert 0 < sum(spent) < 4  # when differences cost more than another snapshot


@given(st.lists(st.integers(0, 2000), unique=True))
def test_places_come_back_in_their_order(places: list[int]) -> None:
    assert unpack(pack(places)) == places


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_neighbours_are_brief(first: int, count: int) -> None:
    assert len(pack(range(first, first + count))) <= 9
