"""Ten thousand scripts that mean harm: each ends in less than 50 ms and 64 MiB, and the process goes on as before.

They run in the engine of the queen, past the checks at save time that most of them would not pass. The checks here are
shown to find an engine without limits, a script that takes the process along, and one that keeps others waiting.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.figures import SEED, note, scaled

ROOT = Path(__file__).parents[3]
SCRIPTS = 10_000
MOST_CPU_MS = 50
MOST_KIB = 64 * 1024
MOST_KEPT_KIB = 16 * 1024
LONG_MS = 5
OTHERS_EVERY_MS = 10  # ten times what a call of theirs and the pause after it take
ALLOWED_SLOWDOWN = 2.0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are Linux's"
)

Result = dict[str, Any]


@pytest.mark.timeout(1800)
def test_hostile_scripts_end_and_hurt_nobody() -> None:
    count = scaled(SCRIPTS, least=200)
    found, results = run(count)
    tell(results)
    assert found == []
    assert len(results) == count


@pytest.mark.parametrize(
    ("bug", "count", "finds"),
    [
        ("no limits", 260, {"too much CPU", "too much memory"}),
        ("a crash", 50, {"the process died"}),
        ("a hog", 100, {"others had to wait"}),
    ],
)
def test_the_checks_find_a_planted_bug(bug: str, count: int, finds: set[str]) -> None:
    found, _ = run(count, bug)
    assert finds <= {name.partition(" at script")[0] for name in found}


def run(count: int, bug: str = "") -> tuple[list[str], list[Result]]:
    """What is wrong, and the results of all scripts that ran."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.policy.hostile", str(SEED), str(count), *bug.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1700,
    )
    results = [json.loads(line) for line in process.stdout.splitlines()]
    found = wrong(results)
    if process.returncode != 0:
        found.append(f"the process died at script {process.stderr.split()[-1]}")
    return found, results


def wrong(results: list[Result]) -> list[str]:
    """Each kind of wrong once, whatever the number of scripts that show it."""
    long = [result for result in results if result["wall_ms"] >= LONG_MS]
    waited = [result for result in long if not went_on(result)]
    normal = statistics.median(result["normal_us"] for result in results)
    checks = {
        "too much CPU": any(result["cpu_ms"] >= MOST_CPU_MS for result in results),
        "too much CPU of the linter": any(result["lint_ms"] >= MOST_CPU_MS for result in results),
        "too much memory": any(result["grown_kib"] >= MOST_KIB for result in results),
        "memory is kept": results[-1]["held_kib"] - results[0]["held_kib"] >= MOST_KEPT_KIB,
        "the engine panicked": any(result["kind"] == "panic" for result in results),
        "others had to wait": len(waited) > len(long) / 2,
        "others became slow": normal > ALLOWED_SLOWDOWN * results[0]["before_us"],
    }
    return [name for name, is_wrong in checks.items() if is_wrong]


def went_on(result: Result) -> bool:
    return bool(result["others"] >= result["wall_ms"] / OTHERS_EVERY_MS)


def tell(results: list[Result]) -> None:
    cpu = sorted(result["cpu_ms"] for result in results)
    by_class: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_class[result["class"]].append(result)
    long = [result for result in results if result["wall_ms"] >= LONG_MS]
    note("hostile scripts", len(results))
    note(
        "hostile scripts by how they ended", dict(Counter(result["kind"] for result in results).most_common())
    )
    note(
        "CPU of a hostile script, compiled and called",
        f"median {statistics.median(cpu):.2f} ms, p99 {cpu[len(cpu) * 99 // 100]:.1f} ms, most {cpu[-1]:.1f} ms",
    )
    note("the most CPU of a check of one", f"{max(result['lint_ms'] for result in results):.2f} ms")
    note("the most memory of one", f"{max(result['grown_kib'] for result in results) / 1024:.1f} MiB")
    note("memory kept after all", f"{(results[-1]['held_kib'] - results[0]['held_kib']) / 1024:.1f} MiB")
    note(
        "CPU of a well-behaved call, before and among them",
        f"{results[0]['before_us']:.0f} µs, {statistics.median(result['normal_us'] for result in results):.0f} µs",
    )
    note(
        f"hostile calls of {LONG_MS} ms and more in which another thread's calls went on",
        f"{sum(map(went_on, long))} of {len(long)}",
    )
    for name, of_it in by_class.items():
        most = max(result["cpu_ms"] for result in of_it)
        grown = max(result["grown_kib"] for result in of_it) / 1024
        note(f"hostile: {name}", f"{len(of_it)} scripts, at most {most:.1f} ms, {grown:.1f} MiB")
