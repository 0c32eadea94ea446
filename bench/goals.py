"""What `make bench-check` demands of the newest result: ratios inside one run, never absolutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    name: str
    measure: str  # a key of a result's `workloads[workload][entrant]`
    workload: str
    peer: str
    at_most: float  # rbee / peer
    aim: float


GOALS = [
    Goal("CPU per request", "cpu_us_per_request", "whole c16", "LiteLLM", 0.10, 0.04),
    Goal("CPU per streamed token", "cpu_us_per_chunk", "stream c32", "LiteLLM", 0.08, 0.04),
    Goal("CPU per streamed token", "cpu_us_per_chunk", "stream c32", "Portkey", 0.6, 0.33),
    Goal("memory per open stream", "kib_per_open_stream", "open", "LiteLLM", 0.05, 0.05),
    Goal("added first token p50", "added_first_p50_ms", "stream 4/s", "LiteLLM", 0.5, 0.3),
    Goal("added first token p99", "added_first_p99_ms", "stream 4/s", "LiteLLM", 0.5, 0.3),
]
