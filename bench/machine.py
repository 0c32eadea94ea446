"""What a result was measured on, and how fast that was at the time."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil

STEPS = 1_000_000


def machine() -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(),
        "memory_mib": psutil.virtual_memory().total >> 20,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def noise() -> dict[str, float]:
    """CPU milliseconds of a loop that is always the same, and how many processes wanted to run in the last minute. Where
    one differs much between rounds, so does what was measured."""
    began = time.process_time()
    total = 0
    for number in range(STEPS):
        total += number & 7
    return {
        "loop_cpu_ms": round((time.process_time() - began) * 1000, 1),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
