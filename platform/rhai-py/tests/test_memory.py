"""A failed allocation ends the process, so it must be out of reach: scripts run where little more memory can be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEADROOM_MIB = 64
CODE = """
import resource, sys
import rhai_py, hostility

engine = rhai_py.Engine(limits=rhai_py.Limits(**{limits}))
workers = rhai_py.Workers([rhai_py.Record("worker", {{"a": n, "load": n % 7}}) for n in range(1000)])
task = rhai_py.Record("task", {{"a": 1}})
lines = open("/proc/self/status").read().splitlines()
held = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmSize:"))
resource.setrlimit(resource.RLIMIT_AS, (held + ({headroom} << 20), resource.RLIM_INFINITY))
for number in range({count}):
    name, source = hostility.script(3, number)
    if name not in {classes}:
        continue
    sys.stderr.write(f"{{number}}\\n")
    try:
        engine.compile(source).call("f", task, workers, timeout_ms=2000, cpu_ms={cpu_ms})
    except rhai_py.RhaiError:
        pass
"""
GROWING = ["string growth", "array, map and blob growth", "closures that keep closures", "deep values", "random mixes",
           "hostile use of our own functions", "throw storms"]  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")


def run(count: int, limits: dict[str, int], cpu_ms: int) -> subprocess.CompletedProcess[str]:
    code = CODE.format(headroom=HEADROOM_MIB, count=count, limits=limits, cpu_ms=cpu_ms, classes=GROWING)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=170
    )  # fmt: skip


def test_no_script_fills_what_memory_there_is() -> None:
    """On failure the last line of stderr is the number of the script to blame."""
    process = run(800, {}, cpu_ms=20)
    assert process.returncode == 0, process.stderr.splitlines()[-1]
    assert len(process.stderr.split()) > 300


def test_without_limits_one_does() -> None:
    limits = {
        "operations": 10**9,
        "memory_bytes": 2**32,
        "string_bytes": 2**24,
        "array_items": 4096,
        "map_items": 4096,
    }
    process = run(400, limits, cpu_ms=300)
    assert process.returncode < 0
    assert "memory allocation of" in process.stderr
