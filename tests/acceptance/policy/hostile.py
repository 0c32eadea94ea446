"""Runs generated hostile scripts in this process, which may be lost, and writes what each cost as a line of JSON.

`python -m tests.acceptance.policy.hostile SEED COUNT [BUG]`. The number of a script goes to stderr before it runs, so that
a crash has a name. A second thread calls a well-behaved script all the while. BUG plants one, to show that it is found.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import rhai_py

from rbee_policy import asking, language, world
from rbee_policy.functions import FUNCTIONS, Facts, answer_from

sys.path.insert(0, str(Path(__file__).parents[3] / "platform" / "rhai-py" / "tests"))

import hostility
import test_generated  # noqa: F401 - else it is loaded while memory is measured

WORKERS = 1000
HIVES = 20
NORMAL = """fn route_task(task, workers) {
    workers.filter(|w| w.model == "rbee-mini" && w.load < 0.5).least_loaded()
}"""
LIMITS_OFF = rhai_py.Limits(
    operations=10**9, memory_bytes=2**32, string_bytes=2**24, array_items=4096, map_items=4096, call_levels=64
)
CRASH_AT, HOG_AT = 11, 12
QUICK = {"endless loops", "string growth"}  # enough to see that there are no limits
PATIENCE_MS = 300.0


def host_functions(pick: random.Random) -> str:
    """rbee's own functions, which are Python's, with arguments from the edges of every type."""
    edges = [*hostility.EDGES, "w[0].id", "w[999].hive", "t.customer_id"]
    calls = " ".join(
        f"try {{ {pick.choice(list(FUNCTIONS))}({pick.choice(edges)}); }} catch {{}}"
        for _ in range(pick.randint(1, 8))
    )
    loop = pick.choice(["loop {", "w.filter(|x| {", "w.sort_by(|x| {", "for i in 0..1000000000 {"])
    closing = "})" if "|x|" in loop else "}"
    return hostility.body(f"{hostility.PRELUDE} {loop} {calls} {closing}")


MORE = {"functions of the host": host_functions}


class Bench:
    """The engine of the queen, records as it makes them, and a well-behaved script to compare by."""

    def __init__(self, bug: str) -> None:
        self.bug = bug
        self.engine, self.timeouts = language.engine, (asking.CALL_TIMEOUT_MS, asking.CALL_CPU_MS)
        if bug == "no limits":
            self.engine = rhai_py.Engine(limits=LIMITS_OFF, functions=FUNCTIONS, variables=(language.HIVES,))
            self.timeouts = (PATIENCE_MS, PATIENCE_MS)
        self.task = rhai_py.Record("task", {**world.defaults("task"), "a": 1, "tags": ["a"]})
        self.customer = rhai_py.Record("customer", world.defaults("customer"))
        self.records = [rhai_py.Record("worker", worker_fields(number)) for number in range(WORKERS)]
        self.workers = rhai_py.Workers(self.records)
        hives = [
            {**world.defaults("hive"), "id": f"hive-{number}", "load": number} for number in range(HIVES)
        ]
        self.hives = rhai_py.Workers([rhai_py.Record("hive", fields) for fields in hives])
        self.normal = language.compile_policy(NORMAL)
        self.few = rhai_py.Workers(self.records[:100])

    def run(self, number: int, source: str) -> dict[str, object]:
        """CPU of this thread, wall clock, the peak of the process's memory above what it held."""
        forget_peak()
        held, cpu, wall = memory_kib("VmRSS"), time.thread_time(), time.perf_counter()
        kind, script = "ok", None
        try:
            script = self.engine.compile(source)
            self.call(number, script)
        except rhai_py.RhaiError as error:
            kind = error.kind
        cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
        lint = time.thread_time()
        if script is not None:
            language._unknown_names(script)
            script.lint({"f": ("task", "workers")}, language._KINDS, language.LISTS)
        return {
            "kind": kind,
            "cpu_ms": cpu * 1e3,
            "wall_ms": wall * 1e3,
            "lint_ms": (time.thread_time() - lint) * 1e3,
            "grown_kib": memory_kib("VmHWM") - held,
            "held_kib": held,
        }

    def call(self, number: int, script: rhai_py.Script) -> None:
        if self.bug == "a crash" and number >= CRASH_AT:
            os.abort()
        if self.bug == "a hog" and number >= HOG_AT:
            sys.setswitchinterval(10)
            sum(range(2_000_000))  # holds the lock of Python's from end to end
            return
        answer_from(Facts(customer=self.customer), self.records)
        timeout_ms, cpu_ms = self.timeouts
        variables: dict[str, object] = {language.HIVES: self.hives}
        script.call("f", self.task, self.workers, variables=variables, timeout_ms=timeout_ms, cpu_ms=cpu_ms)

    def call_normal(self) -> None:
        self.normal.call("route_task", self.task, self.few, timeout_ms=10_000)

    def normal_us(self, calls: int = 5) -> float:
        """CPU of a call of the well-behaved script."""
        times = []
        for _ in range(calls):
            started = time.thread_time()
            self.call_normal()
            times.append((time.thread_time() - started) * 1e6)
        return statistics.median(times)


class Others:
    """A thread of somebody else's calls."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.calls = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._bench.call_normal()
            self.calls += 1
            time.sleep(0.0005)


def worker_fields(number: int) -> dict[str, object]:
    return {
        **world.defaults("worker"),
        "id": f"w-{number}",
        "hive": f"hive-{number % HIVES}",
        "gpu_index": number % 8,
        "load": number * 7919 % 1000 / 1000,
        "in_flight": number % 3,
        "a": number,
        "online": True,
        "available": number % 2 == 0,
    }


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def results(seed: int, count: int, bug: str) -> Iterator[dict[str, object]]:
    bench = Bench(bug)
    for _ in range(40):
        bench.normal_us()  # warm
    before = statistics.median(bench.normal_us() for _ in range(200))
    others = Others(bench)
    for number in range(count):
        sys.stderr.write(f"{number}\n")
        sys.stderr.flush()
        name, source = hostility.script(seed, number, MORE)
        if bug == "no limits" and name not in QUICK:
            continue
        calls = others.calls
        ran = bench.run(number, source)
        ran["others"] = others.calls - calls
        yield {"number": number, "class": name, "before_us": before} | ran | {"normal_us": bench.normal_us()}


if __name__ == "__main__":
    for result in results(int(sys.argv[1]), int(sys.argv[2]), " ".join(sys.argv[3:])):
        print(json.dumps(result), flush=True)
