"""Microseconds per call, measured from Python. Run it on a quiet machine: `python bench/calls.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from rhai_py import Engine, Limits, Record, Workers, freeze

POLICIES = Path(__file__).parent.parent / "tests" / "policies"
ROUTE = 'fn route_task(task, workers) { return workers.filter(|w| w.gpu_type == "A100").least_loaded(); }'
CAPTURE = "fn route_task(task, workers) { workers.filter(|w| w.model == task.model).least_loaded() }"


def main() -> None:
    engine = Engine()
    task = Record("task", {"type": "text-gen", "model": "llama-3-70b", "customer_tier": "free"})
    customer = Record("customer", {"tokens_used_today": 10, "daily_limit": 1000, "tier": "free"})
    route, capture = engine.compile(ROUTE), engine.compile(CAPTURE)
    business = engine.compile((POLICIES / "business.rhai").read_text())
    quota = engine.compile((POLICIES / "quota.rhai").read_text())
    hundred, thousand = fleet(100), fleet(1000)
    few, many = Workers(hundred), Workers(thousand)
    facts = {"prices": {f"model-{n}": n / 7 for n in range(50)}}
    frozen = freeze(facts)
    read = engine.compile("fn f(facts) { facts.prices.len() }")

    print(f"{'':52} {'p50':>8} {'p99':>8}  µs")
    report(
        "filter and least_loaded, 100 workers", lambda: route.call("route_task", task, few, timeout_ms=5000)
    )
    report(
        "filter and least_loaded, 1,000 workers",
        lambda: route.call("route_task", task, many, timeout_ms=5000),
    )
    report(
        "the same with a captured variable, 100 workers",
        lambda: capture.call("route_task", task, few, timeout_ms=5000),
    )
    report(
        "policies/business.rhai, 100 workers", lambda: business.call("route_task", task, few, timeout_ms=5000)
    )
    report("policies/quota.rhai", lambda: quota.call("should_admit", task, customer, timeout_ms=5000))
    report("an empty function", engine_call(engine))
    report("an empty function on a thread with a small stack", engine_call(engine), stack_bytes=256 * 1024)
    report("Workers of 1,000 records", lambda: Workers(thousand))
    report("Record.update of one field", lambda: hundred[0].update(load=0.5))
    report("a record of 14 fields", lambda: Record("worker", fields(1)))
    report("a dict of 50 prices, passed as it is", lambda: read.call("f", facts, timeout_ms=5000))
    report("a dict of 50 prices, frozen", lambda: read.call("f", frozen, timeout_ms=5000))
    report("compile policies/business.rhai", lambda: engine.compile(business.source), calls=300)
    loop = Engine(limits=Limits(operations=10**9)).compile(
        "fn f() { let n = 0; while n < 10000 { n += 1; } n }"
    )
    report("10,000 rounds of a while loop", lambda: loop.call("f", timeout_ms=5000), calls=100)


def fields(n: int) -> dict[str, object]:
    return {
        "hive": f"hive-{n}", "gpu_type": "A100" if n % 2 else "H100", "gpu_index": n % 8, "capability": "text-gen",
        "region": "EU", "geo": {"region": "EU", "latitude": 52.4, "longitude": 4.9}, "model": "llama-3-70b", "load": n / 1000,
        "in_flight": n % 3, "queue_depth": 0, "vram_free_mb": 1000 * n, "status": "ready", "tier": "pro", "ttft_ms": 12.5,
    }  # fmt: skip


def fleet(size: int) -> list[Record]:
    return [Record("worker", fields(n)) for n in range(size)]


def engine_call(engine: Engine) -> Callable[[], object]:
    script = engine.compile("fn f() { 1 }")
    return lambda: script.call("f", timeout_ms=5000)


def report(name: str, call: Callable[[], object], *, calls: int = 2000, stack_bytes: int = 0) -> None:
    times: list[float] = []

    def measure() -> None:
        for _ in range(calls // 10):
            call()
        for _ in range(calls):
            started = time.perf_counter()
            call()
            times.append((time.perf_counter() - started) * 1e6)

    if stack_bytes:
        before = threading.stack_size(stack_bytes)
        thread = threading.Thread(target=measure)
        thread.start()
        thread.join()
        threading.stack_size(before)
    else:
        measure()
    times.sort()
    print(f"{name:52} {times[len(times) // 2]:8.1f} {times[len(times) * 99 // 100]:8.1f}")


if __name__ == "__main__":
    main()
