from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import rhai_py
from rhai_py import Engine, Limits, Record, RhaiTimeoutError, Workers


def test_gil_is_released_while_a_script_runs() -> None:
    script = Engine(limits=Limits(operations=1_000_000_000)).compile("fn f() { loop {} }")
    counted = 0

    def endless() -> None:
        try:
            script.call("f", timeout_ms=300)
        except RhaiTimeoutError:
            pass

    thread = threading.Thread(target=endless)
    thread.start()
    started = time.perf_counter()
    while thread.is_alive():
        time.sleep(0.001)
        counted += 1
    assert time.perf_counter() - started >= 0.25
    assert counted > 20


def test_one_script_serves_many_threads() -> None:
    engine = Engine(functions={"twice": lambda x: 2 * x})
    script = engine.compile("fn f(n, w) { let l = w.filter(|x| x.n >= n); [l.len(), twice(n), l.first()] }")
    fleet = [Record("worker", {"n": n}) for n in range(50)]
    workers = Workers(fleet)

    def call(n: int) -> list[object]:
        return script.call("f", n % 50, workers, timeout_ms=10_000)  # type: ignore[return-value]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(call, range(800)))
    assert results == [[50 - n % 50, 2 * (n % 50), fleet[n % 50]] for n in range(800)]


def test_readers_see_an_update_whole() -> None:
    """Both fields change in one update; no call may see one of them changed."""
    script = Engine().compile("fn f(r) { [r.low, r.high] }")
    record = Record("worker", {"low": 0, "high": 0})
    done = threading.Event()

    def write() -> None:
        for n in range(2000):
            record.update(low=n, high=n)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    torn = []
    while not done.is_set():
        low, high = script.call("f", record, timeout_ms=10_000)  # type: ignore[misc]
        if low != high:
            torn.append((low, high))
    writer.join()
    assert torn == []


def test_errors_of_threads_do_not_mix() -> None:
    engine = Engine()
    scripts = {kind: engine.compile(f"fn f(x) {{ {body} }}") for kind, body in {
        "limit": "loop {}", "missing_field": "x.nope", "missing_function": "nope()", "runtime": "throw 1"}.items()}  # fmt: skip
    record = Record("task", {"x": 1})

    def call(kind: str) -> str:
        try:
            scripts[kind].call("f", record, timeout_ms=10_000)
        except rhai_py.RhaiError as error:
            return error.kind
        return "no error"

    kinds = list(scripts) * 40
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, kinds)) == kinds
