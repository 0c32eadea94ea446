"""Waits until a model is ready on its hives, and says what happens meanwhile."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from rbee_cli.client import QueenClient
from rbee_cli.errors import CliError
from rbee_cli.output import Output

POLL_EVERY_S = 0.5
FAILED_FOR_S = (
    6.0  # an engine that fails to start is tried again; with the same error for this long it has failed
)


def wait_for_model(
    queen: QueenClient, output: Output, model: str, hives: list[str], *, timeout_s: float
) -> dict[str, Any]:
    """The model as the queen describes it when it is ready on all of `hives`. Raises CliError when it fails on one, or
    is not ready in time."""
    began = time.monotonic()
    said: dict[str, str] = {}
    failing_since: dict[str, float] = {}
    while True:
        found: dict[str, Any] = queen.get(f"/api/v1/models/{quote(model, safe='')}")
        states = {hive: state_on(found, hive) for hive in hives}
        for hive, (status, error) in states.items():
            line = f"{status}: {error}" if error else status
            if said.get(hive) != line:
                said[hive] = line
                output.say(f"  {hive}: {line} ({time.monotonic() - began:.0f} s)")
            if not error:
                failing_since.pop(hive, None)
            elif time.monotonic() - failing_since.setdefault(hive, time.monotonic()) > FAILED_FOR_S:
                raise CliError(f"{model} did not start on {hive}: {error}")
        waiting = [hive for hive, (status, _) in states.items() if status != "ready"]
        if not waiting:
            return found
        if time.monotonic() - began > timeout_s:
            raise CliError(
                f"{model} is not ready on {', '.join(waiting)} after {timeout_s:g} s; the hive goes on trying: "
                "`rbee status` shows it"
            )
        time.sleep(POLL_EVERY_S)


def state_on(model: dict[str, Any], hive: str) -> tuple[str, str]:
    """What its worker there is at, and why it failed last."""
    workers = [worker for worker in model["workers"] if worker["hive"].lower() == hive.lower()]
    if not workers:
        return "removed", "it was taken off that hive"
    if any(worker["status"] == "ready" for worker in workers):
        return "ready", ""
    status, error = str(workers[0]["status"]), str(workers[0]["error"] or "")
    return "waiting for the hive" if status == "available" else status, error
