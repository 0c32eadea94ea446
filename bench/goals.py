"""What `make bench-check` demands of the newest result. Time is compared with a peer of the same run, never by itself;
memory does not depend on who else uses the machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    name: str
    measure: str  # a key of a result's `workloads[workload][entrant]`
    workload: str
    peer: str  # empty: rbee by itself
    at_most: float  # rbee / peer, or what rbee measures
    aim: float


GIB_IN_KIB = 1 << 20

GOALS = [
    Goal("CPU per request", "cpu_us_per_request", "whole c16", "LiteLLM", 0.10, 0.04),
    Goal("CPU per streamed token", "cpu_us_per_chunk", "stream c32", "LiteLLM", 0.08, 0.04),
    Goal("CPU per streamed token", "cpu_us_per_chunk", "stream c32", "Portkey", 0.6, 0.33),
    Goal("added first token p50", "added_first_p50_ms", "stream 4/s", "LiteLLM", 0.5, 0.3),
    Goal("added first token p99", "added_first_p99_ms", "stream 4/s", "LiteLLM", 0.5, 0.3),
    Goal("KiB per open stream", "kib_per_open_stream", "open", "", GIB_IN_KIB / 20_000, GIB_IN_KIB / 40_000),
    Goal("memory per open stream", "kib_per_open_stream", "open", "Portkey", 0.85, 0.43),
]
