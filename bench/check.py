"""`make bench-check`: compares the newest kept result with the goals, and says which hold.

Exits with 0 when every goal holds, 1 when one is missed, 2 when there is nothing to compare.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench.goals import GOALS, Goal  # noqa: E402
from bench.report import are_exact, books_text  # noqa: E402

HOLDS, MISSED, NOT_RUN = "holds", "MISSED", "not run"


def main() -> int:
    kept = sorted((ROOT / "bench" / "results").glob("*.json"))
    if not kept:
        print("no result yet: run `make bench` first")
        return 2
    result = json.loads(kept[-1].read_text())
    machine = result["machine"]
    print(f"{kept[-1].name}: {machine['cpu']}, {machine['cores']} cores, {result['rounds']} rounds")
    words = []
    for goal in GOALS:
        word, text = judge(goal, result["workloads"].get(goal.workload, {}))
        words.append(word)
        against = f"rbee / {goal.peer}" if goal.peer else "rbee"
        print(f"  {word:8} {goal.name}, {against}, {goal.workload}: {text}")
    books = result["books"].get("rbee")
    words.append(NOT_RUN if books is None else HOLDS if are_exact(books) else MISSED)
    print(f"  {words[-1]:8} usage events = answers: {'' if books is None else books_text(books)}")
    if MISSED in words:
        return 1
    return 0 if HOLDS in words else 2


def judge(goal: Goal, by_name: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """What fails is quick, so a peer with errors proves nothing, and rbee with errors misses."""
    ours, theirs = by_name.get("rbee"), by_name.get(goal.peer)
    if ours is None or (goal.peer and theirs is None):
        return NOT_RUN, "left out of this run"
    if ours.get("errors"):
        return MISSED, f"{ours['errors']} errors of rbee: {ours['first_error']}"
    value = ours[goal.measure]
    if theirs is not None:
        if theirs.get("errors"):
            return NOT_RUN, f"{theirs['errors']} errors of {goal.peer}: {theirs['first_error']}"
        if theirs[goal.measure] <= 0:
            return NOT_RUN, f"{goal.peer} measured {theirs[goal.measure]}, within the noise"
        value /= theirs[goal.measure]
    reached = ", the aim is reached" if value <= goal.aim else f", aim {goal.aim:.3g}"
    return HOLDS if value <= goal.at_most else MISSED, f"{value:.3g}, at most {goal.at_most:.3g}{reached}"


if __name__ == "__main__":
    sys.exit(main())
