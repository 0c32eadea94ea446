from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rhai_py


@pytest.fixture(scope="session")
def engine() -> rhai_py.Engine:
    return rhai_py.Engine()


@pytest.fixture(scope="session")
def run(engine: rhai_py.Engine) -> Callable[..., Any]:
    """Run the body of a function with parameters a, b, c, d."""

    def run(body: str, *args: object, timeout_ms: float = 1000.0) -> Any:
        parameters = ", ".join("abcd"[: len(args)])
        script = engine.compile(f"fn f({parameters}) {{ {body} }}")
        return script.call("f", *args, timeout_ms=timeout_ms)

    return run


@pytest.fixture
def task() -> rhai_py.Record:
    return rhai_py.Record(
        "task",
        {
            "type": "text-gen",
            "model": "llama-3-70b",
            "customer_tier": "free",
            "tags": ["a", "b"],
            "geo": {"region": "EU"},
        },
    )


@pytest.fixture
def fleet() -> list[rhai_py.Record]:
    """Three A100 of growing load, then two H100; every second one is idle."""
    rows = [("A100", 0.1), ("A100", 0.5), ("A100", 0.9), ("H100", 0.2), ("H100", 0.4)]
    return [
        rhai_py.Record(
            "worker",
            {
                "name": f"w{index}",
                "gpu_type": gpu,
                "load": load,
                "in_flight": index % 2,
                "vram_free_mb": 1000 * index,
                "model": "sdxl" if index == 4 else "llama-3-70b",
                "geo": {"region": "EU" if index < 3 else "US"},
            },
        )
        for index, (gpu, load) in enumerate(rows)
    ]


@pytest.fixture
def workers(fleet: list[rhai_py.Record]) -> rhai_py.Workers:
    return rhai_py.Workers(fleet)
