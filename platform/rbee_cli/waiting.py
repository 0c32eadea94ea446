"""Waits until a model is ready on its hives, and says what happens meanwhile."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from rbee_cli.client import QueenClient
from rbee_cli.errors import CliError
from rbee_cli.output import Output

POLL_EVERY_S = 0.5
FAILED_FOR_S = 6.0  # an engine that fails to start is tried again; the same error after this long is final


def wait_for_model(
    queen: QueenClient, output: Output, model: str, hives: list[str], *, timeout_s: float
) -> dict[str, Any]:
    """The model as the queen describes it when it is ready on all of `hives`. Raises CliError when it fails on one, or
    is not ready in time."""
    began = time.monotonic()
    said: dict[str, str] = {}
    failing_since: dict[tuple[str, str], float] = {}
    while True:
        found: dict[str, Any] = queen.get(f"/api/v1/models/{quote(model, safe='')}")
        states = {hive: state_on(found, hive) for hive in hives}
        for hive, (status, error, progress) in states.items():
            note = error or progress
            line = f"{status}: {note}" if note else status
            if said.get(hive) != line:
                said[hive] = line
                output.say(f"  {hive}: {line} ({time.monotonic() - began:.0f} s)")
            if (
                error
                and time.monotonic() - failing_since.setdefault((hive, error), time.monotonic())
                > FAILED_FOR_S
            ):
                raise CliError(
                    f"{model} did not start on {hive}: {error} (the hive goes on trying; `rbee model remove {model}` ends it)"
                )
        waiting = [hive for hive, (status, *_) in states.items() if status != "ready"]
        if not waiting:
            return found
        if time.monotonic() - began > timeout_s:
            raise CliError(
                f"{model} is not ready on {', '.join(waiting)} after {timeout_s:g} s; the hive goes on trying: "
                "`rbee status` shows it"
            )
        time.sleep(POLL_EVERY_S)


def state_on(model: dict[str, Any], hive: str) -> tuple[str, str, str]:
    """The status of its worker there, why its last start failed, and what its start is at."""
    workers = [worker for worker in model["workers"] if worker["hive"].lower() == hive.lower()]
    if not workers:
        return "removed", "it was taken off that hive", ""
    if any(worker["status"] == "ready" for worker in workers):
        return "ready", "", ""
    worker = workers[0]
    status = "waiting for the hive" if worker["status"] == "available" else str(worker["status"])
    return status, str(worker["error"] or ""), str(worker.get("progress") or "")
