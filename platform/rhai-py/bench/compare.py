"""The same scripts called from Python through rhai-py, and from Rust by Rhai directly: `python bench/compare.py`.

The direct side is built by cargo on the first run. Its engine has no limits; it copies its workers for each call, because
the engine takes what it is called with.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from rhai_py import Engine, Limits, Record, Workers

HERE = Path(__file__).parent
CRATE = HERE / "direct"
PROGRAM = CRATE / "target" / "release" / "direct"
FLEETS = [100, 1000]
CALLS = {100: 2000, 1000: 300}


def main() -> None:
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", str(CRATE / "Cargo.toml")],
        check=True,
        env={**os.environ, "CARGO_TARGET_DIR": str(CRATE / "target")},
    )
    print(f"{'':28} {'rhai-py':>17} {'directly':>17}")
    print(f"{'CPU µs of a call':28} {'p50':>8} {'p99':>8} {'p50':>8} {'p99':>8} {'ratio':>8}")
    for script in sorted((HERE / "scripts").glob("*.rhai")):
        for count in FLEETS:
            ours, direct = through_python(script, count), from_rust(script, count)
            row = [
                *middle_and_tail(ours),
                *middle_and_tail(direct),
                ours[len(ours) // 2] / direct[len(direct) // 2],
            ]
            name = f"{script.stem}, {count:,} workers"
            print(f"{name:28} " + " ".join(f"{value:8.1f}" for value in row[:4]) + f" {row[4]:8.2f}")


def through_python(script: Path, count: int) -> list[float]:
    compiled = Engine(limits=Limits(operations=10**6)).compile(script.read_text())
    task = Record("task", {"model": "llama-3-70b", "priority": 3})
    workers = Workers([worker(number) for number in range(count)])
    times = []
    for number in range(CALLS[count] * 11 // 10):
        started = time.thread_time()
        compiled.call("route_task", task, workers, timeout_ms=5000)
        if number >= CALLS[count] // 10:
            times.append((time.thread_time() - started) * 1e6)
    return sorted(times)


def from_rust(script: Path, count: int) -> list[float]:
    command = [str(PROGRAM), str(script), "route_task", str(count), str(CALLS[count])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(line) for line in output.split()]


def worker(number: int) -> Record:
    return Record(
        "worker",
        {
            "id": f"w-{number}", "gpu_type": "A100" if number % 2 else "H100", "model": "llama-3-70b", "region": "EU", "tier": "pro",
            "load": number * 7919 % 1000 / 1000, "in_flight": number % 3, "vram_free_mb": 1000 * number,
        },
    )  # fmt: skip


def middle_and_tail(times: list[float]) -> tuple[float, float]:
    return times[len(times) // 2], times[len(times) * 99 // 100]


if __name__ == "__main__":
    main()
