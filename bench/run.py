"""`make bench`: rbee beside LiteLLM proxy and Portkey gateway, over an equal upstream, in interleaved rounds.

Numbers of one table may be compared with each other and with nothing else: other work shares these cores. CPU time is
the steadiest of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench import entrants  # noqa: E402  (the paths above make it importable)
from tests.system import free_port  # noqa: E402

WORKLOADS: dict[str, dict[str, Any]] = {
    "whole c1": {"stream": False, "concurrency": 1},
    "whole c16": {"stream": False, "concurrency": 16},
    "whole c64": {"stream": False, "concurrency": 64},
    "stream c8": {"stream": True, "concurrency": 8},
    "stream c32": {"stream": True, "concurrency": 32},
}
OPEN_STREAMS = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", nargs="*", help="entrants, for example: --only rbee")
    parser.add_argument("--no-save", action="store_true")
    options = parser.parse_args()
    console = Console(width=150)
    with tempfile.TemporaryDirectory(prefix="rbee-bench-") as folder:
        result = measure(Path(folder), options, console)
    console.print(table(result))
    for name, entrant in result["entrants"].items():
        console.print(f"[bold]{name}[/] {entrant['version']}: {entrant['features']}")
    if not options.no_save:
        kept = ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
        console.print(f"kept as {kept.relative_to(ROOT)}")


def measure(folder: Path, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    upstream_port = free_port()
    upstream = subprocess.Popen([sys.executable, str(ROOT / "bench" / "upstream.py"), str(upstream_port)])
    running: list[entrants.Entrant] = []
    try:
        running.append(entrants.direct(upstream_port))
        for name, make in {
            "rbee": lambda: entrants.rbee(folder),
            "LiteLLM proxy": lambda: entrants.litellm(folder, upstream_port),
            "Portkey gateway": lambda: entrants.portkey(folder, upstream_port),
        }.items():
            if options.only and name not in options.only:
                continue
            console.print(f"starting {name} …")
            try:
                running.append(make())
            except entrants.Unavailable as reason:
                console.print(f"  [yellow]left out:[/] {reason}")
        rounds: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for entrant in running:  # warm
            load(entrant, {"stream": False, "concurrency": 4}, 2)
        for number in range(options.rounds):
            for workload, shape in WORKLOADS.items():
                for entrant in running:
                    console.print(f"round {number + 1}/{options.rounds} · {workload} · {entrant.name}")
                    rounds.setdefault(workload, {}).setdefault(entrant.name, []).append(
                        load(entrant, shape, options.seconds)
                    )
        workloads = {
            workload: {name: median(samples) for name, samples in by_name.items()}
            for workload, by_name in rounds.items()
        }
        for by_name in workloads.values():
            for entry in by_name.values():
                for measure_name in ("whole_p50_ms", "whole_p99_ms", "first_p50_ms", "first_p99_ms"):
                    entry[f"added_{measure_name}"] = round(
                        entry[measure_name] - by_name["upstream"][measure_name], 2
                    )
        workloads["open"] = {
            entrant.name: open_streams(entrant) for entrant in running if entrant.name != "upstream"
        }
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpu": cpu_name(), "cores": psutil.cpu_count(), "system": platform.platform()},
            "python": platform.python_version(),
            "rounds": options.rounds,
            "seconds": options.seconds,
            "entrants": {one.name: {"version": one.version, "features": one.features} for one in running},
            "workloads": workloads,
        }
    finally:
        for entrant in running:
            entrant.close()
        upstream.kill()
        upstream.wait()


def load(entrant: entrants.Entrant, shape: dict[str, Any], seconds: float) -> dict[str, Any]:
    before = entrant.cpu_s()
    done = json.loads(
        client(entrant, {**shape, "seconds": seconds}).communicate(timeout=seconds * 20 + 60)[0]
    )
    time.sleep(0.3)  # receipts that are gathered belong to this load
    cpu_us = (entrant.cpu_s() - before) * 1e6
    done["cpu_us_per_request"] = round(cpu_us / max(1, done["requests"]), 1)
    done["cpu_us_per_chunk"] = round(cpu_us / max(1, done["chunks"]), 1)
    return done


def open_streams(entrant: entrants.Entrant) -> dict[str, Any]:
    """Growth of memory while many streams are open at once, a second streaming round so that pools are warm."""
    load(entrant, {"stream": True, "concurrency": OPEN_STREAMS}, 1)
    before = entrant.memory_kib()
    running = client(entrant, {"stream": True, "concurrency": OPEN_STREAMS, "seconds": 2})
    peak = before
    while running.poll() is None:
        peak = max(peak, entrant.memory_kib())
        time.sleep(0.1)
    return {"kib_per_open_stream": round((peak - before) / OPEN_STREAMS, 1), "kib_idle": before}


def client(entrant: entrants.Entrant, shape: dict[str, Any]) -> subprocess.Popen[str]:
    job = {
        "host": "127.0.0.1",
        "port": entrant.port,
        "path": entrant.path,
        "headers": entrant.headers,
        "model": entrant.stream_model if shape["stream"] else entrant.whole_model,
        **shape,
    }
    command = [sys.executable, str(ROOT / "bench" / "load.py"), json.dumps(job)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def median(samples: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        merged[name] = round(statistics.median(values), 2) if isinstance(first, int | float) else max(values)
    return merged


def table(result: dict[str, Any]) -> Table:
    table = Table(
        title="median of the rounds; added = over the upstream alone; CPU without the upstream or hive"
    )
    for heading in ("workload", "gateway", "req/s", "added p50 ms", "added p99 ms", "first p50 ms", "CPU µs/req",
                    "CPU µs/chunk", "KiB/stream", "errors", "CPU of rbee ÷ this"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in {"workload", "gateway"} else "right")
    for workload, by_name in result["workloads"].items():
        ours = by_name.get("rbee", {})
        for name, entry in by_name.items():
            ratio = ""
            if (
                entry.get("cpu_us_per_request")
                and ours.get("cpu_us_per_request")
                and name not in {"rbee", "upstream"}
            ):
                ratio = f"{ours['cpu_us_per_request'] / entry['cpu_us_per_request']:.3f}"
            cells = [entry.get(key, "") for key in ("requests_per_s", "added_whole_p50_ms", "added_whole_p99_ms",
                     "added_first_p50_ms", "cpu_us_per_request", "cpu_us_per_chunk", "kib_per_open_stream", "errors")]  # fmt: skip
            table.add_row(workload, name, *[str(cell) for cell in cells], ratio)
        table.add_section()
    return table


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    main()
