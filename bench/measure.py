"""Starts the entrants, gives each the same work in turn, and makes a result of it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.colony import rbee
from bench.entrant import ROOT, Entrant, Unavailable, answers, cpu_s, memory_kib, wait
from bench.machine import machine, noise
from bench.peers import direct, litellm, portkey
from bench.upstream import STREAM_TOKENS, WHOLE_TOKENS
from tests.system import free_port

Entry = dict[str, Any]

RBEE, LITELLM, PORTKEY, UPSTREAM = "rbee", "LiteLLM", "Portkey", "upstream"
WORKLOADS: dict[str, dict[str, Any]] = {
    "whole c1": {"stream": False, "concurrency": 1},
    "whole c16": {"stream": False, "concurrency": 16},
    "whole c64": {"stream": False, "concurrency": 64},
    "stream c32": {"stream": True, "concurrency": 32},
    "stream 4/s": {
        "stream": True,
        "rate": 4,
        "times": 3,
    },  # a rate that every entrant sustains; longer, for p99
}
FIRST_STREAMS, MORE_STREAMS = 20, 100  # a hive runs up to 128 tasks at a time
IDLE_S = 3.0
SETTLE_S = 0.3  # receipts that are gathered belong to the load before
BOOKED_WITHIN_S = 30
LATENCIES = ("whole_p50_ms", "whole_p99_ms", "first_p50_ms", "first_p99_ms")


def measure(folder: Path, *, rounds: int, seconds: float, only: list[str]) -> Entry:
    with started(folder, seconds, only) as (running, left_out):
        answered = {one.name: [0, 0] for one in running}  # requests, tokens
        before = {one.name: one.books() for one in running if one.books}
        samples: dict[str, dict[str, list[Entry]]] = {name: {} for name in [*WORKLOADS, "open", "idle"]}
        for one in running[1:]:  # first of all, while no arena has grown
            say(f"idle, and {MORE_STREAMS} open streams · {one.name}")
            samples["idle"][one.name] = [idle(one)]
            samples["open"][one.name] = [open_streams(one)]
            note(answered, one, samples["open"][one.name][0], STREAM_TOKENS)
        noises = []
        for number in range(rounds):
            noises.append(noise())
            for workload, shape in WORKLOADS.items():
                for one in turned(running, number):
                    say(f"round {number + 1}/{rounds} · {workload} · {one.name}")
                    done = load(one, shape, seconds)
                    note(answered, one, done, WHOLE_TOKENS if not shape["stream"] else STREAM_TOKENS)
                    samples[workload].setdefault(one.name, []).append(done)
        for by_name in samples.values():
            add_latency(by_name)
        booked = {
            one.name: compare_books(one, before[one.name], *answered[one.name])
            for one in running
            if one.books
        }
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "noise": noises,
            "rounds": rounds,
            "seconds": seconds,
            "open_streams": MORE_STREAMS,
            "entrants": {
                one.name: {"version": one.version, "features": one.features, "notes": one.notes} for one in running
            },
            "left_out": left_out,
            "workloads": {
                workload: {name: median(entries) for name, entries in by_name.items()}
                for workload, by_name in samples.items()
            },
            "books": booked,
        }  # fmt: skip


@contextmanager
def started(folder: Path, seconds: float, only: list[str]) -> Iterator[tuple[list[Entrant], dict[str, str]]]:
    """Those that run here, warm, and why the others do not."""
    port = free_port()
    upstream = direct(
        subprocess.Popen([sys.executable, str(ROOT / "bench" / "upstream.py"), str(port)]), port
    )
    running, left_out = [upstream], {}
    try:
        wait(lambda: answers(f"http://127.0.0.1:{port}/"), "the upstream to answer")
        makers: dict[str, Callable[[], Entrant]] = {
            RBEE: lambda: rbee(folder),
            LITELLM: lambda: fastest_litellm(folder, upstream, seconds),
            PORTKEY: lambda: portkey(folder, upstream),
        }
        for name, make in makers.items():
            if only and name not in only:
                continue
            say(f"starting {name} …")
            try:
                running.append(make())
            except Unavailable as reason:
                left_out[name] = str(reason)
                say(f"  left out: {reason}")
        for one in running:
            load(one, {"stream": False, "concurrency": 4}, 2)
            load(one, {"stream": True, "concurrency": 4}, 1)
        yield running, left_out
    finally:
        for one in reversed(running):
            one.close()


def fastest_litellm(folder: Path, upstream: Entrant, seconds: float) -> Entrant:
    """It has two servers. That which takes less CPU here for a request is compared."""
    tried: list[tuple[float, Entrant]] = []
    try:
        for granian in (False, True):
            one = litellm(folder, upstream, granian=granian)
            tried.append((0.0, one))
            load(one, {"stream": False, "concurrency": 16}, seconds)  # warm
            done = load(one, {"stream": False, "concurrency": 16}, seconds)
            tried[-1] = (float("inf") if done["errors"] else done["cpu_us_per_request"], one)
    except BaseException:
        for _, one in tried:
            one.close()
        raise
    tried.sort(key=lambda pair: pair[0])
    for _, slower in tried[1:]:
        slower.close()
    figures = ", ".join(f"{one.features.rsplit(' ', 1)[-1]} {cpu_us:.0f} µs" for cpu_us, one in tried)
    chosen = tried[0][1]
    chosen.notes.append(f"CPU per request at 16 at once, tried beforehand: {figures}")
    return chosen


def turned(running: list[Entrant], by: int) -> list[Entrant]:
    """Nobody is always first."""
    by %= len(running)
    return running[by:] + running[:by]


def load(one: Entrant, shape: dict[str, Any], seconds: float) -> Entry:
    seconds *= shape.get("times", 1)
    before, behind = cpu_s(one.processes()), cpu_s(one.behind())
    out, _ = client(one, {**shape, "seconds": seconds}).communicate(timeout=seconds + 120)
    time.sleep(SETTLE_S)
    cpu_us = (cpu_s(one.processes()) - before) * 1e6
    behind_us = (cpu_s(one.behind()) - behind) * 1e6
    done: Entry = json.loads(out)
    requests = max(1, done["requests"])
    done["cpu_us_per_request"] = round(cpu_us / requests, 1)
    done["behind_us_per_request"] = round(behind_us / requests, 1)
    if shape["stream"]:
        done["cpu_us_per_chunk"] = round(cpu_us / max(1, done["chunks"]), 1)
        done["behind_us_per_chunk"] = round(behind_us / max(1, done["chunks"]), 1)
    return done


def open_streams(one: Entrant) -> Entry:
    """What memory grows by from a few open streams to many more: the slope, without what the first stream brings."""
    few = hold(one, FIRST_STREAMS)
    before = memory_kib(one.processes())
    many = hold(one, MORE_STREAMS)
    during = memory_kib(one.processes())
    done = [json.loads(running.communicate(timeout=180)[0].splitlines()[-1]) for running in (few, many)]
    return {
        "requests": sum(held["requests"] for held in done),
        "errors": sum(held["errors"] for held in done),
        "first_error": next((held["first_error"] for held in done if held["first_error"]), ""),
        "kib_per_open_stream": round((during - before) / MORE_STREAMS, 1),
    }


def hold(one: Entrant, streams: int) -> subprocess.Popen[str]:
    """Returns when all are open, or one failed. They last for 20 s."""
    running = client(one, {"stream": True, "concurrency": streams, "hold": True, **one.slow})
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(1)
    return running


def idle(one: Entrant) -> Entry:
    before = cpu_s(one.processes())
    time.sleep(IDLE_S)
    return {
        "cpu_ms_per_s": round((cpu_s(one.processes()) - before) * 1000 / IDLE_S, 1),
        "mib": round(memory_kib(one.processes()) / 1024, 1),
    }


def client(one: Entrant, shape: dict[str, Any]) -> subprocess.Popen[str]:
    job = {
        "host": "127.0.0.1",
        "port": one.port,
        "path": one.path,
        "headers": one.headers,
        "model": one.stream_model if shape["stream"] else one.whole_model,
        "tokens": STREAM_TOKENS if shape["stream"] else WHOLE_TOKENS,
        **shape,
    }
    command = [sys.executable, str(ROOT / "bench" / "load.py"), json.dumps(job)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def note(answered: dict[str, list[int]], one: Entrant, done: Entry, tokens: int) -> None:
    answered[one.name][0] += done["requests"]
    answered[one.name][1] += done["requests"] * tokens


def add_latency(by_name: dict[str, list[Entry]]) -> None:
    """Over the upstream alone, in the same round."""
    for entries in by_name.values():
        for entry, alone in zip(entries, by_name.get(UPSTREAM, []), strict=False):
            for name in LATENCIES:
                entry[f"added_{name}"] = round(entry[name] - alone[name], 2)


def compare_books(one: Entrant, before: dict[str, int], requests: int, tokens: int) -> dict[str, int]:
    """What clients were answered, and what is booked once the last receipt is in."""
    assert one.books is not None
    deadline = time.monotonic() + BOOKED_WITHIN_S
    while True:
        booked = {name: value - before[name] for name, value in one.books().items()}
        if booked["completed"] >= requests or time.monotonic() > deadline:
            return {"answered": requests, "tokens_answered": tokens, **booked}
        time.sleep(0.5)


def median(entries: list[Entry]) -> Entry:
    """Of errors the sum, so that none is lost."""
    merged: Entry = {}
    for name in entries[0]:
        values = [entry[name] for entry in entries]
        if name == "errors":
            merged[name] = sum(values)
        elif isinstance(values[0], str):
            merged[name] = next((value for value in values if value), "")
        else:
            merged[name] = round(statistics.median(values), 2)
    return merged


def say(text: str) -> None:
    print(text, flush=True)
