"""`make bench-check`: compares the newest kept result with the goals, and says which hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench.goals import GOALS  # noqa: E402


def main() -> int:
    kept = sorted((ROOT / "bench" / "results").glob("*.json"))
    if not kept:
        print("no result yet: run `make bench` first")
        return 2
    result = json.loads(kept[-1].read_text())
    print(
        f"{kept[-1].name}: {result['machine']['cpu']}, {result['machine']['cores']} cores, {result['rounds']} rounds"
    )
    missed = 0
    for goal in GOALS:
        entries = result["workloads"].get(goal.workload, {})
        if goal.peer not in entries or "rbee" not in entries:
            print(f"  not run   {goal.name} / {goal.peer} ({goal.workload})")
            continue
        ours, theirs = entries["rbee"][goal.measure], entries[goal.peer][goal.measure]
        ratio = ours / theirs if theirs > 0 else float("inf")
        holds = ratio <= goal.at_most
        missed += not holds
        word = "holds" if holds else "MISSED"
        print(
            f"  {word:9} {goal.name} / {goal.peer} ({goal.workload}): {ratio:.3f}, at most {goal.at_most}, aim {goal.aim}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
