"""Places in a list, briefly and in their order: `0-99,103`."""

from __future__ import annotations

from collections.abc import Iterable


def pack(places: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][1] + 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def unpack(text: str) -> list[int]:
    found: list[int] = []
    for run in filter(None, text.split(",")):
        low, _, high = run.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found
