"""What both entry points cost together, the operator's and the tenant's way of asking included.

CPU of this thread, so that a machine that is busy with others changes little; in the sample of `make test` the bound is
several times the figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import rhai_py

from rbee_policy import world
from rbee_policy.asking import ask_admission, ask_routing
from rbee_policy.language import compile_policy
from tests.acceptance.figures import SCALE, note, scaled

CALLS = 3000
PATIENCE = 1 if SCALE >= 1 else 5
ALLOWED_US = {100: 300, 1000: 3000}

SOURCE = """
fn should_admit(task, customer) {
    if customer.tier == "free" && customer.tokens_used_today > customer.daily_limit { return reject("Quota exceeded"); }
    if task.max_tokens > 8192 { return reject("too long", "invalid_value"); }
    admit()
}

fn route_task(task, workers) {
    match task.customer_tier {
        "free" => workers.filter(|w| w.gpu_type != "H100").least_loaded(),
        _ => workers.filter(|w| w.model == task.model && w.region_is_eu && w.load < 0.9).least_loaded(),
    }
}
"""


@dataclass(frozen=True)
class Worker:
    record: rhai_py.Record


def worker(number: int) -> Worker:
    fields = world.defaults("worker")
    fields |= {
        "id": f"w-{number}",
        "hive": f"hive-{number // 8}",
        "gpu_index": number % 8,
        "load": number * 7919 % 1000 / 1000,
    }
    return Worker(rhai_py.Record("worker", fields))


@dataclass
class Desk:
    """One policy and the colony it decides for."""

    workers: list[Worker]
    script: rhai_py.Script
    task: rhai_py.Record
    customer: rhai_py.Record

    @classmethod
    def of(cls, count: int, source: str = SOURCE) -> Desk:
        records = (rhai_py.Record(kind, world.defaults(kind)) for kind in ("task", "customer"))
        return cls([worker(number) for number in range(count)], compile_policy(source), *records)

    def decide(self, turn: int) -> Worker:
        assert ask_admission(self.script, self.task, self.customer) is None
        answer = ask_routing(self.script, self.task, self.workers, turn=turn)
        assert isinstance(answer, list | tuple)
        assert len(answer) == 1
        return answer[0]


def cpu_us(call: Callable[[int], object], calls: int) -> list[float]:
    """Of each call, sorted; the process is warm."""
    for turn in range(calls // 10):
        call(turn)
    times = []
    for turn in range(calls):
        started = time.thread_time()
        call(turn)
        times.append((time.thread_time() - started) * 1e6)
    return sorted(times)


def p99(times: list[float]) -> float:
    return times[len(times) * 99 // 100]


@pytest.mark.parametrize("count", ALLOWED_US)
def test_both_entry_points_together(count: int) -> None:
    times = cpu_us(Desk.of(count).decide, scaled(CALLS, least=300))
    median = times[len(times) // 2]
    note(f"CPU of both entry points, {count:,} workers", f"p50 {median:.0f} µs, p99 {p99(times):.0f} µs")
    assert median <= ALLOWED_US[count] * PATIENCE
    assert p99(times) <= ALLOWED_US[count] * PATIENCE
